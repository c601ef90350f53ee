"""Each time a durable actor starts from its store, an epoch begins: which positions are of this history?"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from linked import LinkedSocket, call, eventually, running
from unwilling_store import UnwillingStore

from ringcast import Actor, Context, MemoryStore, action
from ringcast.errors import CloseCode
from ringcast.router import Router
from ringcast.store import EPOCHS_KEPT
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connect, Connected, Event, Gap, Received, Reply, Resume


class Feed(Actor):
    durable = True

    def __init__(self) -> None:
        self.last = 0

    @action
    def post(self, c: Context) -> int:
        self.last += 1
        c.broadcast("posted", self.last)
        return self.last

    @action
    def edit(self, c: Context) -> None:
        c.broadcast("edited")

    @action
    def count(self, c: Context) -> int:
        return self.last


class Passing(Actor):
    """The same, and nothing is kept."""

    @action
    def post(self, c: Context) -> None:
        c.broadcast("posted")


@asynccontextmanager
async def feed(store: MemoryStore) -> AsyncIterator[Router]:
    async with running(Feed, store=store) as router:
        yield router


async def join(socket: LinkedSocket, resume: Resume | None = None) -> Connected:
    return await socket.connect("feed", "x", resume=resume, events=("posted",))


async def post(store: MemoryStore, count: int) -> None:
    """Start the actor from the store, post so many times, and stop it."""
    async with feed(store) as router:
        await router.resolve(Connect("feed", ("x",)))
        for _ in range(count):
            await call(router, "feed", "x", "post")


async def come_back(store: MemoryStore, resume: Resume) -> Connected:
    """Start the actor from a copy of the store, and return what it answers to whoever resumes."""
    async with feed(copy.deepcopy(store)) as router, LinkedSocket(router) as socket:
        return await join(socket, resume)


async def visited(store: MemoryStore) -> Connected:
    """Have a client connect, and go away."""
    async with feed(store) as router, LinkedSocket(router) as socket:
        return await join(socket)


async def test_a_position_of_an_earlier_epoch_is_good_up_to_where_that_ended() -> None:
    store = MemoryStore()
    first = await visited(store)
    await post(store, 3)
    await post(store, 2)
    epoch_of = {ended: epoch for epoch, ended in next(iter(store._streams.values())).lineage}
    for epoch, offset, missed in ((first.epoch, 0, 5), (epoch_of[3], 3, 2), (epoch_of[3], 1, 4)):
        answer = await come_back(store, Resume(first.session, epoch, offset))
        assert (answer.session, answer.replayed, answer.gap, answer.offset) == (
            *(first.session, missed, None),
            offset,
        )
        assert answer.epoch not in (first.epoch, *epoch_of.values())
    # What was after the end of that epoch, in it, has never been.
    for epoch, offset in ((first.epoch, 1), (epoch_of[3], 4), ("of another store", 0)):
        answer = await come_back(store, Resume(first.session, epoch, offset))
        assert (answer.gap, answer.replayed, answer.offset) == (Gap("epoch_changed"), None, 5)
        assert answer.session != first.session


async def test_who_is_ahead_of_a_copy_that_was_put_back_begins_anew() -> None:
    store = MemoryStore()
    connected = await visited(store)
    await post(store, 2)
    backup = copy.deepcopy(store)
    async with feed(store) as router, LinkedSocket(router) as socket:
        before = await join(socket, Resume(connected.session, connected.epoch, 0))
        assert before.replayed == 2
        await call(router, "feed", "x", "post")
        assert [(await socket.receive(Event)).offset for _ in range(3)] == [1, 2, 3]
    seen = Resume(before.session, before.epoch, 3)
    async with feed(backup) as router, LinkedSocket(router) as socket, LinkedSocket(router) as late:
        answer = await join(socket, seen)
        assert (answer.gap, answer.offset) == (Gap("epoch_changed"), 2)
        # Offset 3 is given to another event, and then more follow: who was at the first 3 does not miss that.
        for _ in range(3):
            await call(router, "feed", "x", "post")
        assert [(await socket.receive(Event)).offset for _ in range(3)] == [3, 4, 5]
        assert (await join(late, seen)).gap == Gap("epoch_changed")


async def test_a_request_that_only_the_lost_history_knows_runs_again_in_the_one_that_is() -> None:
    store = MemoryStore()
    async with feed(store) as router, LinkedSocket(router) as socket:
        connected = await join(socket)
        backup = copy.deepcopy(store)
        socket.send(Call(1, "post", []))
        await socket.receive(Event)
    # Its client has neither the event nor the answer, so it is not ahead.
    async with feed(backup) as router, LinkedSocket(router) as socket:
        answer = await join(socket, Resume(connected.session, connected.epoch, 0, (1,)))
        assert (answer.session, answer.replayed) == (connected.session, 0)
        socket.send(Call(1, "post", []))
        assert (await socket.receive(Event)).offset == 1
        assert await socket.receive(Reply) == Reply(1, 1)


async def test_nobody_is_told_of_an_epoch_that_the_store_does_not_have() -> None:
    store = UnwillingStore()
    connected = await visited(store)
    store.gate.clear()
    async with feed(store) as router, LinkedSocket(router) as socket, LinkedSocket(router) as other:
        resume = Resume(connected.session, connected.epoch, 0)
        socket.send(Connect("feed", ("x",), subscriptions=("posted",), resume=resume))
        other.send(Connect("feed", ("x",)))
        await eventually(lambda: router.actors == 1)
        (instance,) = router._directory
        (stream,) = store._streams.values()
        for _ in range(100):
            await asyncio.sleep(0)
        assert (socket.link.session, other.link.session, stream.epoch) == (None, None, connected.epoch)
        store.gate.set()
        answers = [await socket.receive(Connected), await other.receive(Connected)]
        assert [answer.epoch for answer in answers] == [instance.stream.epoch] * 2 == [stream.epoch] * 2


async def test_the_lineage_is_bounded_and_who_comes_from_before_it_begins_anew() -> None:
    store = MemoryStore()
    first = await visited(store)
    await post(store, 1)
    second = Resume(first.session, next(iter(store._streams.values())).epoch, 1)
    assert (await come_back(store, second)).gap is None
    for _ in range(EPOCHS_KEPT + 2):
        await post(store, 0)
    # The event is kept, and so are the epochs since.
    assert (await come_back(store, second)).gap is None
    (stream,) = store._streams.values()
    stream.events.clear()
    stream.first = 2
    await post(store, 0)
    assert len(stream.lineage) == EPOCHS_KEPT
    assert (await come_back(store, second)).gap == Gap("epoch_changed")


async def test_a_session_whose_window_has_passed_is_no_change_of_epoch() -> None:
    store = MemoryStore()
    async with feed(store) as router, LinkedSocket(router) as socket:
        connected = await join(socket)
        socket.lose(CloseCode.NORMAL)
        await router.resolve(Connect("feed", ("x",)))
        (instance,) = router._directory
        await instance.settled()
    answer = await come_back(store, Resume(connected.session, connected.epoch, 0))
    assert answer.gap == Gap("session_expired")
    answer = await come_back(store, Resume(connected.session, connected.epoch, 7))
    assert answer.gap == Gap("epoch_changed")


async def test_an_offset_that_the_epoch_has_not_given_out_yet_is_no_position() -> None:
    async with feed(MemoryStore()) as router:
        async with LinkedSocket(router) as socket:
            connected = await join(socket)
        async with LinkedSocket(router) as socket:
            resume = Resume(connected.session, connected.epoch, 1)
            socket.send(Connect("feed", ("x",), resume=resume))
            assert (await socket.next()).error["code"] == "invalid_message"  # type: ignore[union-attr]
            await socket.closed_with(CloseCode.INVALID_MESSAGE)


@pytest.mark.parametrize("encoding", list(Encoding), ids=["json", "msgpack"])
async def test_an_actor_that_keeps_nothing_has_no_lineage(encoding: Encoding) -> None:
    store = MemoryStore()
    async with running(Passing, store=store) as router, LinkedSocket(router, encoding) as socket:
        connected = await socket.connect("passing", "x")
    async with running(Passing, store=store) as router, LinkedSocket(router, encoding) as socket:
        answer = await socket.connect("passing", "x", resume=Resume(connected.session, connected.epoch, 0))
        assert answer.gap == Gap("epoch_changed")


async def test_a_store_that_has_no_newer_event_and_lacks_an_answer_is_found_out() -> None:
    store = MemoryStore()
    async with feed(store) as router, LinkedSocket(router) as socket:
        connected = await join(socket)
        backup = copy.deepcopy(store)
        socket.send(Call(1, "count", []))
        assert await socket.receive(Reply) == Reply(1, 0)
    resume = Resume(connected.session, connected.epoch, 0)
    known = replace(resume, unanswered=(), answered=1)
    assert (await come_back(backup, known)).gap == Gap("epoch_changed")
    # The one that has it is no earlier, nor is any for somebody who has no answer yet.
    assert (await come_back(store, known)).session == connected.session
    assert (await come_back(backup, replace(known, answered=0))).session == connected.session


async def test_a_store_that_has_no_newer_event_and_lacks_a_subscription_is_found_out() -> None:
    store = MemoryStore()
    async with feed(store) as router, LinkedSocket(router) as socket:
        connected = await join(socket)
        backup = copy.deepcopy(store)
    resume = Resume(connected.session, connected.epoch, 0, unconfirmed=())
    async with feed(store) as router, LinkedSocket(router) as socket:
        names = ("posted", "edited")
        before = replace(resume, unconfirmed=("edited",))
        assert (await socket.connect("feed", "x", resume=before, events=names)).replayed == 0
    for kept, gap in ((backup, Gap("epoch_changed")), (store, None)):
        async with feed(copy.deepcopy(kept)) as router, LinkedSocket(router) as socket:
            await call(router, "feed", "x", "edit")
            answer = await socket.connect("feed", "x", resume=resume, events=names)
            assert (answer.gap, answer.replayed) == (gap, 1 if gap is None else None)


async def test_what_was_answered_is_known_after_its_reply_is_forgotten() -> None:
    store = MemoryStore()
    async with feed(store) as router, LinkedSocket(router) as socket:
        connected = await join(socket)
        for id in (1, 2, 3):
            socket.send(Call(id, "count", []))
            await socket.receive(Reply)
        socket.send(Received([3]))
        socket.send(Call(4, "count", []))
        await socket.receive(Reply)
    resume = Resume(connected.session, connected.epoch, 0, unanswered=())
    assert (await come_back(store, replace(resume, answered=4))).session == connected.session
    assert (await come_back(store, replace(resume, answered=5))).gap == Gap("epoch_changed")


async def test_a_session_that_has_never_asked_for_anything_has_no_answers() -> None:
    async with running(Passing) as router, LinkedSocket(router) as socket, LinkedSocket(router) as again:
        connected = await socket.connect("passing", "x")
        resume = Resume(connected.session, connected.epoch, 0, answered=0, unconfirmed=())
        assert (await again.connect("passing", "x", resume=resume)).session == connected.session
        async with LinkedSocket(router) as third:
            answer = await third.connect("passing", "x", resume=replace(resume, answered=1))
            assert answer.gap == Gap("epoch_changed")
