"""What is known of events that are gone is the same after a restart: no answer to a resume differs."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from linked import LinkedSocket, call, resume_from, running

from ringcast import Actor, Context, MemoryStore, action
from ringcast.connection import KeptConnection
from ringcast.durable.stream import DurableStream
from ringcast.errors import CloseCode
from ringcast.router import Router
from ringcast.running.instance import ActorInstance
from ringcast.store import Change, Trimmed
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connect, Event, Gap, Reply

NAMES = ("a", "b", "c")


class Small(Actor, max_ring_events=4):
    durable = True


class Tiny(Actor, max_ring_events=1):
    durable = True


class Large(Actor, max_ring_events=16):
    durable = True


class Wall(Actor, max_ring_events=8):
    """Tells everybody, one, or all but one."""

    durable = True

    @action
    def post(self, c: Context, name: str) -> None:
        c.broadcast(name)

    @action
    def post_to_others(self, c: Context, name: str) -> None:
        c.broadcast(name, exclude=c.conn)

    @action
    def whisper(self, c: Context) -> None:
        c.conn.send("whisper")


class RecordingStore(MemoryStore):
    """Remembers what was trimmed."""

    def __init__(self) -> None:
        super().__init__()
        self.trims: list[Trimmed] = []

    async def commit(self, actor_id: str, changes: list[Change]) -> None:  # type: ignore[override]
        await super().commit(actor_id, changes)
        self.trims += [change for change in changes if isinstance(change, Trimmed)]


# --- all that can happen ------------------------------------------------------------------------------------


class History:
    """Random sessions of one durable actor, without sockets, over restarts."""

    def __init__(self, actor: type[Actor], random: Random) -> None:
        self.actor = actor
        self.name = actor.__name__.lower()
        self.random = random
        self.store = MemoryStore()
        self.ids = itertools.count()
        self.begins: dict[str, int] = {}
        """By connection id, the position at which its client began: what was before, it was told then."""

    async def live(self, steps: int) -> None:
        """Take so many steps in one process, which dies; what the next one answers has to be the same."""
        async with running(self.actor, store=self.store) as router:
            instance = await self.start(router)
            often = self.random.choice((0.1, 0.3, 0.9))
            for _ in range(steps):
                self.step(instance)
                if self.random.random() < often:
                    await instance.settled()
            await instance.settled()
            before = self.answers(instance)
            self.store = copy.deepcopy(self.store)
        async with running(self.actor, store=copy.deepcopy(self.store)) as router:
            assert self.answers(await self.start(router)) == before

    async def start(self, router: Router) -> ActorInstance:
        await router.resolve(Connect(self.name, ("x",)))
        (instance,) = router._directory
        return instance

    def step(self, instance: ActorInstance) -> None:
        random = self.random
        stream = instance.stream
        assert isinstance(stream, DurableStream)
        open_now = list(stream._members)
        some = random.sample(open_now, min(len(open_now), random.choice((0, 1, 1, 2))))
        what = random.choices(
            ("publish", "only", "exclude", "subscribe", "unsubscribe", "open", "keep", "close"),
            (7, 1, 2, 3, 3, 1, 2, 1),
        )[0]
        name = random.choice(NAMES)
        if what == "publish":
            stream.publish(name, b"[]", None)
        elif what == "only":
            stream.publish(name, b"[]", None, only=some)
        elif what == "exclude":
            stream.publish(name, b"[]", None, exclude=some)
        elif what == "open" and len(open_now) < 6:
            id = f"c{next(self.ids)}"
            self.begins[id] = stream.head
            stream.introduce(stream.open(Encoding.JSON.index, random.sample(NAMES, 2)), id)
        for number in some[:1]:
            if what == "subscribe":
                stream.subscribe(number, name)
            elif what == "unsubscribe" and stream._members[number].kept:
                stream.unsubscribe(number, name)
            elif what == "close":
                stream.close(number)
            elif what == "keep" and not stream._members[number].kept:
                self.keep(instance, stream, number)

    def keep(self, instance: ActorInstance, stream: DurableStream, number: int) -> None:
        id = stream._members[number].id
        connection = KeptConnection[None](id, None, None, instance.emitter, stream)
        connection._number = number
        stream.keep(connection, f"token of {id}", Encoding.JSON)
        _, first, last = stream.resume(number, self.begins[id])
        if first:
            self.begins[id] = last

    def answers(self, instance: ActorInstance) -> dict[tuple[str, int], tuple[int, int, int]]:
        """Return what each session is told from each position at which its client may be."""
        stream = instance.stream
        assert isinstance(stream, DurableStream)
        return {
            (member.id, offset): stream.resume(number, offset)
            for number, member in stream._members.items()
            if member.kept
            for offset in range(self.begins[member.id], stream.head + 1)
        }


@given(seed=st.integers(0, 2**32), lives=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_a_restart_changes_no_answer(seed: int, lives: int) -> None:
    async def scenario() -> None:
        random = Random(seed)
        history = History(random.choice((Tiny, Small, Large)), random)
        for _ in range(lives):
            await history.live(random.choice((10, 60, 200)))

    asyncio.run(scenario())


# --- one thing at a time ------------------------------------------------------------------------------------


async def test_a_client_that_nothing_of_what_is_lost_was_for_comes_back_without_a_gap_after_a_crash() -> None:
    store = MemoryStore()
    async with running(Wall, store=store) as router:
        async with LinkedSocket(router) as quiet, LinkedSocket(router) as other:
            listens_to_a = await quiet.connect("wall", "x", events=("a",))
            listens_to_b = await other.connect("wall", "x", events=("b",))
        await call(router, "wall", "x", "post", "a")
        for _ in range(50):
            await call(router, "wall", "x", "post", "b")
        crashed = copy.deepcopy(store)
    async with running(Wall, store=crashed) as router:
        async with LinkedSocket(router) as client:
            again = await client.connect("wall", "x", resume=resume_from(listens_to_a, 1), events=("a",))
            assert (again.session, again.replayed, again.gap) == (listens_to_a.session, 0, None)
        async with LinkedSocket(router) as client:
            again = await client.connect("wall", "x", resume=resume_from(listens_to_a, 0), events=("a",))
            assert (again.replayed, again.gap) == (0, Gap("ring_overflow", 1, 43))
        async with LinkedSocket(router) as client:
            again = await client.connect("wall", "x", resume=resume_from(listens_to_b, 1), events=("b",))
            assert (again.replayed, again.gap) == (8, Gap("ring_overflow", 2, 43))


async def test_what_one_was_excluded_from_and_what_another_alone_was_sent_is_known_after_a_crash() -> None:
    store = MemoryStore()
    async with (
        running(Wall, store=store) as router,
        LinkedSocket(router) as first,
        LinkedSocket(router) as second,
    ):
        speaker = await first.connect("wall", "x", events=("a",))
        hearer = await second.connect("wall", "x", events=("a",))
        first.send(Call(1, "post_to_others", ["a"]), Call(2, "whisper", []), Call(3, "post_to_others", ["a"]))
        for id in (1, 2, 3):
            while (message := await first.next()) != Reply(id, None):
                assert isinstance(message, Event)
        for _ in range(50):
            await call(router, "wall", "x", "post", "nobody listens")
        crashed = copy.deepcopy(store)
    async with running(Wall, store=crashed) as router:
        stream = (await found(router)).stream
        assert isinstance(stream, DurableStream)
        lost = {
            member.id: [stream.resume(number, offset)[1] for offset in range(4)]
            for number, member in stream._members.items()
        }
    assert lost == {speaker.connection: [1, 2, 0, 0], hearer.connection: [1, 2, 3, 0]}


async def test_who_took_long_to_be_let_in_has_lost_nothing_that_was_kept_from_him_meanwhile() -> None:
    """His session is kept from then on; the store has been trimmed before."""
    history = History(Small, Random(0))
    async with running(Small, store=history.store) as router:
        instance = await history.start(router)
        stream = instance.stream
        assert isinstance(stream, DurableStream)
        history.begins["c"] = 0
        number = stream.open(Encoding.JSON.index, ["a"])
        stream.introduce(number, "c")
        stream.publish("a", b"[]", None, exclude=[number])
        for _ in range(20):
            stream.publish("b", b"[]", None)
            await instance.settled()
        # Once more, so that nothing is left to trim.
        await instance.settled()
        history.keep(instance, stream, number)
        await instance.settled()
        crashed = copy.deepcopy(history.store)
    async with running(Small, store=crashed) as router:
        assert history.answers(await history.start(router))["c", 0] == (0, 0, 0)


async def test_a_trim_writes_nothing_for_those_whose_loss_follows_from_names() -> None:
    store = RecordingStore()
    async with running(Wall, store=store) as router, contextlib.AsyncExitStack() as open_sockets:
        sockets = [await open_sockets.enter_async_context(LinkedSocket(router)) for _ in range(20)]
        for socket in sockets:
            await socket.connect("wall", "x", events=("a",))
        for _ in range(40):
            await call(router, "wall", "x", "post", "a")
        assert len(store.trims) >= 10
        assert [(len(trim.let_go), trim.lost) for trim in store.trims] == [(1, ())] * len(store.trims)


async def test_a_trim_writes_for_the_one_who_differs_until_he_differs_no_more() -> None:
    store = RecordingStore()
    async with (
        running(Wall, store=store) as router,
        LinkedSocket(router) as socket,
        LinkedSocket(router) as other,
    ):
        speaker = await socket.connect("wall", "x", events=("a",))
        await other.connect("wall", "x", events=("a",))
        await call(router, "wall", "x", "post", "a")
        socket.send(Call(1, "post_to_others", ["a"]))
        for _ in range(20):
            await call(router, "wall", "x", "post", "nobody listens")
        # Once, though many trims followed.
        assert [trim.lost for trim in store.trims if trim.lost][-1] == ((speaker.connection, 1),)
        assert sum(len(trim.lost) for trim in store.trims) == 1
        for _ in range(20):
            await call(router, "wall", "x", "post", "a")
        assert [trim.lost for trim in store.trims if trim.lost][1:] == [((speaker.connection, None),)]


async def test_names_that_nobody_listens_for_are_not_kept() -> None:
    store = RecordingStore()
    async with running(Wall, store=store) as router, LinkedSocket(router) as socket:
        await socket.connect("wall", "x", events=("a",))
        for number in range(40):
            await call(router, "wall", "x", "post", f"made up {number}")
        await call(router, "wall", "x", "post", "a")
        for number in range(40):
            await call(router, "wall", "x", "post", f"made up {number}")
        (stream,) = store._streams.values()
        assert stream.let_go == {"a": 41}
        socket.lose(CloseCode.NORMAL)
        for _ in range(40):
            await call(router, "wall", "x", "post", "b")
        assert stream.let_go == {}


async def found(router: Router) -> ActorInstance:
    await router.resolve(Connect("wall", ("x",)))
    (instance,) = router._directory
    return instance
