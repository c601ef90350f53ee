"""Actions that hold up the end of a server, in a process of its own: it ends all the same, as it says."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from server_process import Server

import programs


async def begun(server: Server, client: httpx.AsyncClient, action: str) -> asyncio.Task[httpx.Response]:
    """Call an action that does not end, and return the call once the action has begun."""
    url = f"{server.url}/actors/diary/actions/{action}"
    call = asyncio.create_task(client.post(url, json={"key": ["k"], "args": []}))
    while not await asyncio.to_thread(server.call, "writing"):
        pass
    return call


def test_action_that_swallows_its_cancellation_is_given_up(server: Server, tmp_path: Path) -> None:
    async def scenario() -> httpx.Response:
        async with httpx.AsyncClient(timeout=programs.TIMEOUT_S) as client:
            call = await begun(server, client, "resist")
            await asyncio.to_thread(server.call, "write", "before")
            server.process.send_signal(signal.SIGTERM)
            _, errors = await asyncio.to_thread(server.process.communicate, timeout=programs.TIMEOUT_S)
            assert server.process.returncode == 0
            assert errors.count("k: resist goes on although its actor stops") == 1
            assert errors.count("1 tasks went on after their cancellation and are given up: ['resist']") == 1
            assert "destroyed" not in errors and "ASGI" not in errors
            return await call

    response = asyncio.run(scenario())
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "outcome_unknown"
    again = Server(tmp_path / "store.db")
    try:
        assert again.call("read") == ["before", "stopped"]
        assert again.stop() == 0
    finally:
        again.end()


def test_async_generator_that_resists_its_end_is_given_up(server: Server) -> None:
    server.call("leave_generator")
    server.process.send_signal(signal.SIGTERM)
    _, errors = server.process.communicate(timeout=programs.TIMEOUT_S)
    assert server.process.returncode == 0
    assert errors == "ERROR:ringcast.server:an async generator has not ended, and is given up\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("how", ["sleeping", "computing"])
def test_second_signal_ends_a_server_whose_loop_is_blocked(
    server: Server, number: signal.Signals, how: str
) -> None:
    async def scenario() -> None:
        async with httpx.AsyncClient(timeout=programs.TIMEOUT_S) as client:
            url = f"{server.url}/actors/diary/actions/block"
            call = asyncio.create_task(client.post(url, json={"key": ["k"], "args": [how]}))
            assert server.process.stdout is not None
            assert await asyncio.to_thread(server.process.stdout.readline) == "blocked\n"
            # Two that come before the process has had time for the first are one.
            async with asyncio.timeout(programs.TIMEOUT_S):
                while server.process.poll() is None:
                    server.process.send_signal(number)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        await asyncio.to_thread(server.process.wait, 0.05)
            with pytest.raises(httpx.TransportError):
                await call

    asyncio.run(scenario())
    assert server.process.returncode == -number


SLOW_TO_OPEN = """
import sys
from asyncio import to_thread
from ringcast import Actor, MemoryStore, Registry

class Diary(Actor): ...

class SlowStore(MemoryStore):
    async def open(self):
        print("opening", flush=True)
        await to_thread(sys.stdin.readline)
        await super().open()

Registry(Diary, store=SlowStore()).serve(port=0)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts_ends_it_in_order(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_TO_OPEN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "opening\n"
        process.send_signal(number)
        assert process.communicate("go on\n", timeout=programs.TIMEOUT_S) == ("", "")
        assert process.returncode == 0
