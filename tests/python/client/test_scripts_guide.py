"""`docs/scripts.md` held against the code: its program runs, and says what it shows."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from ringcast import MemoryStore, Registry
from ringcast.demo.chat import ChatRoom
from ringcast.server.serve import serving

PAGE = (Path(__file__).parents[3] / "docs" / "scripts.md").read_text()


async def test_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    [program] = re.findall(
        r"<!-- tested: script.py -->\n```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE
    )
    module: dict[str, Any] = {"__name__": "script"}
    exec(compile(program, "script.py", "exec", dont_inherit=True), module)
    async with serving(Registry(ChatRoom, store=MemoryStore())) as url:
        await asyncio.to_thread(module["main"], url)
    said = capsys.readouterr().out.splitlines()
    assert said == ["messages so far: 0", "heard: hello", "read: hello"]
