"""Heartbeats on the level of messages: where a client is, told behind everything that it is to get."""

from __future__ import annotations

import pytest
from linked import LinkedSocket, call, resume_from, running
from room import Room, actor_of

from ringcast.config import ServerConfig
from ringcast.gateway.heartbeat import Beat
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Event, Heartbeat, Reply

_LARGE = "x" * 60_000
_FLOOD = 50
"""Events of that size that no socket buffer takes unread, and that a ring retains."""


@pytest.fixture(params=list(Encoding), ids=["json", "msgpack"])
def encoding(request: pytest.FixtureRequest) -> Encoding:
    found: Encoding = request.param
    return found


async def test_a_client_is_told_how_far_it_has_come_though_nothing_was_for_it(encoding: Encoding) -> None:
    async with running(Room) as router, LinkedSocket(router, encoding) as client:
        connected = await client.connect("room", "a")
        assert (await client.receive(Event)).name == "welcome"
        for n in range(5):
            await call(router, "room", "a", "say", n)
        client.link.beat(Beat(1.5), ping=False)
        assert await client.receive(Heartbeat) == Heartbeat(connected.stream, 2 + 5, 1.5)


async def test_the_connect_answer_says_how_often() -> None:
    async with running(Room, heartbeat_s=7.0) as router, LinkedSocket(router) as client:
        assert (await client.connect("room", "a")).heartbeat_s == 7.0


async def test_a_slow_reader_is_told_behind_everything_up_to_that_offset(encoding: Encoding) -> None:
    async with running(Room) as router, LinkedSocket(router, encoding) as slow:
        await slow.connect("room", "a", events=("said",))
        seen = (await slow.receive(Event)).offset
        room = actor_of(router)
        for n in range(_FLOOD):
            room.broadcast("said", n, _LARGE)
        await room.drain()  # as far as the socket takes it
        told = _FLOOD + seen
        slow.link.beat(Beat(0.0), ping=False)
        room.broadcast("said", "behind")
        while isinstance(message := await slow.next(), Event):
            assert message.offset == seen + 1
            seen = message.offset
        assert isinstance(message, Heartbeat)
        assert message.offset == told == seen
        assert (await slow.receive(Event)).args == ["behind"]


async def test_heartbeats_do_not_pile_up_behind_a_client_that_does_not_read() -> None:
    async with running(Room) as router, LinkedSocket(router) as slow:
        await slow.connect("room", "a", events=("said",))
        await slow.receive(Event)
        room = actor_of(router)
        for n in range(_FLOOD):
            room.broadcast("said", n, _LARGE)
        await room.drain()
        for _ in range(100):
            slow.link.beat(Beat(0.0), ping=False)
        came = [await slow.next() for _ in range(_FLOOD + 1)]
        assert [type(message) for message in came if not isinstance(message, Event)] == [Heartbeat]
        slow.send(Call(1, "runs_so_far", []))
        await slow.receive(Reply)  # and no other heartbeat before it
        # It reads again, and is told again.
        slow.link.beat(Beat(0.0), ping=False)
        await slow.receive(Heartbeat)


async def test_a_durable_actor_tells_of_nothing_that_is_not_committed(encoding: Encoding) -> None:
    class Kept(Room):
        durable = True

    async with running(Kept) as router, LinkedSocket(router, encoding) as client:
        await client.connect("kept", "a", events=("said",))
        seen = (await client.receive(Event)).offset
        actor_of(router).broadcast("said", "soon")
        client.link.beat(Beat(0.0), ping=False)
        assert (await client.receive(Heartbeat)).offset == seen
        assert (await client.receive(Event)).offset == seen + 1


async def test_a_heartbeat_is_encoded_once_for_all_of_a_stream(encoding: Encoding) -> None:
    async with running(Room) as router, LinkedSocket(router) as first, LinkedSocket(router) as other:
        await first.connect("room", "a")
        await other.connect("room", "b")
        streams = [instance.stream for instance in router._directory]
        beat = Beat(0.0)
        messages = [beat.message(stream, encoding) for stream in streams]
        assert len(set(messages)) == 2
        assert all(
            beat.message(stream, encoding) is message
            for stream, message in zip(streams, messages, strict=True)
        )


async def test_nobody_is_told_before_it_is_connected_or_after_its_end() -> None:
    async with running(Room) as router, LinkedSocket(router) as client:
        client.link.beat(Beat(0.0), ping=False)
        await client.connect("room", "a")
        await client.receive(Event)
        client.link.close(4500)
        client.link.beat(Beat(0.0), ping=True)
        assert (await client.closed()).code == 4500


async def test_a_client_whose_session_was_taken_over_is_not_told() -> None:
    async with running(Room) as router, LinkedSocket(router) as first, LinkedSocket(router) as second:
        connected = await first.connect("room", "a")
        await first.receive(Event)
        await second.connect("room", "a", resume=resume_from(connected, 2))
        first.link.beat(Beat(0.0), ping=False)
        assert (await first.closed()).code == 4004


def test_a_peer_that_only_answers_pings_must_not_count_as_dead() -> None:
    ServerConfig(heartbeat_s=1.0, dead_peer_timeout_s=2.1)
    with pytest.raises(ValueError, match="must exceed two heartbeats"):
        ServerConfig(heartbeat_s=1.0, dead_peer_timeout_s=2.0)
