"""An answer behind events which were for others, and which the ring lets go before the socket takes them."""

from __future__ import annotations

from linked import LinkedSocket, running
from room import Room, actor_of

from ringcast.wire.protocol import Call, Event, Reply


async def test_it_goes_out_and_the_events_after_it_too() -> None:
    class Small(Room, max_ring_events=4):
        pass

    async with running(Small) as router, LinkedSocket(router) as slow:
        await slow.connect("small", "a", events=("said",))
        await slow.receive(Event)
        room = actor_of(router)
        room.broadcast("said", "x" * 1_000_000)  # the socket takes a part of it, and no more
        await room.drain()
        room.broadcast("of others")
        slow.send(Call(1, "runs_so_far", []))
        for _ in range(4):
            room.broadcast("of others")
        for n in range(4):
            room.broadcast("said", n)
        await room.drain()
        await slow.receive(Event)
        assert await slow.receive(Reply) == (1, 0)
        assert [(await slow.receive(Event)).args for _ in range(4)] == [[0], [1], [2], [3]]
