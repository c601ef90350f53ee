"""An application whose shutdown does not come to its end: the server ends all the same, and says so."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import programs
from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, SqliteStore, action
from ringcast.server.application import Beside, mounted
from ringcast.server.serve import serving

TIMEOUT_S = 30
CONFIG = ServerConfig(shutdown_timeout_s=0.2, close_timeout_s=0.2)


class Room(Actor):
    @action
    def say(self, c: Context, text: str) -> str:
        return text


class Hanging:
    """The lifespan of an application that waits for something in the end; notes in `order` what becomes of
    it."""

    def __init__(self) -> None:
        self.order: list[str] = []

    @contextlib.asynccontextmanager
    async def __call__(self, app: FastAPI) -> AsyncIterator[None]:
        yield
        self.order.append("stops")
        try:
            await asyncio.Event().wait()
        finally:
            self.order.append("is cut off")


def under(registry: Registry, app: Any) -> Any:
    return serving(registry, beside=Beside(application=mounted(registry, app)))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the server has complained of."""
    return [
        record.message
        for record in caplog.records
        if record.name == "ringcast.server" and record.levelno >= logging.WARNING
    ]


GIVEN_UP = "the application's shutdown took longer than 0.2 s, and is cut off here:"


@pytest.mark.parametrize("client_stays", [False, True], ids=["nobody is there", "a client stays"])
async def test_a_shutdown_without_an_end_is_cut_off(
    caplog: pytest.LogCaptureFixture, client_stays: bool
) -> None:
    hanging, registry = Hanging(), Registry(Room, store=MemoryStore(), config=CONFIG)
    async with asyncio.timeout(TIMEOUT_S), httpx.AsyncClient() as http:
        async with under(registry, FastAPI(lifespan=hanging)) as url:
            if client_stays:  # uvicorn has a connection to close then
                assert (await http.get(f"{url}/realtime/health")).status_code == 200
        assert hanging.order == ["stops", "is cut off"]
    [message] = said(caplog)
    assert message.startswith(GIVEN_UP)
    # Where it was cut off: its author has to know.
    assert "await asyncio.Event().wait()" in message
    assert registry.running is None


@contextlib.asynccontextmanager
async def pool() -> AsyncIterator[None]:
    yield
    await asyncio.Event().wait()  # until all of it has come back


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """An application without a framework: nobody logs for it where it has been cancelled."""
    assert scope["type"] == "lifespan"
    await receive()
    async with pool():
        await send({"type": "lifespan.startup.complete"})
        await receive()


async def test_where_a_plain_application_was_cut_off_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry(Room, store=MemoryStore(), config=CONFIG)
    async with asyncio.timeout(TIMEOUT_S), under(registry, plain):
        pass
    [message] = said(caplog)
    first, *stack = message.splitlines()
    assert first == GIVEN_UP
    places = [line.strip() for line in stack if not line.startswith("  File ")]
    assert places[0] == "async with pool():"
    assert "await asyncio.Event().wait()  # until all of it has come back" in places


async def test_it_is_cut_off_as_well_where_the_actors_cannot_be_started(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    hanging, registry = Hanging(), Registry(Room, store=SqliteStore(str(tmp_path)), config=CONFIG)
    with pytest.raises(Exception, match="unable to open"):
        async with asyncio.timeout(TIMEOUT_S), under(registry, FastAPI(lifespan=hanging)):
            pass
    assert hanging.order == ["stops", "is cut off"]
    [message] = said(caplog)
    assert message.startswith(GIVEN_UP)


SOURCE = """
import asyncio, contextlib
from fastapi import FastAPI
from ringcast import Actor, MemoryStore, Registry


class Room(Actor): ...


@contextlib.asynccontextmanager
async def lifespan(app):
    yield
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


registry = Registry(Room, store=MemoryStore())
app = FastAPI(lifespan=lifespan)
"""


def test_a_shutdown_that_swallows_its_cancellation_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(SOURCE)
    options = ("--port", "0", "--app", "stubborn:app", "--shutdown-timeout", "0.2")
    server = programs.start(programs.RINGCAST, "serve", "stubborn:registry", *options, cwd=tmp_path)
    server.err.until("serving ")
    ended = server.finish(signal.SIGTERM)
    assert ended.code == 0
    errors = [line for line in ended.err if "ERROR" in line]
    assert GIVEN_UP in errors[0], ended.err
    assert any(line.strip() == "await asyncio.Event().wait()" for line in ended.err), ended.err
    assert "are given up: ['lifespan of the application']" in errors[1], ended.err
