"""A client that is closed for reading too slowly, and the answers that wait for it."""

from __future__ import annotations

from linked import Closed, LinkedSocket, running
from room import Room, actor_of

from ringcast.errors import CloseCode
from ringcast.wire.protocol import Call, Reply

_LARGE = "x" * 60_000


async def test_a_slow_reader_gets_no_answer_before_the_events_of_its_action() -> None:
    class Small(Room, max_ring_events=10):
        pass

    async with running(Small) as router, LinkedSocket(router) as slow:
        await slow.connect("small", "a", events=("said",))
        for n in range(6):
            actor_of(router).broadcast("said", n, _LARGE)
        await actor_of(router).drain()  # the socket takes no more
        slow.send(Call(1, "say", ["the event of the action"]))
        for n in range(8):
            actor_of(router).broadcast("said", n, _LARGE)
        await actor_of(router).drain()  # the ring has let go what was still to come
        got = []
        while not isinstance(message := await slow.next(), Closed):
            got.append(message)
        assert message == (CloseCode.SLOW_READER, "slow_reader")
        assert not any(isinstance(message, Reply) for message in got)
