"""A lost network and coming back, over real sockets: replay, gaps, and requests that are sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest
import uvloop
from linked import LinkedSocket, call, eventually, resume_from, running
from room import Room, actor_of

from ringcast.errors import CloseCode
from ringcast.router import Router
from ringcast.testing import ManualClock
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connect, Connected, Error, Event, Gap, Reply, Resume


@pytest.fixture(params=list(Encoding), ids=["json", "msgpack"])
def encoding(request: pytest.FixtureRequest) -> Encoding:
    found: Encoding = request.param
    return found


# --- a lost network -----------------------------------------------------------------------------------------


async def test_a_client_that_comes_back_misses_nothing(encoding: Encoding) -> None:
    async with running(Room) as router:
        async with LinkedSocket(router, encoding) as first:
            connected = await first.connect("room", "a", params={"name": "ann"}, events=("said",))
            await first.receive(Event)
        conn = next(iter(actor_of(router).conns))
        assert not conn.connected
        for n in range(5):
            await call(router, "room", "a", "say", n)
        async with LinkedSocket(router, encoding) as second:
            again = await second.connect("room", "a", resume=resume_from(connected, 2), events=("said",))
            assert (again.connection, again.session) == (connected.connection, connected.session)
            assert (again.offset, again.replayed, again.gap) == (2, 5, None)
            assert [(await second.receive(Event)).args for _ in range(5)] == [[n] for n in range(5)]
            assert conn.connected
        lines = await call(router, "room", "a", "lines")
        assert lines == ["connect ann 0"]


async def test_a_direct_event_is_kept_for_a_lost_client() -> None:
    async with running(Room) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("room", "a")
            await first.receive(Event)
        next(iter(actor_of(router).conns)).send("whisper", "psst")
        async with LinkedSocket(router) as second:
            again = await second.connect("room", "a", resume=resume_from(connected, 2))
            assert again.replayed == 1
            assert (await second.receive(Event)).args == ["psst"]


async def test_events_while_away_follow_the_subscriptions_of_then_and_changes_apply_from_now() -> None:
    async with running(Room) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("room", "a", events=("said", "left"))
            await first.receive(Event)
        await call(router, "room", "a", "say", "old")
        async with LinkedSocket(router) as second:
            again = await second.connect(
                "room", "a", resume=resume_from(connected, 2), events=("after", "private")
            )
            assert again.replayed == 1
            assert list(again.refused_subscriptions) == ["private"]
            assert (await second.receive(Event)).args == ["old"]
            actor_of(router).broadcast("said", "new")
            actor_of(router).broadcast("after", "new")
            assert (await second.receive(Event)).name == "after"


async def test_a_position_beyond_the_ring_is_a_gap_and_the_rest_is_replayed() -> None:
    class Small(Room, max_ring_events=3):
        pass

    async with running(Small) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("small", "a", events=("said",))
            await first.receive(Event)
        for n in range(10):
            await call(router, "small", "a", "say", n)
        async with LinkedSocket(router) as second:
            again = await second.connect("small", "a", resume=resume_from(connected, 2), events=("said",))
            assert again.gap == Gap("ring_overflow", 3, 9)
            assert (again.offset, again.replayed) == (9, 3)
            assert [(await second.receive(Event)).args for _ in range(3)] == [[7], [8], [9]]


async def test_events_that_were_not_for_the_client_are_no_gap() -> None:
    class Small(Room, max_ring_events=3):
        pass

    async with running(Small) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("small", "a", events=("other",))
            await first.receive(Event)
        for n in range(10):
            await call(router, "small", "a", "say", n)
        async with LinkedSocket(router) as second:
            again = await second.connect("small", "a", resume=resume_from(connected, 2), events=("other",))
            assert (again.replayed, again.gap) == (0, None)
            actor_of(router).broadcast("other", 1)
            assert (await second.receive(Event)).name == "other"


async def test_resuming_takes_over_from_a_socket_that_is_still_there() -> None:
    async with running(Room) as router, LinkedSocket(router) as first, LinkedSocket(router) as second:
        connected = await first.connect("room", "a", events=("said",))
        await first.receive(Event)
        again = await second.connect("room", "a", resume=resume_from(connected, 2), events=("said",))
        assert again.session == connected.session
        await first.closed_with(CloseCode.SESSION_REPLACED)
        first.lose()
        await call(router, "room", "a", "say", "x")
        assert (await second.receive(Event)).args == ["x"]
        assert router.connections == 1


@pytest.mark.parametrize("what", ["token", "epoch", "actor", "encoding"])
async def test_what_cannot_be_resumed_is_a_new_session_with_a_gap(what: str) -> None:
    reasons = {"token": "session_expired", "epoch": "epoch_changed", "actor": "session_expired"}
    async with running(Room) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("room", "a", params={"name": "ann"}, events=("joined",))
        token = "wrong" if what == "token" else connected.session
        epoch = "wrong" if what == "epoch" else connected.epoch
        encoding = Encoding.MSGPACK if what == "encoding" else Encoding.JSON
        key = "b" if what == "actor" else "a"
        async with LinkedSocket(router, encoding) as second:
            resume = Resume(token, epoch, connected.offset)
            again = await second.connect(
                "room", key, resume=resume, params={"name": "bob"}, events=("joined",)
            )
            assert again.session != connected.session
            assert again.gap == Gap(reasons.get(what, "encoding_changed"))
            assert again.replayed is None
            assert (await second.receive(Event)).args == ["bob"]
        replaced = what in ("epoch", "encoding")
        lines = await call(router, "room", "a", "lines")
        assert ("disconnect ann" in lines) is replaced


async def test_a_session_ends_when_its_window_has_passed() -> None:
    clock = ManualClock()
    async with running(Room, clock=clock) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("room", "a", params={"name": "ann"})
        await clock.advance(connected.window_s - 0.1)
        assert await call(router, "room", "a", "lines") == ["connect ann 0"]
        await clock.advance(0.1)
        assert router.connections == 0
        assert await call(router, "room", "a", "lines") == ["connect ann 0", "disconnect ann"]
        assert len(actor_of(router).conns) == 0
        async with LinkedSocket(router) as second:
            again = await second.connect("room", "a", resume=resume_from(connected))
            assert again.gap == Gap("session_expired")


async def test_a_client_that_has_come_back_has_its_whole_window_again() -> None:
    clock = ManualClock()
    async with running(Room, clock=clock) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("room", "a")
        await clock.advance(connected.window_s - 1)
        async with LinkedSocket(router) as second:
            await second.connect("room", "a", resume=resume_from(connected))
            await clock.advance(connected.window_s * 2)
            assert router.connections == 1
        await clock.advance(connected.window_s - 1)
        assert router.connections == 1
        await clock.advance(1)
        assert router.connections == 0


async def test_a_client_that_closes_for_good_ends_its_session_at_once() -> None:
    async with running(Room) as router, LinkedSocket(router) as client, LinkedSocket(router) as other:
        await client.connect("room", "a", params={"name": "ann"})
        await other.connect("room", "a", events=("left",))
        await other.receive(Event)
        client.lose(CloseCode.NORMAL)
        assert router.connections == 1
        assert (await other.receive(Event)).args == ["ann"]


@pytest.mark.parametrize("code", [None, 1001, 1006, 4001])
async def test_any_other_end_keeps_the_session(code: int | None) -> None:
    async with running(Room) as router:
        async with LinkedSocket(router) as client:
            await client.connect("room", "a")
            client.lose(code)
        assert router.connections == 1


async def test_a_resume_ahead_of_the_stream_breaks_the_protocol() -> None:
    async with running(Room) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("room", "a")
        async with LinkedSocket(router) as second:
            second.send(Connect("room", ("a",), resume=resume_from(connected, 999)))
            await second.receive(Error)
            await second.closed_with(CloseCode.INVALID_MESSAGE)
        assert router.connections == 1


async def test_a_resume_does_not_create_again() -> None:
    clock = ManualClock()
    async with running(Room, clock=clock) as router:
        async with LinkedSocket(router) as first:
            first.send(Connect("room", ("a",), lookup="create"))
            connected = await first.receive(Connected)
        await clock.advance(connected.window_s)
        assert router.connections == 0
        async with LinkedSocket(router) as second:
            second.send(Connect("room", ("a",), lookup="create", resume=resume_from(connected)))
            again = await second.receive(Connected)
            assert again.actor_id == connected.actor_id


# --- requests that are sent again ---------------------------------------------------------------------------


async def test_a_repeated_request_is_answered_and_not_run_again(encoding: Encoding) -> None:
    async with running(Room) as router:
        async with LinkedSocket(router, encoding) as first:
            connected = await first.connect("room", "a")
            await first.receive(Event)
            first.send(Call(1, "say", []), Call(2, "fail", ["user"]))
            first.lose()
        async with LinkedSocket(router, encoding) as second:
            await second.connect("room", "a", resume=resume_from(connected, 2))
            second.send(Call(1, "say", []), Call(2, "fail", ["user"]), Call(3, "runs_so_far", []))
            assert await second.receive(Reply) == (1, 1)
            assert (await second.receive(Error)).id == 2
            assert await second.receive(Reply) == (3, 1)


async def test_a_request_that_still_runs_is_answered_where_the_client_is_then() -> None:
    async with running(Room) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("room", "a")
            await first.receive(Event)
            first.send(Call(1, "wait", ["late"]))
            await eventually(lambda: actor_of(router).runs == 1)
        async with LinkedSocket(router) as second:
            await second.connect("room", "a", resume=resume_from(connected, 2))
            second.send(Call(1, "wait", ["late"]), Call(2, "runs_so_far", []))
            assert await second.receive(Reply) == (2, 1)
            actor_of(router).release.set()
            assert await second.receive(Reply) == (1, "late")


async def test_a_request_that_ended_while_the_client_was_away_is_answered_from_the_record() -> None:
    async with running(Room) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("room", "a")
            await first.receive(Event)
            first.send(Call(1, "wait", ["late"]))
            await eventually(lambda: actor_of(router).runs == 1)
        actor_of(router).release.set()
        async with LinkedSocket(router) as second:
            await second.connect("room", "a", resume=resume_from(connected, 2))
            second.send(Call(1, "wait", ["late"]))
            assert await second.receive(Reply) == (1, "late")
            assert actor_of(router).runs == 1


async def test_a_reply_that_is_no_longer_kept_has_an_unknown_outcome() -> None:
    async with running(Room, max_calls_recorded=1) as router, LinkedSocket(router) as client:
        await client.connect("room", "a")
        await client.receive(Event)
        client.send(Call(1, "say", []), Call(2, "say", []))
        assert [await client.receive(Reply) for _ in range(2)] == [(1, 1), (2, 2)]
        client.send(Call(1, "say", []), Call(2, "say", []))
        assert (await client.receive(Error)).error["code"] == "outcome_unknown"
        assert await client.receive(Reply) == (2, 2)


# --- all together -------------------------------------------------------------------------------------------


class Client:
    """Counts, loses its network at any moment, comes back, and asks again for what it has no answer to."""

    def __init__(self, router: Router, random: Random) -> None:
        self.router = router
        self.random = random
        self.socket: LinkedSocket | None = None
        self.connected: Connected | None = None
        self.offset = 0
        self.events: list[int] = []
        self.replies: dict[int, int] = {}
        self.unanswered: list[Call] = []
        self.sent = 0

    async def come_back(self) -> LinkedSocket:
        resume = None if self.connected is None else resume_from(self.connected, self.offset)
        self.socket = LinkedSocket(self.router, Encoding.MSGPACK)
        answer = await self.socket.connect("room", "a", resume=resume, events=("said",))
        assert answer.gap is None
        self.offset = answer.offset
        self.connected = answer
        self.socket.send(*self.unanswered)
        return self.socket

    async def step(self) -> None:
        socket = self.socket or await self.come_back()
        for _ in range(self.random.randrange(4)):
            self.sent += 1
            self.unanswered.append(
                Call(self.sent, "wait_a_turn" if self.random.random() < 0.3 else "say", [-1])
            )
            socket.send(self.unanswered[-1])
        for _ in range(self.random.randrange(6)):
            if not self.unanswered:
                break
            self.take(await socket.next())
        if self.random.random() < 0.4:
            socket.lose()
            self.socket = None

    async def finish(self, last_offset: int) -> None:
        socket = self.socket or await self.come_back()
        while self.unanswered or self.offset < last_offset:
            self.take(await socket.next())
        socket.lose()

    def take(self, message: Any) -> None:
        if isinstance(message, Event):
            assert message.offset > self.offset
            self.offset = message.offset
            if message.name == "said":
                self.events.append(message.args[0])
        else:
            assert isinstance(message, Reply), message
            # Sent again after a reply was on its way: the client drops the second one, which says the same.
            assert self.replies.setdefault(message.id, message.value) == message.value
            self.unanswered = [call for call in self.unanswered if call.id != message.id]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_client_that_is_cut_at_any_moment_gets_everything_once(
    run: Callable[[Coroutine[Any, Any, None]], None], seed: int
) -> None:
    async def scenario() -> None:
        random = Random(seed)
        async with running(Room) as router:
            clients = [Client(router, random) for _ in range(3)]
            for client in clients:
                await client.come_back()
            for n in range(150):
                actor_of(router).broadcast("said", n)
                await random.choice(clients).step()
            await eventually(lambda: not next(iter(router._directory)).tasks)
            actor_of(router).broadcast("said", 150)
            last = next(iter(router._directory)).stream.head
            for client in clients:
                await client.finish(last)
            calls = sum(client.sent for client in clients)
            assert actor_of(router).runs == calls
            for client in clients:
                assert [event for event in client.events if event >= 0] == list(range(151))
                assert client.events.count(-1) == calls
                assert sorted(client.replies) == list(range(1, client.sent + 1))

    run(scenario())
