"""Hooks of a durable actor are committed with what they are about: a crash leaves both, or neither.

The store remembers itself as it was after each commit: what a start from there would find.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from linked import LinkedSocket, call, eventually, running

from ringcast import Actor, Context, MemoryStore, action
from ringcast.store import Change
from ringcast.wire.protocol import Call, Connected, Reply


class Remembering(MemoryStore):
    """Has a copy of itself for each moment at which the process could have been killed."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[MemoryStore] = []

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        await super().commit(actor_id, changes)
        moment = MemoryStore()
        moment._by_id, moment._streams = dict(self._by_id), copy.deepcopy(self._streams)
        self.moments.append(moment)


def states(store: Remembering) -> list[tuple[Any, Any]]:
    """Return the actor's state and its stream at each of the moments."""
    return [
        (orjson.loads(next(iter(moment._by_id.values())).state), next(iter(moment._streams.values())))
        for moment in store.moments
    ]


@dataclass
class Online:
    ids: list[str] = field(default_factory=list)


class Presence(Actor[Online]):
    durable = True

    async def on_connect(self, c: Context[Online]) -> None:
        c.state.ids.append(c.conn.id)
        await asyncio.sleep(0)
        c.broadcast("came", c.conn.id)

    async def on_disconnect(self, c: Context[Online]) -> None:
        await asyncio.sleep(0)
        c.state.ids.remove(c.conn.id)
        c.broadcast("went", c.conn.id)

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    @action
    async def take_long(self, c: Context[Online]) -> None:
        await self.gate.wait()

    @action
    def present(self, c: Context[Online]) -> list[str]:
        return c.state.ids


class PresenceAtOnce(Presence):
    """The same with hooks that do not wait."""

    def on_connect(self, c: Context[Online]) -> None:  # type: ignore[override]
        c.state.ids.append(c.conn.id)
        c.broadcast("came", c.conn.id)

    def on_disconnect(self, c: Context[Online]) -> None:  # type: ignore[override]
        c.state.ids.remove(c.conn.id)
        c.broadcast("went", c.conn.id)


@pytest.mark.parametrize("kind", [Presence, PresenceAtOnce], ids=["async", "sync"])
async def test_whoever_is_in_the_state_has_a_session_at_every_moment(kind: type[Presence]) -> None:
    store, name = Remembering(), kind.__name__[0].lower() + kind.__name__[1:]
    async with running(kind, store=store) as router:
        sockets = [LinkedSocket(router) for _ in range(6)]
        for socket in sockets[:3]:
            await socket.connect(name, "x")
        # An action has the turn while some leave and others come.
        (instance,) = router._directory
        sockets[0].send(Call(1, "takeLong", []))
        await eventually(lambda: instance.turns.busy)
        for socket in sockets[1:3]:
            socket.lose(1000)
        arriving = [asyncio.create_task(socket.connect(name, "x")) for socket in sockets[3:]]
        for _ in range(50):
            await asyncio.sleep(0)
        instance.actor.gate.set()
        await asyncio.gather(*arriving)
        for socket in sockets[3:]:
            socket.lose(1000)
        await eventually(lambda: len(instance.conns) == 1)
        assert len(await call(router, name, "x", "present")) == 1
        for socket in sockets:
            await socket.__aexit__(None, None, None)
    found = states(store)
    assert len(found) > 6
    for state, stream in found:
        assert sorted(state["ids"]) == sorted(stream.sessions)
        came = [event.json or event.msgpack for event in stream.events if event.name == "came"]
        went = [event for event in stream.events if event.name == "went"]
        assert len(came) - len(went) == len(stream.sessions)


@dataclass
class Told:
    n: int = 0
    told: int = 0


class Follower(Actor[Told]):
    durable = True

    async def on_state_change(self, c: Context[Told]) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        c.state.told = c.state.n
        c.broadcast("told", c.state.n)

    @action
    async def add(self, c: Context[Told]) -> int:
        c.state.n += 1
        await asyncio.sleep(0)
        return c.state.n

    @action
    def add_at_once(self, c: Context[Told]) -> int:
        c.state.n += 1
        return c.state.n


async def test_what_a_change_of_state_leads_to_is_committed_with_it() -> None:
    store = Remembering()
    async with running(Follower, store=store) as router, LinkedSocket(router) as socket:
        answer = await socket.connect("follower", "x")
        assert isinstance(answer, Connected)
        socket.send(*(Call(id, ("add", "addAtOnce")[id % 2], []) for id in range(1, 9)))
        values = [await socket.receive(Reply) for _ in range(8)]
        assert [reply.value for reply in values] == list(range(1, 9))
    found = states(store)
    assert found[-1][0] == {"n": 8, "told": 8}
    for state, stream in found:
        assert state["told"] == state["n"]
        assert sum(event.name == "told" for event in stream.events) == state["n"]
