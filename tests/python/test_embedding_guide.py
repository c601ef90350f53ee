"""`docs/embedding.md` held against the code: threads that broadcast, and that call."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from ringcast import Client, MemoryStore, Registry, ServerConfig, SqliteStore
from ringcast.server import cors
from ringcast.server.application import Beside, mounted
from ringcast.server.serve import serving

PAGE = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text()
TIMEOUT_S = 10


@contextlib.asynccontextmanager
async def on_uvicorn(registry: Registry, app: Any) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        running = asyncio.create_task(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running


def on_ringcast(registry: Registry, app: Any) -> Any:
    return serving(registry, beside=Beside(application=mounted(registry, app)))


SERVERS: dict[str, Any] = {"uvicorn": on_uvicorn, "ringcast": on_ringcast}


def run(name: str) -> dict[str, Any]:
    """Run a program of the page and return what it has defined."""
    [program] = re.findall(
        rf"  <!-- tested: {name}.py -->\n  ```python\n(.*?)^  ```", PAGE, re.DOTALL | re.MULTILINE
    )
    module: dict[str, Any] = {"__name__": name}
    source = re.sub(r"^  ", "", program, flags=re.MULTILINE)
    exec(compile(source, f"{name}.py", "exec", dont_inherit=True), module)
    return module


async def test_a_thread_of_an_actor_reaches_its_clients() -> None:
    module = run("thermometer")
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


@pytest.mark.parametrize("server", ["uvicorn", "ringcast"])
async def test_a_route_in_a_thread_calls_an_actor_on_its_loop(server: str, tmp_path: Path) -> None:
    module = run("headlines")
    registry: Registry = module["registry"]
    registry.store = SqliteStore(str(tmp_path / "actors.db"))
    async with (
        asyncio.timeout(TIMEOUT_S),
        SERVERS[server](registry, module["app"]) as url,
        Client(f"{url}/realtime") as client,
        client.get_or_create("newsDesk", ["world"]).connect() as connection,
        httpx.AsyncClient(base_url=url) as http,
    ):
        heard = connection.stream("headline")
        await connection.ready()
        answer = await http.post("/headlines", params={"headline": "Ships that pass"})
        assert answer.status_code == 200
        assert await anext(heard) == "Ships that pass"


def exposed(names: str) -> set[str]:
    return {name.strip().lower() for name in names.split(",")}


def listed() -> list[str]:
    """Return what the page has an application's middleware expose."""
    [names] = re.findall(r"expose_headers=\[(.*?)\]", PAGE, re.DOTALL)
    return re.findall(r'"(.*?)"', names)


def test_what_pages_may_read_is_what_the_server_lets_them_read() -> None:
    names = [name for name in listed() if name != "X-Total"]
    assert sorted(name.lower() for name in names) == sorted(exposed(cors._EXPOSED.decode()))


@pytest.mark.parametrize("server", ["uvicorn", "ringcast"])
@pytest.mark.parametrize(
    ("names", "hides"), [(listed(), False), ((), False), (["X-Total"], True)], ids=["all", "none", "its own"]
)
async def test_behind_an_applications_middleware_pages_may_read_it(
    server: str, names: Sequence[str], hides: bool
) -> None:
    page = "https://page.example"
    config = ServerConfig(allowed_origins=(page,))
    registry = Registry(run("thermometer")["Thermometer"], store=MemoryStore(), config=config)
    app = FastAPI(lifespan=registry.lifespan)
    app.mount("/realtime", registry.asgi())
    app.add_middleware(CORSMiddleware, allow_origins=[page], expose_headers=names)
    path = "/realtime/actors/thermometer/actions/none"
    async with (
        asyncio.timeout(TIMEOUT_S),
        SERVERS[server](registry, app) as url,
        httpx.AsyncClient(base_url=url, headers={"Origin": page}) as http,
    ):
        answer = await http.post(path, json={"key": ["k"]})
        may_be_read = exposed(",".join(answer.headers.get_list("access-control-expose-headers")))
        assert answer.status_code == 404 and "ringcast-error" in answer.headers
        assert (may_be_read >= exposed(cors._EXPOSED.decode())) is not hides
        assert ("x-total" in may_be_read) is bool(names)
