"""A lost network: what was missed comes again in order, or a gap says that it cannot; calls run once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import actors
import pytest
from heard import TIMEOUT_S, Heard
from served import Encoding

from ringcast import Client
from ringcast.client import ClientConfig
from ringcast.errors import EventsLost, OutcomeUnknown
from ringcast.testing import LocalServer, NetworkProxy, assert_event, assert_no_event, record
from ringcast.wire.protocol import Gap

TRANSPORTS = ("plain", "tls")

LIFE = ("disconnected", "reconnected", "replayed", "gap", "item", "left")


async def test_missed_events_come_in_order_each_once(
    network: NetworkProxy, far: Client, client: Client, key: list[str]
) -> None:
    feed = client.feed.get_or_create(key)
    connection = far.feed.get_or_create(key).connect()
    heard = Heard(connection, *LIFE)
    async with connection:
        await connection.emit(3)
        for cut in range(3):
            network.cut()
            await heard.until("disconnected", cut + 1)
            await feed.emit(10)
            network.restore()
            assert (await heard.until("replayed", cut + 1))[cut] == 10
            await heard.until("item", 3 + 11 * cut + 10)
            await connection.emit(1)
    one_cut = ["disconnected", "reconnected", "replayed", *["item"] * 11]
    assert heard.names == ["item"] * 3 + one_cut * 3 + ["disconnected"]
    assert heard.of("item") == list(range(1, 3 + 33 + 1))
    assert connection.duplicates == 0


async def test_a_replay_is_what_the_connection_would_have_had(
    network: NetworkProxy, far: Client, client: Client, key: list[str]
) -> None:
    """Events to others, and of names that it did not listen for, are not replayed; those to it alone are."""
    params = [{"player_id": name} for name in ("ann", "bob", "cleo")]
    absent = far.game_room.get_or_create(key).connect(params[0])
    heard = Heard(absent, "disconnected", "replayed", "playerMoved", "privateMessage")
    room = client.game_room.get_or_create(key)
    async with absent, room.connect(params[1]) as bob, room.connect(params[2]) as cleo:
        network.cut()
        await heard.until("disconnected")
        await bob.move(1, 1)
        await bob.start_game()
        await bob.send_private_message("cleo", "not for ann")
        await cleo.send_private_message("ann", "for ann")
        await bob.move(2, 2)
        network.restore()
        assert await heard.until("replayed") == [3]
        await absent.who_am_i()
    assert heard.all[2:-1] == [
        ("playerMoved", "bob", {"x": 1, "y": 1}),
        ("privateMessage", {"from": "cleo", "text": "for ann"}),
        ("playerMoved", "bob", {"x": 2, "y": 2}),
    ]


async def test_a_storm_of_events_over_many_cuts(
    network: NetworkProxy, far: Client, client: Client, key: list[str]
) -> None:
    """Whenever the network goes, in the middle of a frame too, nothing is lost, doubled or out of order."""
    feed = client.feed.get_or_create(key)
    connection = far.feed.get_or_create(key).connect()
    heard = Heard(connection, *LIFE)
    async with connection:
        for cut in range(5):
            sending = asyncio.create_task(feed.emit(1000))
            await heard.until("item", 1000 * cut + 100)
            network.cut()
            await heard.until("disconnected", cut + 1)
            await sending
            network.restore()
            await heard.until("item", 1000 * (cut + 1))
    assert heard.of("item") == list(range(1, 5001))
    assert heard.of("gap") == []


class TestSilentNetwork:
    """Nobody is told that the network has gone: no reset, no answer."""

    @pytest.fixture
    def config(self, config: ClientConfig) -> ClientConfig:
        return replace(config, ping_idle_s=0.4, ping_reply_s=0.4, connect_timeout_s=0.5)

    async def test_missed_events_come_in_order(
        self, network: NetworkProxy, far: Client, client: Client, key: list[str]
    ) -> None:
        feed = client.feed.get_or_create(key)
        connection = far.feed.get_or_create(key).connect()
        heard = Heard(connection, *LIFE)
        async with connection:
            await connection.emit(3)
            network.partition()
            # The server writes these to a socket that it takes for a good one.
            await feed.emit(10)
            await heard.until("disconnected")
            await feed.emit(10)
            network.restore()
            assert await heard.until("replayed") == [20]
            await heard.until("item", 23)
            await connection.emit(1)
        assert heard.of("item") == list(range(1, 25))
        assert heard.of("gap") == []


async def test_an_overflown_ring_is_a_gap_and_then_what_is_left(
    network: NetworkProxy, far: Client, client: Client, key: list[str]
) -> None:
    feed = client.short_feed.get_or_create(key)
    connection = far.short_feed.get_or_create(key).connect()
    heard = Heard(connection, *LIFE)
    async with connection:
        stream = connection.stream("item")
        await connection.emit(3)
        network.cut()
        await heard.until("disconnected")
        await feed.emit(40)
        network.restore()
        assert await heard.until("replayed") == [16]
        await connection.emit(1)
        gap = Gap("ring_overflow", first=4, last=27)
        kept = [*range(28, 44), 44]
        assert heard.all == [
            *(("item", n) for n in (1, 2, 3)),
            ("disconnected",),
            ("reconnected",),
            ("gap", gap),
            ("replayed", 16),
            *(("item", n) for n in kept),
        ]
        assert [await anext(stream) for _ in range(3)] == [1, 2, 3]
        with pytest.raises(EventsLost) as lost:
            await anext(stream)
        assert lost.value.metadata == {"reason": "ring_overflow", "first": 4, "last": 27}
        assert [await anext(stream) for _ in kept] == kept


async def test_calls_made_while_offline_run_once_and_in_order(
    network: NetworkProxy, far: Client, client: Client, key: list[str]
) -> None:
    connection = far.feed.get_or_create(key).connect()
    heard = Heard(connection, "disconnected")
    async with connection:
        network.cut()
        await heard.until("disconnected")
        calls = [asyncio.create_task(connection.add(n)) for n in (1, 10, 100)]
        # Each has been made, and none has reached the server.
        assert await client.feed.get_or_create(key).add(0) == 0
        network.restore()
        async with asyncio.timeout(TIMEOUT_S):
            assert await asyncio.gather(*calls) == [1, 11, 111]
        assert await connection.add(0) == 111


async def test_a_call_whose_answer_is_lost_runs_once(
    network: NetworkProxy, far: Client, client: Client, key: list[str]
) -> None:
    feed = client.feed.get_or_create(key)
    connection = far.feed.get_or_create(key).connect()
    heard = Heard(connection, "disconnected", "adding", "added")
    async with feed.connect() as watcher, connection:
        seen = Heard(watcher, "added")
        slow = asyncio.create_task(connection.add_slowly(5))
        await heard.until("adding")
        network.partition()
        await feed.release()
        await seen.until("added")
        # The answer was written in the turn of the server's loop that sent `added`: it is over now, and both
        # are in the network, where they get lost.
        assert await feed.add(0) == 5
        assert not slow.done()
        network.cut()
        await heard.until("disconnected")
        network.restore()
        async with asyncio.timeout(TIMEOUT_S):
            assert await slow == 5
        await heard.until("added")
    assert await feed.add(0) == 5
    assert heard.names == ["adding", "disconnected", "added", "disconnected"]


async def test_a_call_that_never_arrived_runs_once(
    network: NetworkProxy, far: Client, client: Client, key: list[str]
) -> None:
    feed = client.feed.get_or_create(key)
    connection = far.feed.get_or_create(key).connect()
    heard = Heard(connection, "disconnected")
    async with connection:
        network.partition()
        call = asyncio.create_task(connection.add(5))
        assert await feed.add(0) == 0  # and `call` has been sent, into nothing
        network.cut()
        await heard.until("disconnected")
        assert await feed.add(0) == 0
        network.restore()
        async with asyncio.timeout(TIMEOUT_S):
            assert await call == 5
    assert await feed.add(0) == 5


async def test_a_call_in_progress_is_answered_over_the_next_socket(
    network: NetworkProxy, far: Client, client: Client, key: list[str]
) -> None:
    connection = far.feed.get_or_create(key).connect()
    heard = Heard(connection, "disconnected", "reconnected", "adding")
    async with connection:
        slow = asyncio.create_task(connection.add_slowly(5))
        await heard.until("adding")
        network.cut()
        await heard.until("disconnected")
        network.restore()
        await heard.until("reconnected")
        assert not slow.done()
        await client.feed.get_or_create(key).release()
        async with asyncio.timeout(TIMEOUT_S):
            assert await slow == 5
        assert heard.of("adding") == [[]]
        assert await connection.add(0) == 5


async def test_an_expired_session_is_a_gap(encoding: Encoding, key: list[str]) -> None:
    async with LocalServer(actors.registry) as server:
        feed = server.client().feed.get_or_create(key)
        connection = await server.connect("feed", key, events=["item"], encoding=encoding)
        watcher = await server.connect("feed", key, events=["left", "adding"])
        await connection.emit(3)
        name = connection.id
        unanswered = asyncio.create_task(connection.add_slowly(1))
        await assert_event(watcher, "adding")
        await server.cut(connection)
        waiting = asyncio.create_task(connection.add(10))
        await feed.emit(5)
        await server.clock.advance(29.9)
        await assert_no_event(watcher, "left")
        await server.clock.advance(0.1)
        await assert_event(watcher, "left", name)
        server.restore(connection)
        await assert_event(connection, "gap", Gap("session_expired"))
        with pytest.raises(OutcomeUnknown):
            await unanswered
        assert await waiting == 11
        await connection.emit(1)
        assert connection.id != name
        assert await feed.connects_so_far() == 3
        assert record(connection).of("item") == [1, 2, 3, 9]
        await assert_no_event(connection, "replayed")
        await feed.release()  # a server that stops waits for its running actions
