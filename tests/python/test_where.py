"""Events and selections by a filter, in a running actor: who gets one is decided when it is sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from linked import TIMEOUT_S, LinkedSocket, call, resume_from, running

from ringcast import Actor, Connection, Context, MemoryStore, action, attribute, where
from ringcast.errors import ActorDestroyed, CloseCode, InvalidFilter, ReservedName
from ringcast.router import Router
from ringcast.running.home import Home
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connected, Event, Gap, Reply, Subscribe, Unsubscribe

VIP = where(tags__has="vip")


@dataclass
class Reader:
    role: str = "guest"
    level: int = 0
    tags: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


class Desk(Actor[None, Reader]):
    """Its tests tell it what to do."""

    work: Callable[[Context[None, Reader]], Any]

    @action
    def do(self, c: Context[None, Reader]) -> Any:
        return type(self).work(c)

    @action
    async def do_later(self, c: Context[None, Reader]) -> Any:
        return await type(self).work(c)

    def on_connect(self, c: Context[None, Reader]) -> None:
        c.broadcast("came", c.conn.state.role, where=where(level__ge=9))


class Small(Desk, max_ring_events=3):
    pass


class DurableDesk(Desk):
    durable = True


class DurableSmall(Small, max_ring_events=3):
    durable = True


KINDS = pytest.mark.parametrize("durable", [False, True], ids=["ordinary", "durable"])


@dataclass
class Hall:
    """A desk, and sockets that are connected to it by name."""

    router: Router
    kind: type[Desk]
    sockets: dict[str, LinkedSocket]
    answers: dict[str, Connected]

    async def join(self, name: str, *events: str, **state: Any) -> Connected:
        encoding = list(Encoding)[len(self.sockets) % 2]
        socket = self.sockets[name] = LinkedSocket(self.router, encoding)
        actor = self.kind.__name__[0].lower() + self.kind.__name__[1:]
        self.answers[name] = await socket.connect(actor, "x", params=state, events=events or ("news",))
        return self.answers[name]

    async def come_back(self, name: str, offset: int, *events: str) -> Connected:
        socket = self.sockets[name]
        before = self.sockets[name] = LinkedSocket(self.router, socket.encoding)
        actor = self.kind.__name__[0].lower() + self.kind.__name__[1:]
        resume = resume_from(self.answers[name], offset)
        self.answers[name] = await before.connect(actor, "x", resume=resume, events=events or ("news",))
        return self.answers[name]

    async def do(self, work: Callable[[Context[None, Reader]], Any]) -> Any:
        """Run this in an action."""
        self.kind.work = staticmethod(work)  # type: ignore[method-assign, assignment]
        actor = self.kind.__name__[0].lower() + self.kind.__name__[1:]
        return await call(self.router, actor, "x", "do")

    def actor(self) -> Desk:
        (instance,) = self.router._directory
        assert isinstance(instance.actor, Desk)
        return instance.actor

    def conn(self, name: str) -> str:
        return self.answers[name].connection

    async def news(self, name: str) -> list[Any]:
        """Return what a client has got up to an event that all get."""
        got = []
        while (event := await self.sockets[name].receive(Event)).name != "news" or event.args != ["end"]:
            got.append(event.args[0])
        return got

    async def everybodys_news(self) -> dict[str, list[Any]]:
        await self.do(lambda c: c.broadcast("news", "end"))
        return {name: await self.news(name) for name in self.sockets}


@asynccontextmanager
async def hall(kind: type[Desk] = Desk, *, durable: bool = False) -> AsyncIterator[Hall]:
    if durable:
        kind = {Desk: DurableDesk, Small: DurableSmall}[kind]
    async with running(kind, store=MemoryStore()) as router:
        made = Hall(router, kind, {}, {})
        try:
            yield made
        finally:
            for socket in made.sockets.values():
                await socket.__aexit__(None, None, None)


@KINDS
async def test_an_event_is_for_those_subscribers_that_match(durable: bool) -> None:
    async with hall(durable=durable) as desk:
        await desk.join("ann", role="admin", level=3)
        await desk.join("bob", role="guest", level=5, tags=["vip"])
        await desk.join("cleo", "other", "news", role="admin", level=1, tags=["vip", "new"])
        await desk.join("dan", "other", role="admin", level=9)

        def send(c: Context[None, Reader]) -> None:
            c.broadcast("news", "admins", where=where(role="admin"))
            c.broadcast("news", "vips", where=VIP)
            c.broadcast("news", "either", where=VIP | (attribute("level") >= 3))
            c.broadcast("news", "neither", where=~VIP & (attribute("level") < 3))
            c.broadcast("news", "all", where=where())
            c.broadcast("other", "others", where=where(role="admin"))

        await desk.do(send)
        await desk.do(lambda c: c.broadcast("other", "end of others"))
        await desk.do(lambda c: c.broadcast("news", "end"))
        assert await desk.news("ann") == ["admins", "either", "all"]
        assert await desk.news("bob") == ["vips", "either", "all"]
        assert await desk.news("cleo") == ["admins", "vips", "either", "all", "others", "end of others"]
        received = [(await desk.sockets["dan"].receive(Event)).args for _ in range(2)]
        assert received == [["others"], ["end of others"]]


@KINDS
async def test_a_filter_sees_what_was_assigned_last_by_whatever_way(durable: bool) -> None:
    async with hall(durable=durable) as desk:
        await desk.join("ann")
        await desk.join("bob")

        def change(c: Context[None, Reader]) -> None:
            ann, bob = (c.conns.get(desk.conn(name)) for name in ("ann", "bob"))
            assert ann is not None and bob is not None
            c.broadcast("news", 1, where=VIP)
            ann.state.tags.add("vip")
            c.broadcast("news", 2, where=VIP)
            # By references that were taken before.
            tags, state = ann.state.tags, bob.state
            c.broadcast("news", 3, where=VIP)
            tags.clear()
            state.tags = {"vip"}
            c.broadcast("news", 4, where=VIP)
            bob.state = Reader(role="new one")
            c.broadcast("news", 5, where=VIP)
            c.broadcast("news", 6, where=where(role="new one"))

        await desk.do(change)
        assert await desk.everybodys_news() == {"ann": [2, 3], "bob": [4, 6]}


@KINDS
async def test_whoever_is_excluded_gets_nothing_though_it_matches(durable: bool) -> None:
    async with hall(durable=durable) as desk:
        for name in ("ann", "bob", "cleo"):
            await desk.join(name, tags=["vip"])

        def send(c: Context[None, Reader]) -> None:
            ann, bob = (c.conns.get(desk.conn(name)) for name in ("ann", "bob"))
            assert ann is not None and bob is not None
            c.broadcast("news", 1, where=VIP, exclude=ann)
            c.broadcast("news", 2, where=VIP, exclude=[ann, bob])
            c.conns.where(VIP).exclude(bob).send("news", 3)

        await desk.do(send)
        assert await desk.everybodys_news() == {"ann": [3], "bob": [1], "cleo": [1, 2, 3]}


@KINDS
async def test_a_connection_is_seen_from_its_on_connect_on(durable: bool) -> None:
    async with hall(durable=durable) as desk:
        await desk.join("ann", "came", level=9)
        await desk.join("bob", "came", level=1)
        await desk.join("cleo", "came", level=9, role="third")
        received = [(await desk.sockets["ann"].receive(Event)).args for _ in range(3)]
        assert received == [["guest"], ["guest"], ["third"]]
        assert (await desk.sockets["cleo"].receive(Event)).args == ["third"]
        # One that has gone is seen no more.
        desk.sockets["cleo"].lose(CloseCode.NORMAL)
        assert await desk.do(lambda c: len(c.conns.where(level__ge=9))) == 1


@KINDS
async def test_who_matched_is_decided_when_it_is_sent_for_those_who_are_away_as_well(durable: bool) -> None:
    async with hall(durable=durable) as desk:
        start = await desk.join("ann", tags=["vip"])
        await desk.join("bob")
        await desk.join("eve", "nothing")
        for name in ("ann", "bob", "eve"):
            desk.sockets[name].lose()

        def send(c: Context[None, Reader]) -> None:
            ann, bob, eve = (c.conns.get(desk.conn(name)) for name in ("ann", "bob", "eve"))
            assert ann is not None and bob is not None and eve is not None
            eve.state.tags.add("vip")
            c.broadcast("news", 1, where=VIP)
            ann.state.tags.discard("vip")
            bob.state.tags.add("vip")
            c.broadcast("news", 2, where=VIP)
            bob.state.tags.discard("vip")
            c.broadcast("news", 3, where=VIP)

        await desk.do(send)
        replayed = [(await desk.come_back(name, start.offset)).replayed for name in ("ann", "bob", "eve")]
        assert replayed == [1, 1, 0]
        assert await desk.everybodys_news() == {"ann": [1], "bob": [2], "eve": []}


@KINDS
async def test_a_subscription_counts_at_the_moment_of_the_call(durable: bool) -> None:
    async with hall(durable=durable) as desk:
        await desk.join("ann", "nothing", tags=["vip"])
        socket = desk.sockets["ann"]
        send = 0

        async def publish() -> None:
            nonlocal send
            send += 1
            number = send
            await desk.do(lambda c: c.broadcast("news", number, where=VIP))

        await publish()
        socket.send(Subscribe(1, "news"))
        assert await socket.receive(Reply) == Reply(1, None)
        await publish()
        socket.send(Unsubscribe(2, "news"))
        await publish()
        socket.send(Subscribe(3, "news"))
        await publish()
        received = [await socket.next() for _ in range(4)]
        assert [each.args for each in received if isinstance(each, Event)] == [[2], [4]]


@KINDS
async def test_what_was_filtered_out_is_no_gap_and_what_was_not_is_one(durable: bool) -> None:
    async with hall(Small, durable=durable) as desk:
        start = await desk.join("ann", tags=["vip"])
        await desk.join("bob")
        for name in ("ann", "bob"):
            desk.sockets[name].lose()

        def send(c: Context[None, Reader]) -> None:
            for number in range(10):
                c.broadcast("news", number, where=VIP)

        await desk.do(send)
        bob = await desk.come_back("bob", start.offset)
        assert (bob.gap, bob.replayed) == (None, 0)
        ann = await desk.come_back("ann", start.offset)
        assert ann.gap is not None and ann.gap.reason == "ring_overflow"
        assert ann.replayed == 3


async def test_a_crowd_is_remembered_as_one() -> None:
    """So many that match are kept in another form than a few."""
    async with hall(Small) as desk:
        names = [f"client {number}" for number in range(150)]
        for number, name in enumerate(names):
            await desk.join(name, level=number)
        start = desk.answers[names[-1]].offset
        for name in names:
            desk.sockets[name].lose()

        def send(c: Context[None, Reader]) -> None:
            for turn in range(40):
                c.broadcast("news", turn, where=where(level__lt=100 + turn % 20))

        await desk.do(send)
        for number, name in enumerate(names):
            answer = await desk.come_back(name, start)
            lost = [turn for turn in range(37) if number < 100 + turn % 20]
            assert (answer.gap is not None) == bool(lost), name
            assert answer.replayed == len([turn for turn in range(37, 40) if number < 100 + turn % 20])
            if lost:
                assert answer.gap == Gap("ring_overflow", start + 1, answer.offset)


@KINDS
async def test_a_selection_is_worked_out_anew_each_time(durable: bool) -> None:
    async with hall(durable=durable) as desk:
        for number, name in enumerate(("ann", "bob", "cleo", "dan")):
            await desk.join(name, level=number, role="odd" if number % 2 else "even")

        def look(c: Context[None, Reader]) -> list[Any]:
            odd = c.conns.where(role="odd")
            seen: list[Any] = [[conn.state.level for conn in odd], len(odd), bool(odd)]
            first = odd.find(lambda conn: conn.state.level > 1)
            assert first is not None and first in odd and first not in c.conns.where(role="even")
            high = odd.where(attribute("level") >= 2)
            seen += [first.state.level, [conn.state.level for conn in high.exclude(first)]]
            first.state.role = "even"
            seen += [[conn.state.level for conn in odd], len(c.conns.where(role="even")), bool(high)]
            return seen

        assert await desk.do(look) == [[1, 3], 2, True, 3, [], [1], 3, False]


@KINDS
async def test_a_selection_is_sent_to_whether_or_not_it_listens_and_disconnected(durable: bool) -> None:
    async with hall(durable=durable) as desk:
        await desk.join("ann", "nothing", level=1)
        await desk.join("bob", "nothing", level=2)

        def send(c: Context[None, Reader]) -> None:
            c.conns.where(level=1).send("direct", "for ann")
            c.conns.where(level=7).send("direct", "for nobody")
            c.conns.where(level__ge=1).send("direct", "for both")
            c.conns.where(level=2).disconnect("enough")

        await desk.do(send)
        assert [(await desk.sockets["ann"].receive(Event)).args for _ in range(2)] == [
            ["for ann"],
            ["for both"],
        ]
        assert (await desk.sockets["bob"].receive(Event)).args == ["for both"]
        await desk.sockets["bob"].closed_with(CloseCode.DISCONNECTED)


async def test_a_filter_that_does_not_fit_the_state_sends_nothing() -> None:
    async with hall() as desk:
        await desk.join("ann")

        def send(c: Context[None, Reader]) -> list[str]:
            errors = []
            for wanted in (where(rank=1), where(notes="x"), where(level="3"), "role = 'admin'", True):
                with pytest.raises(InvalidFilter) as raised:
                    c.broadcast("news", 1, where=wanted)  # type: ignore[arg-type]
                errors.append(str(raised.value))
            with pytest.raises(InvalidFilter):
                c.conns.where(notes="x")
            return errors

        errors = await desk.do(send)
        assert "Reader has no field 'rank'" in errors[0]
        assert "Reader.notes has the type list[str], which cannot be filtered" in errors[1]
        assert "a filter is made by where(…)" in errors[3]
        assert await desk.everybodys_news() == {"ann": []}


@KINDS
async def test_another_thread_sends_to_those_who_match_when_the_loop_comes_to_it(durable: bool) -> None:
    async with hall(durable=durable) as desk:
        for name in ("ann", "bob", "cleo"):
            await desk.join(name, tags=["vip"])
        actor = desk.actor()
        ann, bob = (actor.conns.get(desk.conn(name)) for name in ("ann", "bob"))
        assert ann is not None and bob is not None
        asked = threading.Event()

        def work() -> None:
            asked.set()
            # The first filter of the actor is another thread's: it learns of the connections on the loop.
            actor.broadcast_threadsafe("news", 1, where=VIP, exclude=bob)
            actor.broadcast_threadsafe("news", 2)
            actor.broadcast_threadsafe("news", 3, exclude=[ann, bob])
            actor.broadcast_threadsafe("news", 4, where=~VIP)

        working = asyncio.create_task(asyncio.to_thread(work))
        # No other turn of the loop is between the change and this, whatever the thread does meanwhile.
        await asyncio.sleep(0)
        asked.wait(TIMEOUT_S)
        ann.state.tags.clear()
        await working
        everybody = await desk.everybodys_news()
        assert everybody == {"ann": [2, 4], "bob": [2], "cleo": [1, 2, 3]}


@KINDS
async def test_in_every_thread_its_own_events_stay_in_order(durable: bool) -> None:
    async with hall(durable=durable) as desk:
        await desk.join("ann", tags=["vip"])
        await desk.join("bob")
        actor = desk.actor()

        def work(thread: int) -> None:
            for number in range(100):
                wanted = (None, VIP, ~VIP)[number % 3]
                actor.broadcast_threadsafe("news", [thread, number], where=wanted)

        await asyncio.gather(*(asyncio.to_thread(work, thread) for thread in range(3)))
        told = await desk.everybodys_news()
        for name, other in (("ann", 2), ("bob", 1)):
            for thread in range(3):
                numbers = [number for who, number in told[name] if who == thread]
                assert numbers == [number for number in range(100) if number % 3 != other]


async def test_what_is_wrong_with_a_filter_is_the_threads_error() -> None:
    async with hall() as desk:
        await desk.join("ann")
        actor = desk.actor()
        for wanted in (where(rank=1), where(notes="x"), "role = 'admin'"):
            with pytest.raises(InvalidFilter):
                await asyncio.to_thread(actor.broadcast_threadsafe, "news", 1, where=wanted)
        with pytest.raises(ReservedName):
            await asyncio.to_thread(actor.broadcast_threadsafe, "gap", 1, where=VIP)
        # On the loop's own thread it is done at once.
        actor.broadcast_threadsafe("news", 2, where=where())
        assert await desk.everybodys_news() == {"ann": [2]}
    with pytest.raises(ActorDestroyed):
        await asyncio.to_thread(actor.broadcast_threadsafe, "news", 3, where=where())


def test_a_thread_does_not_wait_for_a_loop_that_has_ended() -> None:
    given = threading.Event()

    class Loop(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, *args: Any, **keywords: Any) -> asyncio.Handle:  # type: ignore[override]
            handle = super().call_soon_threadsafe(*args, **keywords)
            given.set()
            return handle

    async def made() -> Home:
        return Home()

    loop = Loop()
    home = loop.run_until_complete(made())
    done: list[int] = []
    given.clear()
    with ThreadPoolExecutor(1) as pool:
        # It has been given to a loop that does not run any more.
        waiting = pool.submit(home.do, lambda: done.append(1))
        assert given.wait(TIMEOUT_S)
        loop.close()
        with pytest.raises(ActorDestroyed, match="loop has ended"):
            waiting.result(TIMEOUT_S)
        with pytest.raises(ActorDestroyed, match="loop has ended"):
            pool.submit(home.do, lambda: done.append(2)).result(TIMEOUT_S)
    assert done == []


class Plain(Actor):
    @action
    def tell(self, c: Context) -> int:
        assert isinstance(c.conn, Connection)
        c.conn.state = {"role": "admin"}
        return len(c.conns.where(role="admin"))


async def test_a_state_without_a_type_can_be_filtered() -> None:
    async with running(Plain) as router, LinkedSocket(router) as socket, LinkedSocket(router) as other:
        await socket.connect("plain", "x")
        await other.connect("plain", "x")
        socket.send(Call(1, "tell", []))
        assert await socket.receive(Reply) == Reply(1, 1)


class Lobby(Actor[None, Reader]):
    """Notes what its hook sees of the connection that it is for."""

    seen: list[bool]

    def on_start(self) -> None:
        self.seen = []

    def on_connect(self, c: Context[None, Reader]) -> None:
        self.seen += [c.conn in c.conns, c.conn in c.conns.where(level=0)]
        c.broadcast("came", where=where(level=0))

    @action
    def look(self, c: Context[None, Reader]) -> list[bool]:
        return [*self.seen, c.conn in c.conns, c.conn in c.conns.where(level=0)]


async def test_selections_have_a_connection_when_its_on_connect_has_returned() -> None:
    async with running(Lobby) as router, LinkedSocket(router) as client:
        await client.connect("lobby", "a", params={}, events=("came",))
        client.send(Call(1, "look", []))
        assert (await client.receive(Event)).name == "came"
        assert (await client.receive(Reply)).value == [False, False, True, True]
