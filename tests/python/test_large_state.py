"""A connection whose state is too large for filters is ended and told so; all others get their events."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from linked import LinkedSocket, call, running

from ringcast import Actor, Context, MemoryStore, ServerConfig, action, where
from ringcast.errors import CloseCode
from ringcast.router import Router
from ringcast.schema.attributes import attributes_of, largest_field
from ringcast.wire.protocol import Event

MUTED = where(muted=True)


@dataclass
class Reader:
    name: str
    muted: bool = False
    tags: set[str] = field(default_factory=set)


class Desk(Actor[None, Reader]):
    @action
    def tag(self, c: Context[None, Reader], name: str, count: int) -> None:
        found = c.conns.find(name=name)
        assert found is not None
        found.state.tags.update(map(str, range(count)))

    @action
    def tell(self, c: Context[None, Reader], what: str) -> list[str]:
        c.broadcast("news", what, where=~MUTED)
        return [conn.state.name for conn in c.conns.where(~MUTED)]

    @action
    def tell_all(self, c: Context[None, Reader], what: str) -> int:
        c.broadcast("news", what)
        return len(c.conns)


class DurableDesk(Desk):
    durable = True


KINDS = pytest.mark.parametrize("kind", [Desk, DurableDesk])


@asynccontextmanager
async def desk(kind: type[Desk], max_bytes: int) -> AsyncIterator[tuple[Router, list[LinkedSocket]]]:
    """Give two clients, ann and bob."""
    async with running(kind, store=MemoryStore(), max_attributes_bytes=max_bytes) as router:
        sockets = [LinkedSocket(router), LinkedSocket(router)]
        for name, socket in zip(("ann", "bob"), sockets, strict=True):
            await socket.connect(place(kind), "a", params={"name": name}, events=("news",))
        yield router, sockets
        for socket in sockets:
            socket.lose()


def place(kind: type[Desk]) -> str:
    return {Desk: "desk", DurableDesk: "durableDesk"}[kind]


async def heard(socket: LinkedSocket) -> Any:
    return (await socket.receive(Event)).args


@KINDS
async def test_one_that_has_grown_too_large_is_ended_and_the_others_get_the_event(
    kind: type[Desk], caplog: pytest.LogCaptureFixture
) -> None:
    async with desk(kind, max_bytes=1000) as (router, (ann, bob)):
        assert await call(router, place(kind), "a", "tell", "first") == ["ann", "bob"]
        await call(router, place(kind), "a", "tag", "ann", 1000)
        # Not even a filter for those without something matches it.
        assert await call(router, place(kind), "a", "tell", "second") == ["bob"]
        assert await heard(ann) == ["first"]
        assert await ann.closed() == (CloseCode.DISCONNECTED, "its state is too large for filters")
        assert [await heard(bob), await heard(bob)] == [["first"], ["second"]]
        assert await call(router, place(kind), "a", "tell_all", "third") == 1
        assert router.limits_hit["max_attributes_bytes"] == 1
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "for filters, most of them for 'tags', and may take 1000 (max_attributes_bytes)" in record.message


@KINDS
async def test_the_limit_itself_may_be_reached(kind: type[Desk]) -> None:
    ann = Reader("ann", tags=set(map(str, range(100))))
    size = len(attributes_of(ann))
    for max_bytes, there in ((size, ["ann", "bob"]), (size - 1, ["bob"])):
        async with desk(kind, max_bytes) as (router, _):
            await call(router, place(kind), "a", "tag", "ann", 100)
            assert await call(router, place(kind), "a", "tell", "it") == there


@KINDS
async def test_without_a_filter_there_is_no_limit(kind: type[Desk]) -> None:
    async with desk(kind, max_bytes=100) as (router, sockets):
        await call(router, place(kind), "a", "tag", "ann", 1000)
        assert await call(router, place(kind), "a", "tell_all", "it") == 2
        assert [await heard(socket) for socket in sockets] == [["it"], ["it"]]


def test_the_largest_field_is_named() -> None:
    state = {"a": 2**200, "b": "text", "c": {"x" * 40}, "d": "\ud800", "e": list[str]()}
    assert largest_field(attributes_of(state)) == "c"
    assert largest_field(attributes_of({})) == ""
    assert ServerConfig().max_attributes_bytes == 65_536


class Broken(dict[str, Any]):
    """A state that no filter can read."""

    def items(self) -> Any:
        raise RuntimeError("broken")


class Plain(Actor):
    @action
    def select(self, c: Context, states: list[dict[str, Any]]) -> list[int]:
        for conn, state in zip(c.conns, states, strict=True):
            conn.state = Broken(state) if "broken" in state else state
        return [len(c.conns.where(role="admin")), len(c.conns.where(role__ne="admin"))]


async def test_one_whose_state_cannot_be_read_matches_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Plain) as router, LinkedSocket(router) as ann, LinkedSocket(router) as bob:
        await ann.connect("plain", "a")
        await bob.connect("plain", "a")
        admin, member = {"role": "admin"}, {"role": "member"}
        assert await call(router, "plain", "a", "select", [admin, member]) == [1, 1]
        assert await call(router, "plain", "a", "select", [{"broken": True}, member]) == [0, 1]
        assert await call(router, "plain", "a", "select", [member, admin]) == [1, 1]
    assert "cannot be read, no filter sees it" in caplog.text
