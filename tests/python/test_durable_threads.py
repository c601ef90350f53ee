"""Durable actors: events from other threads, which the actor's loop numbers when it gets to them."""

from __future__ import annotations

import asyncio
import copy
import threading
from typing import Any

import pytest
from linked import TIMEOUT_S, LinkedSocket, call, resume_from, running
from pydantic import BaseModel, model_serializer

from ringcast import Actor, Context, MemoryStore, action
from ringcast.errors import EventTooLarge
from ringcast.router import Router
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Connected, Event


class Ledger(Actor):
    durable = True

    @action
    def note(self, c: Context, text: str) -> None:
        c.broadcast("noted", text)


async def join(client: LinkedSocket, resume: Any = None) -> Connected:
    return await client.connect("ledger", "a", events=("noted",), resume=resume)


def ledger(router: Router) -> Ledger:
    (instance,) = router._directory
    found: Ledger = instance.actor
    return found


async def heard(client: LinkedSocket, count: int) -> list[tuple[int, Any]]:
    """Return offset and argument of the next events."""
    events = [await client.receive(Event) for _ in range(count)]
    return [(event.offset, event.args[0]) for event in events]


async def test_an_event_from_another_thread_is_kept_as_well() -> None:
    store = MemoryStore()
    async with running(Ledger, store=store) as router, LinkedSocket(router) as client:
        connected = await join(client)
        await asyncio.to_thread(ledger(router).broadcast_threadsafe, "noted", "from afar")
        assert await heard(client, 1) == [(1, "from afar")]
        crashed = copy.deepcopy(store)
    async with running(Ledger, store=crashed) as router, LinkedSocket(router) as client:
        assert (await join(client, resume_from(connected))).replayed == 1


async def test_what_no_ring_holds_is_refused_there() -> None:
    async with running(Ledger, store=MemoryStore()) as router, LinkedSocket(router) as client:
        await join(client)
        with pytest.raises(EventTooLarge):
            await asyncio.to_thread(ledger(router).broadcast_threadsafe, "noted", "x" * 9_000_000)


async def test_a_newcomer_with_another_encoding_gets_what_was_being_encoded_when_it_came() -> None:
    begun, may_end = threading.Event(), threading.Event()

    class Slow(BaseModel):
        @model_serializer
        def write(self) -> str:
            begun.set()
            assert may_end.wait(TIMEOUT_S)
            return "slow"

    async with (
        running(Ledger, store=MemoryStore()) as router,
        LinkedSocket(router, Encoding.JSON) as ann,
        LinkedSocket(router, Encoding.MSGPACK) as bob,
    ):
        await join(ann)
        telling = asyncio.create_task(asyncio.to_thread(ledger(router).broadcast_threadsafe, "noted", Slow()))
        assert await asyncio.to_thread(begun.wait, TIMEOUT_S)
        await join(bob)
        may_end.set()
        await telling
        await call(router, "ledger", "a", "note", "next")
        for client in (ann, bob):
            assert await heard(client, 2) == [(1, "slow"), (2, "next")]


async def test_what_was_handed_over_before_another_encoding_was_asked_for_is_not_lost() -> None:
    async with running(Ledger, store=MemoryStore()) as router, LinkedSocket(router) as ann:
        await join(ann)
        (instance,) = router._directory
        ledger(router).broadcast("noted", "first")  # a commit is due, and will not have the next one
        early = threading.Thread(target=ledger(router).broadcast_threadsafe, args=("noted", "early"))
        early.start()
        early.join()
        await instance.prepare(Encoding.MSGPACK)
        instance.stream.open(Encoding.MSGPACK.index)
        await call(router, "ledger", "a", "note", "next")
        assert await heard(ann, 3) == [(1, "first"), (2, "early"), (3, "next")]


async def test_it_is_taken_or_refused_and_nobody_is_told_a_number() -> None:
    async with running(Ledger, store=MemoryStore()) as router, LinkedSocket(router) as ann:
        await join(ann)
        (instance,) = router._directory
        publish = instance._keeping.stream.publish
        assert await asyncio.to_thread(publish, "noted", b'["a"]', None) is True
        assert publish("noted", b'["b"]', None) is True
        await instance.prepare(Encoding.MSGPACK)
        instance.stream.open(Encoding.MSGPACK.index)
        assert await asyncio.to_thread(publish, "noted", b'["c"]', None) is False
        assert await asyncio.to_thread(publish, "noted", b'["d"]', b"\x91\xa1d") is True
        assert await heard(ann, 3) == [(1, "a"), (2, "b"), (3, "d")]
