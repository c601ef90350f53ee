"""A durable actor's stream comes back as it was, also when an encoding came into use in the middle of it."""

from __future__ import annotations

from linked import LinkedSocket, call, resume_from, running

from ringcast import Actor, Context, MemoryStore, action
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Event


class Feed(Actor):
    durable = True

    @action
    def say(self, c: Context, text: str) -> None:
        c.broadcast("said", text)


async def test_events_from_before_an_encoding_was_used_keep_their_offsets() -> None:
    store = MemoryStore()
    async with running(Feed, store=store) as router:
        async with LinkedSocket(router, Encoding.JSON) as first:
            connected = await first.connect("feed", "a", events=("said",))
            await call(router, "feed", "a", "say", "in one encoding")
            assert (await first.receive(Event)).offset == 1
        async with LinkedSocket(router, Encoding.MSGPACK) as second:
            await second.connect("feed", "a", events=("said",))
            await call(router, "feed", "a", "say", "in both")
            assert (await second.receive(Event)).offset == 2
    async with running(Feed, store=store) as router, LinkedSocket(router, Encoding.JSON) as again:
        answer = await again.connect("feed", "a", resume=resume_from(connected, 0), events=("said",))
        assert (answer.gap, answer.replayed) == (None, 2)
        assert [(await again.receive(Event)).offset for _ in range(2)] == [1, 2]
