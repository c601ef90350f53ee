"""A response that is a stream of events, seen from the server that sends it: what it is given, and when."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import Any

import pytest
from exchange import Exchange

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.server.asgi_stopping import StopSignals
from ringcast.testing import eventually

TIMEOUT_S = 30


class Room(Actor):
    @action
    def count_to(self, c: Context, end: int) -> None:
        for number in range(1, end + 1):
            c.broadcast("number", number)


def registry_with(**limits: Any) -> Registry:
    return Registry(Room, store=MemoryStore(), config=ServerConfig(close_timeout_s=0.2, **limits))


async def test_what_comes_while_a_part_is_sent_waits_in_the_ring_and_is_the_next_part() -> None:
    registry = registry_with()
    async with asyncio.timeout(TIMEOUT_S), registry.asgi().running():
        exchange = Exchange(registry)
        await eventually(lambda: len(exchange.events) == 1)  # connected
        exchange.may_send.clear()
        room = registry.client.get_or_create(Room, ["a"])
        await room.count_to(10)
        await eventually(lambda: len(exchange.events) > 1)
        parts = len(exchange.parts)
        await room.count_to(1000)
        assert len(exchange.parts) == parts
        exchange.may_send.set()
        await eventually(lambda: len(exchange.events) == 1011)
        assert len(exchange.parts) < parts + 500
        numbers = [event[4][0] for event in exchange.events[1:]]
        assert numbers == [*range(1, 11), *range(1, 1001)]
        exchange.gone.set()
        await exchange.task


async def test_a_stop_waits_for_what_is_being_sent_and_says_goodbye_behind_it() -> None:
    registry = registry_with()
    async with asyncio.timeout(TIMEOUT_S):
        async with registry.asgi().running():
            exchange = Exchange(registry)
            await eventually(lambda: len(exchange.events) == 1)
            await registry.client.get_or_create(Room, ["a"]).count_to(3)
        await exchange.task
    assert exchange.is_whole
    assert [event[4] for event in exchange.events[1:-1]] == [[1], [2], [3]]
    assert exchange.events[-1][0] == 4500


async def test_a_client_that_takes_nothing_does_not_hold_up_the_end() -> None:
    registry = registry_with()
    async with asyncio.timeout(TIMEOUT_S):
        async with registry.asgi().running():
            exchange = Exchange(registry)
            await eventually(lambda: len(exchange.events) == 1)
            exchange.may_send.clear()
            await registry.client.get_or_create(Room, ["a"]).count_to(3)
        await exchange.task
    assert not exchange.is_whole  # so that it knows that it has not got everything


async def test_one_that_has_to_say_something_and_does_not_is_given_up() -> None:
    registry = registry_with(heartbeat_s=0.1, dead_peer_timeout_s=0.4)
    async with asyncio.timeout(TIMEOUT_S), registry.asgi().running():
        exchange = Exchange(registry, {"key": ["a"]})
        await exchange.task
        assert exchange.is_whole
        assert registry.router.limits_hit["dead_peer_timeout_s"] == 1
        assert registry.router.sockets == 0


async def test_a_client_that_cannot_be_sent_to_is_gone() -> None:
    registry = registry_with()
    async with asyncio.timeout(TIMEOUT_S), registry.asgi().running():
        exchange = Exchange(registry)
        await eventually(lambda: len(exchange.events) == 1)
        exchange.fails = True
        await registry.client.get_or_create(Room, ["a"]).count_to(1)
        await exchange.task
        assert registry.router.sockets == 0


async def test_an_application_that_is_cancelled_leaves_nothing() -> None:
    registry = registry_with()
    async with asyncio.timeout(TIMEOUT_S), registry.asgi().running():
        exchange = Exchange(registry)
        await eventually(lambda: len(exchange.events) == 1)
        exchange.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange.task
        assert registry.router.sockets == 0


async def test_a_signal_ends_streams_before_the_server_would() -> None:
    registry, came = registry_with(), []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        async with asyncio.timeout(TIMEOUT_S), registry.asgi().running():
            exchange = Exchange(registry)
            await eventually(lambda: len(exchange.events) == 1)
            signal.raise_signal(signal.SIGTERM)
            await exchange.task
            assert exchange.is_whole and exchange.events[-1][0] == 4500
            assert came == [signal.SIGTERM]
            assert registry.running is not None
        signal.raise_signal(signal.SIGTERM)
        assert came == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_handler_that_somebody_else_has_set_since_stays() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        signals = StopSignals()
        signals.watch(lambda: None)

        def later(number: int, frame: Any) -> None:
            pass

        signal.signal(signal.SIGTERM, later)
        signals.forget()
        assert signal.getsignal(signal.SIGTERM) is later
    finally:
        signal.signal(signal.SIGTERM, before)


def test_outside_the_main_thread_no_handler_is_set() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    signals = StopSignals()
    thread = threading.Thread(target=signals.watch, args=(lambda: None,))
    thread.start()
    thread.join()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert not signals.came
