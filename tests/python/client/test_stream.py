"""`async for … in connection.stream(name)`: order, the end, gaps, and what is left when the loop is left."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from ringcast.client import Client, Connection
from ringcast.errors import CloseCode, ConnectionClosed, EventsLost
from ringcast.wire.protocol import Gap, Subscribe, Unsubscribe

from .scripted import Peer, ScriptedServer, event, until


@pytest.fixture
async def connection(client: Client) -> Connection:
    return client.room.get_or_create("k").connect()


@pytest.fixture
async def peer(server: ScriptedServer, connection: Connection) -> Peer:
    peer = await server.accept()
    await peer.welcome()
    await connection.ready()
    return peer


async def test_events_from_the_moment_it_was_made(peer: Peer, connection: Connection) -> None:
    stream = connection.stream("a")
    assert await peer.receive() == Subscribe(1, "a")
    peer.send(event(1, "a", "one"), event(2, "b"), event(3, "a"), event(4, "a", 1, 2))
    assert [await anext(stream) for _ in range(3)] == ["one", (), (1, 2)]


async def test_leaving_the_loop_unsubscribes(peer: Peer, connection: Connection) -> None:
    got = []

    async def consume() -> None:
        async for item in connection.stream("a"):
            got.append(item)
            if item == 2:
                break
        # Here the stream is gone already, not when the function ends.
        assert await peer.receive() == Subscribe(1, "a")
        assert await peer.receive() == Unsubscribe(2, "a")

    consuming = asyncio.create_task(consume())
    await asyncio.sleep(0)
    peer.send(event(1, "a", 1), event(2, "a", 2), event(3, "a", 3))
    await consuming
    assert got == [1, 2]


async def test_a_cancelled_consumer_unsubscribes(peer: Peer, connection: Connection) -> None:
    async def consume() -> None:
        async for _ in connection.stream("a"):
            pass

    consuming = asyncio.create_task(consume())
    assert await peer.receive() == Subscribe(1, "a")
    consuming.cancel()
    await asyncio.wait({consuming})
    del consuming
    gc.collect()  # the exception that ended the task holds its frames
    assert await peer.receive() == Unsubscribe(2, "a")


async def test_close_and_async_with(peer: Peer, connection: Connection) -> None:
    async with connection.stream("a") as stream:
        assert await peer.receive() == Subscribe(1, "a")
    assert await peer.receive() == Unsubscribe(2, "a")
    stream.close()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_stream_that_is_dropped_in_another_thread(peer: Peer, connection: Connection) -> None:
    streams = [connection.stream("a")]
    assert await peer.receive() == Subscribe(1, "a")
    await asyncio.to_thread(streams.clear)
    assert await peer.receive() == Unsubscribe(2, "a")


async def test_it_goes_on_over_a_lost_network(
    server: ScriptedServer, peer: Peer, connection: Connection
) -> None:
    stream = connection.stream("a")
    peer.send(event(1, "a", 1))
    assert await anext(stream) == 1
    peer.cut()
    await (await server.accept()).welcome(event(2, "a", 2), offset=1, replayed=1)
    assert await anext(stream) == 2


async def test_a_gap_is_raised_in_its_place_and_can_be_passed(peer: Peer, connection: Connection) -> None:
    stream = connection.stream("a")
    peer.send(event(1, "a", 1), Gap("ring_overflow", 2, 5), event(6, "a", 6))
    assert await anext(stream) == 1
    with pytest.raises(EventsLost) as lost:
        await anext(stream)
    assert lost.value.metadata == {"reason": "ring_overflow", "first": 2, "last": 5}
    assert await anext(stream) == 6


async def test_it_ends_when_this_side_closes_after_what_has_arrived(
    peer: Peer, connection: Connection
) -> None:
    stream = connection.stream("a")
    peer.send(event(1, "a", 1), event(2, "a", 2))
    await until(lambda: connection.position == ("e1", 2))
    await connection.close()
    assert [item async for item in stream] == [1, 2]
    assert [item async for item in connection.stream("a")] == []


async def test_a_waiting_consumer_is_told_of_the_close(peer: Peer, connection: Connection) -> None:
    async def consume() -> list[Any]:
        return [item async for item in connection.stream("a")]

    consuming = asyncio.create_task(consume())
    await peer.receive()
    await connection.close()
    assert await consuming == []


async def test_it_raises_when_the_server_ends_the_connection(peer: Peer, connection: Connection) -> None:
    connection.on("error", lambda _error: None)
    stream = connection.stream("a")
    peer.send(event(1, "a", 1))
    await until(lambda: connection.position == ("e1", 1))
    await peer.close(CloseCode.DISCONNECTED, "kicked")
    assert await anext(stream) == 1
    with pytest.raises(ConnectionClosed, match="kicked"):
        await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    with pytest.raises(ConnectionClosed, match="kicked"):
        await anext(connection.stream("a"))


async def test_the_end_comes_behind_events_that_wait_for_a_slow_handler(
    peer: Peer, connection: Connection
) -> None:
    connection.on("error", lambda _error: None)
    release = asyncio.Event()

    async def slow(_number: int) -> None:
        await release.wait()

    connection.on("a", slow)
    stream = connection.stream("a")
    peer.send(event(1, "a", 1), event(2, "a", 2))
    await until(lambda: connection.position == ("e1", 2))
    await peer.close(CloseCode.DISCONNECTED, "kicked")
    await until(lambda: connection.status == "closed")
    release.set()
    assert [await anext(stream), await anext(stream)] == [1, 2]
    with pytest.raises(ConnectionClosed):
        await anext(stream)


async def test_off_leaves_streams_alone(peer: Peer, connection: Connection) -> None:
    stream = connection.stream("a")
    connection.on("a", print)
    connection.off()
    peer.send(event(1, "a", 1))
    assert await anext(stream) == 1


async def test_two_streams_each_get_everything(peer: Peer, connection: Connection) -> None:
    streams = [connection.stream("a"), connection.stream("a")]
    peer.send(event(1, "a", 1), event(2, "a", 2))
    assert [[await anext(stream), await anext(stream)] for stream in streams] == [[1, 2], [1, 2]]


async def test_two_tasks_on_one_stream_share_its_events(peer: Peer, connection: Connection) -> None:
    stream = connection.stream("a")
    takers = [asyncio.ensure_future(anext(stream)) for _ in range(2)]
    await asyncio.sleep(0)
    peer.send(event(1, "a", 1), event(2, "a", 2))
    assert sorted(await asyncio.gather(*takers)) == [1, 2]


async def test_lifecycle_events_have_no_stream(connection: Connection) -> None:
    with pytest.raises(ValueError, match="use on"):
        connection.stream("gap")
