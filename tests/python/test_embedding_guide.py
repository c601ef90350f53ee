"""`docs/embedding.md` held against the code: a thread that broadcasts."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path
from typing import Any

from ringcast import MemoryStore, Registry

PAGE = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text()
TIMEOUT_S = 10


async def test_a_thread_of_an_actor_reaches_its_clients() -> None:
    [program] = re.findall(
        r"  <!-- tested: thermometer.py -->\n  ```python\n(.*?)^  ```", PAGE, re.DOTALL | re.MULTILINE
    )
    module: dict[str, Any] = {"__name__": "thermometer"}
    source = re.sub(r"^  ", "", program, flags=re.MULTILINE)
    exec(compile(source, "thermometer.py", "exec", dont_inherit=True), module)
    listening = threading.Event()

    class Waiting(module["Thermometer"]):  # type: ignore[misc]
        """Begins when somebody listens."""

        def read(self) -> None:
            assert threading.current_thread() is not threading.main_thread()
            listening.wait(TIMEOUT_S)
            super().read()

    async with asyncio.timeout(TIMEOUT_S), Registry(Waiting, store=MemoryStore()) as registry:
        connection = registry.client.get_or_create(Waiting, "k").connect()
        measured = connection.stream("measured")
        async with connection:
            listening.set()
            assert [await anext(measured) for _ in range(3)] == [20, 21, 22]
