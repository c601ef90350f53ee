"""An action of a durable actor that saves half-way: after a crash its call does not run a second time."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import half_done_server
import pytest
from half_done_server import SAVED, Till
from linked import TIMEOUT_S, LinkedSocket, call, eventually, resume_from, running

from ringcast import Actor, Context, MemoryStore, action
from ringcast.client import Client
from ringcast.errors import OutcomeUnknown
from ringcast.wire.protocol import Call, Connected, Error, Reply


class Steps(Actor[list[str]]):
    """Takes notes, and waits when told to."""

    durable = True

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.waits = False

    async def _pause(self) -> None:
        self.waits = True
        await self.gate.wait()

    @action
    async def in_halves(self, c: Context[list[str]]) -> str:
        c.state.append("first half")
        await c.save_state()
        await self._pause()
        c.state.append("second half")
        return "done"

    @action
    async def only_saves(self, c: Context[list[str]]) -> str:
        await c.save_state()
        await self._pause()
        c.state.append("whole")
        return "done"

    @action
    async def beside_a_task_that_saves(self, c: Context[list[str]]) -> str:
        c.state.append("first half")
        await c.spawn(self.save_state())
        await self._pause()
        return "done"

    @action
    def read(self, c: Context[list[str]]) -> list[str]:
        return c.state


async def crashed_in(name: str, *, ends: bool = False) -> tuple[MemoryStore, Connected]:
    """Return what is left when the process ends in the middle of the second call, an action of this name.

    `ends`: after the action has ended, and before the client has heard of it.
    """
    store = MemoryStore()
    async with running(Steps, store=store) as router, LinkedSocket(router) as client:
        connected = await client.connect("steps", "a")
        client.send(Call(1, "read", []))
        await client.receive(Reply)
        client.send(Call(2, name, []))
        (instance,) = router._directory
        await eventually(lambda: instance.actor.waits)
        left = copy.deepcopy(store)
        instance.actor.gate.set()
        await client.receive(Reply)
        return copy.deepcopy(store) if ends else left, connected


async def asked_again(store: MemoryStore, connected: Connected, name: str) -> tuple[str, list[str]]:
    """Send the second call again after a restart; return its answer, and the state."""
    async with running(Steps, store=store) as router, LinkedSocket(router) as client:
        await client.connect("steps", "a", resume=resume_from(connected))
        (instance,) = router._directory
        instance.actor.gate.set()
        client.send(Call(2, name, []))
        answer = await client.next()
        assert isinstance(answer, Reply | Error) and answer.id == 2
        client.send(Call(3, "read", []))
        assert (await client.receive(Reply)).id == 3
        state = await call(router, "steps", "a", "read")
        return answer.value if isinstance(answer, Reply) else answer.error["code"], state


@pytest.mark.parametrize("name", ["in_halves", "beside_a_task_that_saves"])
async def test_what_was_saved_is_there_and_its_call_does_not_run_again(name: str) -> None:
    store, connected = await crashed_in(name)
    assert await asked_again(store, connected, name) == ("outcome_unknown", ["first half"])


async def test_an_action_of_which_nothing_was_saved_runs_again() -> None:
    store, connected = await crashed_in("only_saves")
    assert await asked_again(store, connected, "only_saves") == ("done", ["whole"])


async def test_an_action_that_has_ended_is_answered_as_it_ended() -> None:
    store, connected = await crashed_in("in_halves", ends=True)
    expected = "done", ["first half", "second half"]
    assert await asked_again(store, connected, "in_halves") == expected


@contextlib.contextmanager
def server(store: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, half_done_server.__file__, str(store), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).strip()


async def test_a_client_of_a_server_that_is_killed_hears_that_the_outcome_is_unknown(tmp_path: Path) -> None:
    store = tmp_path / "kept.db"
    async with asyncio.timeout(3 * TIMEOUT_S), contextlib.AsyncExitStack() as stack:
        with server(store, 0) as first:
            url = (await line_of(first)).removeprefix("listening on ")
            client = await stack.enter_async_context(Client(url))
            till = await stack.enter_async_context(client.get_or_create(Till, ["a"]).connect())
            selling = asyncio.create_task(till.sell())
            assert await line_of(first) == SAVED
        with server(store, int(url.rpartition(":")[2])):
            with pytest.raises(OutcomeUnknown, match="what it had saved is kept"):
                await selling
            assert await till.read() == {"begun": 1, "ended": 0}
            await stack.aclose()
