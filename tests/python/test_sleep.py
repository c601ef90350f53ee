"""An actor that nobody uses sleeps: when, how it wakes, and that nothing is lost at the edge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from linked import TIMEOUT_S, LinkedSocket, call, eventually, resume_from, running
from scheduling import WallClock

from ringcast import Actor, Context, MemoryStore, action
from ringcast.clock import SystemClock
from ringcast.errors import CloseCode, DefinitionError
from ringcast.router import Router
from ringcast.store import Change, StoredActor
from ringcast.testing import ManualClock
from ringcast.wire.protocol import Call, Connect, Event, Gap, Reply


@dataclass
class Page:
    lines: list[str] = field(default_factory=list)


class Diary(Actor[Page]):
    """Writes down when it starts and stops."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    def on_start(self) -> None:
        self.state.lines.append("start")

    def on_stop(self) -> None:
        self.state.lines.append("stop")

    @action
    def read(self, c: Context[Page]) -> list[str]:
        return list(c.state.lines)

    @action
    def write(self, c: Context[Page], line: str) -> None:
        c.state.lines.append(line)

    @action
    async def wait(self, c: Context[Page]) -> None:
        await self.release.wait()

    @action
    def work_behind(self, c: Context[Page]) -> None:
        c.spawn(self.wait(c))

    @action
    def let_go(self, c: Context[Page]) -> None:
        self.release.set()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def asleep(router: Router) -> None:
    await eventually(lambda: router.actors == 0)


async def stays_awake(router: Router) -> None:
    """Give it every occasion to stop: more turns of the loop than going to sleep takes."""
    for _ in range(50):
        await asyncio.sleep(0)
    assert router.actors == 1


async def stored(store: MemoryStore, cls: type[Actor[Any]], key: str = "k") -> bytes:
    found = await store.find(cls.__name__, (key,))
    assert found is not None
    return found.state


# --- when ---------------------------------------------------------------------------------------------------


async def test_an_actor_that_nobody_uses_stops_saved_and_the_next_call_starts_it(clock: ManualClock) -> None:
    store = MemoryStore()
    async with running(Diary, store=store, clock=clock, save_interval_s=1000) as router:
        await call(router, "diary", "k", "write", "a line")
        await clock.advance(29.9)
        await stays_awake(router)
        await clock.advance(0.1)
        await asleep(router)
        assert await stored(store, Diary) == b'{"lines":["start","a line","stop"]}'
        assert await call(router, "diary", "k", "read") == ["start", "a line", "stop", "start"]


async def test_every_call_puts_it_off(clock: ManualClock) -> None:
    async with running(Diary, clock=clock, sleep_after_s=10) as router:
        for _ in range(5):
            await call(router, "diary", "k", "read")
            await clock.advance(9)
            await stays_awake(router)
        await clock.advance(1)
        await asleep(router)


async def test_a_connection_keeps_it_awake_until_its_session_has_ended(clock: ManualClock) -> None:
    async with running(Diary, clock=clock, sleep_after_s=10, session_window_s=25) as router:
        async with LinkedSocket(router) as client:
            await client.connect("diary", "k")
            await clock.advance(1000)
            await stays_awake(router)
        # The client is away: its session waits for it, and the actor with it.
        await clock.advance(24)
        await stays_awake(router)
        await clock.advance(1)
        assert router.connections == 0
        await clock.advance(9)
        await stays_awake(router)
        await clock.advance(1)
        await asleep(router)


async def test_a_running_action_keeps_it_awake(clock: ManualClock) -> None:
    async with running(Diary, clock=clock, sleep_after_s=10) as router:
        waiting = asyncio.ensure_future(call(router, "diary", "k", "wait"))
        await eventually(lambda: router.actors)
        await clock.advance(1000)
        await stays_awake(router)
        (instance,) = router._directory
        instance.actor.release.set()
        await waiting
        await eventually(lambda: not instance.tasks)
        await clock.advance(9)
        await stays_awake(router)
        await clock.advance(1)
        await asleep(router)


async def test_a_background_task_keeps_it_awake(clock: ManualClock) -> None:
    async with running(Diary, clock=clock, sleep_after_s=10) as router:
        await call(router, "diary", "k", "work_behind")
        await clock.advance(1000)
        await stays_awake(router)
        await call(router, "diary", "k", "let_go")
        (instance,) = router._directory
        await eventually(lambda: not instance.tasks.background)
        await clock.advance(10)
        await asleep(router)


class Doorman(Actor[Page]):
    """Takes its time with those who come and go."""

    at_the_door: asyncio.Event
    may_pass: asyncio.Event

    async def on_before_connect(self, c: Context[Page], params: Any) -> None:
        await self.pass_door()

    async def on_disconnect(self, c: Context[Page]) -> None:
        await self.pass_door()

    async def pass_door(self) -> None:
        Doorman.at_the_door.set()
        await Doorman.may_pass.wait()
        Doorman.at_the_door, Doorman.may_pass = asyncio.Event(), asyncio.Event()


async def test_hooks_of_those_who_come_and_go_keep_it_awake(clock: ManualClock) -> None:
    Doorman.at_the_door, Doorman.may_pass = asyncio.Event(), asyncio.Event()
    async with running(Doorman, clock=clock, sleep_after_s=10) as router, LinkedSocket(router) as client:
        connecting = asyncio.ensure_future(client.connect("doorman", "k"))
        await Doorman.at_the_door.wait()
        await clock.advance(1000)
        await stays_awake(router)
        Doorman.may_pass.set()
        await connecting
        client.lose(1000)
        await Doorman.at_the_door.wait()
        await clock.advance(1000)
        await stays_awake(router)
        Doorman.may_pass.set()
        (instance,) = router._directory
        await eventually(lambda: not instance.tasks)
        await clock.advance(10)
        await asleep(router)


async def test_a_client_that_is_lost_while_it_connects_does_not_keep_it_awake(clock: ManualClock) -> None:
    Doorman.at_the_door, Doorman.may_pass = asyncio.Event(), asyncio.Event()
    async with running(Doorman, clock=clock, sleep_after_s=10) as router:
        async with LinkedSocket(router) as client:
            client.send(Connect("doorman", ("k",)))
            await Doorman.at_the_door.wait()
        Doorman.may_pass.set()
        (instance,) = router._directory
        await eventually(lambda: not instance._arriving)
        await clock.advance(10)
        await asleep(router)


async def test_a_server_may_let_nobody_sleep(clock: ManualClock) -> None:
    async with running(Diary, clock=clock, sleep_after_s=None) as router:
        await call(router, "diary", "k", "read")
        await clock.advance(1e9)
        await stays_awake(router)


async def test_a_class_may_say_otherwise(clock: ManualClock) -> None:
    class Restless(Diary, sleep_after_s=None):
        """Never sleeps."""

    class Sleepy(Diary, sleep_after_s=1):
        """Sleeps soon."""

    class Sleepier(Sleepy):
        """As its base class."""

    async with running(Restless, Sleepy, Sleepier, clock=clock, sleep_after_s=10) as router:
        for name in ("restless", "sleepy", "sleepier"):
            await call(router, name, "k", "read")
        await clock.advance(1)
        await eventually(lambda: router.actors == 1)
        await clock.advance(1000)
        await stays_awake(router)


@pytest.mark.parametrize("wrong", [0, -1, float("nan")])
def test_a_class_that_would_sleep_at_once_is_refused(wrong: float) -> None:
    with pytest.raises(DefinitionError, match=r"Hasty: sleep_after_s is above 0, or None for never"):

        class Hasty(Actor, sleep_after_s=wrong):
            """Sleeps before it has lived."""


async def test_a_time_of_day_that_is_set_back_does_not_keep_it_awake() -> None:
    clock = WallClock()
    async with running(Diary, clock=clock, sleep_after_s=10) as router:
        await call(router, "diary", "k", "read")
        clock.set(0)
        await clock.advance(10)
        await stays_awake(router)
        await clock.advance(10)
        await asleep(router)


# --- at the edge --------------------------------------------------------------------------------------------


class Reluctant(Diary):
    """Takes its time to go."""

    leaving: asyncio.Event
    may_go: asyncio.Event

    async def on_stop(self) -> None:
        self.state.lines.append("stop")
        Reluctant.leaving.set()
        await Reluctant.may_go.wait()


@pytest.fixture
def reluctant() -> type[Reluctant]:
    Reluctant.leaving, Reluctant.may_go = asyncio.Event(), asyncio.Event()
    return Reluctant


async def test_a_call_that_comes_while_it_goes_to_sleep_waits_and_wakes_it(
    clock: ManualClock, reluctant: type[Reluctant]
) -> None:
    async with running(reluctant, clock=clock) as router:
        await call(router, "reluctant", "k", "write", "before")
        await clock.advance(30)
        await reluctant.leaving.wait()
        late = asyncio.ensure_future(call(router, "reluctant", "k", "read"))
        await stays_awake(router)
        assert not late.done()
        reluctant.may_go.set()
        assert await late == ["start", "before", "stop", "start"]


async def test_a_connect_that_comes_while_it_goes_to_sleep_waits_and_wakes_it(
    clock: ManualClock, reluctant: type[Reluctant]
) -> None:
    async with running(reluctant, clock=clock) as router, LinkedSocket(router) as client:
        await call(router, "reluctant", "k", "write", "before")
        await clock.advance(30)
        await reluctant.leaving.wait()
        connecting = asyncio.ensure_future(client.connect("reluctant", "k"))
        await stays_awake(router)
        assert not connecting.done()
        reluctant.may_go.set()
        assert (await connecting).gap is None
        client.send(Call(1, "read", []))
        assert await client.receive(Reply) == (1, ["start", "before", "stop", "start"])


async def test_a_create_of_one_that_sleeps_or_goes_to_sleep_finds_that_it_exists(
    clock: ManualClock, reluctant: type[Reluctant]
) -> None:
    create = Connect("reluctant", ("k",), lookup="create")
    async with running(reluctant, clock=clock) as router:
        actor_id, _ = await router.resolve(create)
        await clock.advance(30)
        await reluctant.leaving.wait()
        late = asyncio.ensure_future(router.resolve(create))
        reluctant.may_go.set()
        outcome = (await asyncio.gather(late, return_exceptions=True))[0]
        assert getattr(outcome, "code", None) == "actor_already_exists"
        await asleep(router)
        assert (await router.resolve(Connect("reluctant", lookup="id", actor_id=actor_id)))[0] == actor_id


async def test_calls_at_any_moment_of_falling_asleep_and_waking_all_count() -> None:
    @dataclass
    class Count:
        value: int = 0

    class Counter(Actor[Count], sleep_after_s=1e-9):
        """Sleeps whenever it can."""

        stops = 0

        async def on_start(self) -> None:
            await asyncio.sleep(0)

        async def on_stop(self) -> None:
            Counter.stops += 1
            await asyncio.sleep(0)

        @action
        def add(self, c: Context[Count]) -> int:
            c.state.value += 1
            return c.state.value

        @action
        async def add_later(self, c: Context[Count]) -> int:
            await asyncio.sleep(0)
            c.state.value += 1
            return c.state.value

    random = Random(5)
    answers: list[int] = []

    async def calls(router: Router) -> None:
        for _ in range(100):
            answers.append(await call(router, "counter", "k", random.choice(("add", "add_later"))))
            for _ in range(random.randrange(8)):
                await asyncio.sleep(0)

    async with running(Counter) as router, asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*(calls(router) for _ in range(5)))
        assert sorted(answers) == list(range(1, 501))
        assert Counter.stops > 10


async def test_one_that_has_just_started_for_somebody_is_not_put_to_sleep_before_he_has_it() -> None:
    class Hasty(SystemClock):
        """On which everything is due at once."""

        def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> asyncio.Handle:
            return asyncio.get_running_loop().call_soon(callback, *args)

    class Brief(Diary, sleep_after_s=1e-9):
        """Sleeps whenever it can."""

        @action
        async def write_later(self, c: Context[Page], line: str) -> None:
            for _ in range(10):
                await asyncio.sleep(0)
            c.state.lines.append(line)

    store = MemoryStore()
    async with running(Brief, store=store, clock=Hasty()) as router:
        await call(router, "brief", "k", "write_later", "a line")
        await asleep(router)
        assert await stored(store, Brief) == b'{"lines":["start","a line","stop"]}'


async def test_connects_at_any_moment_of_falling_asleep_are_all_answered() -> None:
    class Porch(Actor[Page], sleep_after_s=1e-9):
        """Sleeps whenever it can."""

        stops = 0

        async def on_before_connect(self) -> None:
            await asyncio.sleep(0)

        async def on_stop(self) -> None:
            Porch.stops += 1
            await asyncio.sleep(0)

        @action
        def write(self, c: Context[Page]) -> int:
            c.state.lines.append(c.conn.id)
            return len(c.state.lines)

    random = Random(7)
    answers: list[int] = []

    async def connects(router: Router) -> None:
        for _ in range(30):
            async with LinkedSocket(router) as client:
                await client.connect("porch", "k")
                client.send(Call(1, "write", []))
                answers.append((await client.receive(Reply)).value)
                client.lose(1000)
            for _ in range(random.randrange(12)):
                await asyncio.sleep(0)

    async with running(Porch) as router, asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*(connects(router) for _ in range(3)))
        assert sorted(answers) == list(range(1, 91))
        assert Porch.stops > 10


class Unreliable(MemoryStore):
    """Fails to save when it is told to, and lets the test wait for a save."""

    def __init__(self) -> None:
        super().__init__()
        self.failing = False
        self.saving = asyncio.Event()
        self.may_save = asyncio.Event()
        self.may_save.set()

    async def commit(self, actor_id: str, changes: Sequence[Change]) -> None:
        self.saving.set()
        await self.may_save.wait()
        if self.failing:
            raise OSError("the disk is full")
        await super().commit(actor_id, changes)


async def test_a_state_that_cannot_be_saved_keeps_it_awake_until_it_can_be(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Unreliable()
    async with running(Diary, store=store, clock=clock, save_interval_s=1000) as router:
        await call(router, "diary", "k", "write", "precious")
        store.failing = True
        for attempt in (1, 2):
            await clock.advance(30)
            await eventually(lambda n=attempt: caplog.text.count("the actor stays awake") == n)
            await stays_awake(router)
        assert "the disk is full" in caplog.text
        # It never stopped.
        (instance,) = router._directory
        assert instance.actor.state.lines == ["start", "precious"]
        store.failing = False
        await clock.advance(30)
        await asleep(router)
        assert await stored(store, Diary) == b'{"lines":["start","precious","stop"]}'


async def test_what_on_stop_has_changed_is_not_lost_either(
    clock: ManualClock, reluctant: type[Reluctant], caplog: pytest.LogCaptureFixture
) -> None:
    store = Unreliable()
    async with running(reluctant, store=store, clock=clock, save_interval_s=1000) as router:
        await call(router, "reluctant", "k", "write", "precious")
        await clock.advance(30)
        await reluctant.leaving.wait()
        late = asyncio.ensure_future(call(router, "reluctant", "k", "read"))
        store.failing = True
        reluctant.may_go.set()
        # The same instance goes on, started again, and answers what has waited.
        assert await late == ["start", "precious", "stop", "start"]
        assert "the actor stays awake" in caplog.text
        store.failing = False
        await clock.advance(30)
        await asleep(router)
        assert await call(router, "reluctant", "k", "read") == [
            "start", "precious", "stop", "start", "stop", "start"
        ]  # fmt: skip


async def test_a_call_during_its_last_save_keeps_it_awake(clock: ManualClock) -> None:
    store = Unreliable()
    async with running(Diary, store=store, clock=clock, save_interval_s=1000) as router:
        await call(router, "diary", "k", "write", "first")
        store.may_save.clear()
        await clock.advance(30)
        await store.saving.wait()
        await call(router, "diary", "k", "write", "second")
        store.may_save.set()
        await stays_awake(router)
        assert await call(router, "diary", "k", "read") == ["start", "first", "second"]
        await clock.advance(30)
        await asleep(router)


async def test_a_connect_during_its_last_save_keeps_it_awake(clock: ManualClock) -> None:
    Doorman.at_the_door, Doorman.may_pass = asyncio.Event(), asyncio.Event()
    store = Unreliable()
    async with (
        running(Doorman, store=store, clock=clock, save_interval_s=1000) as router,
        LinkedSocket(router) as client,
    ):
        await router.resolve(Connect("doorman", ("k",)))
        (instance,) = router._directory
        instance.state.value.lines.append("to be saved")
        store.may_save.clear()
        await clock.advance(30)
        await store.saving.wait()
        connecting = asyncio.ensure_future(client.connect("doorman", "k"))
        await Doorman.at_the_door.wait()
        store.may_save.set()
        await stays_awake(router)
        Doorman.may_pass.set()
        assert (await connecting).gap is None
        Doorman.may_pass.set()


async def test_a_server_that_stops_meanwhile_waits_for_it(
    clock: ManualClock, reluctant: type[Reluctant]
) -> None:
    store = MemoryStore()
    async with running(reluctant, store=store, clock=clock) as router:
        await call(router, "reluctant", "k", "write", "before")
        await clock.advance(30)
        await reluctant.leaving.wait()
        stopping = asyncio.ensure_future(router.stop())
        await stays_awake(router)
        reluctant.may_go.set()
        await stopping
        assert await stored(store, reluctant) == b'{"lines":["start","before","stop"]}'


async def test_a_server_stops_though_one_could_not_go_to_sleep(
    clock: ManualClock, reluctant: type[Reluctant]
) -> None:
    store = Unreliable()
    async with running(reluctant, store=store, clock=clock) as router:
        await call(router, "reluctant", "k", "write", "before")
        await clock.advance(30)
        await reluctant.leaving.wait()
        stopping = asyncio.ensure_future(router.stop())
        store.failing = True
        reluctant.may_go.set()
        async with asyncio.timeout(TIMEOUT_S):
            await stopping
        assert router.actors == 0


async def test_on_stop_may_end_it_for_good(clock: ManualClock) -> None:
    class Visited(Diary):
        """Is there for as long as somebody uses it."""

        def on_stop(self) -> None:
            self.destroy()

    store = MemoryStore()
    async with running(Visited, store=store, clock=clock) as router:
        await call(router, "visited", "k", "write", "a line")
        await clock.advance(30)
        await asleep(router)
        assert await store.find("Visited", ("k",)) is None
        assert await call(router, "visited", "k", "read") == ["start"]


@pytest.mark.parametrize("durable", [False, True], ids=["ordinary", "durable"])
async def test_on_stop_may_end_it_for_good_at_a_shutdown_too(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    monkeypatch.setattr(Actor, "durable", durable)
    left: list[str] = []

    class Passing(Diary):
        """Is there for as long as the server is."""

        def on_disconnect(self, c: Context[Page]) -> None:
            left.append(c.conn.id)

        def on_stop(self) -> None:
            self.destroy()

    store = MemoryStore()
    async with running(Passing, store=store, clock=clock) as router, LinkedSocket(router) as client:
        connected = await client.connect("passing", "k")
        await router.stop()
        await client.closed_with(CloseCode.ACTOR_DESTROYED)
        assert left == [connected.connection]
        assert not store._by_id


async def test_what_on_stop_begins_in_the_background_ends_with_it(clock: ManualClock) -> None:
    class Late(Actor):
        """Begins something when it stops."""

        ended = False

        async def on_stop(self) -> None:
            begun = asyncio.Event()
            self.spawn(self.work(begun))
            await begun.wait()

        async def work(self, begun: asyncio.Event) -> None:
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                Late.ended = True

        @action
        def use(self, c: Context) -> None: ...

    async with running(Late, clock=clock) as router:
        await call(router, "late", "k", "use")
        await clock.advance(30)
        await asleep(router)
        assert Late.ended


# --- clients ------------------------------------------------------------------------------------------------


async def test_a_client_that_comes_back_after_a_sleep_is_told_of_the_gap(clock: ManualClock) -> None:
    async with running(Diary, clock=clock, sleep_after_s=10, session_window_s=5) as router:
        async with LinkedSocket(router) as client:
            before = await client.connect("diary", "k")
        await clock.advance(5)
        async with LinkedSocket(router) as client:
            # Its session has ended, and the actor is awake.
            again = await client.connect("diary", "k", resume=resume_from(before))
            assert again.gap is not None and again.gap.reason == "session_expired"
        await clock.advance(5)
        await clock.advance(10)
        await asleep(router)
        async with LinkedSocket(router) as client:
            last = await client.connect("diary", "k", resume=resume_from(again))
            assert last.gap is not None and last.gap.reason == "epoch_changed"
            assert last.epoch != again.epoch


async def test_an_actor_that_is_known_by_its_id_alone_wakes_too(clock: ManualClock) -> None:
    async with running(Diary, clock=clock) as router:
        actor_id, _ = await router.resolve(Connect("diary", ("k",)))
        await clock.advance(30)
        await asleep(router)
        assert (await router.resolve(Connect("diary", lookup="id", actor_id=actor_id)))[0] == actor_id


async def test_one_that_could_not_be_read_back_is_tried_again(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Forgetful(MemoryStore):
        failing = False

        async def find(self, name: str, key: tuple[str, ...]) -> StoredActor | None:
            if self.failing:
                raise OSError("the disk is away")
            return await super().find(name, key)

    store = Forgetful()
    async with running(Diary, store=store, clock=clock) as router:
        await call(router, "diary", "k", "write", "a line")
        await clock.advance(30)
        await asleep(router)
        store.failing = True
        outcome = (await asyncio.gather(call(router, "diary", "k", "read"), return_exceptions=True))[0]
        assert getattr(outcome, "code", None) == "internal_error"
        store.failing = False
        assert await call(router, "diary", "k", "read") == ["start", "a line", "stop", "start"]


# --- durable actors -----------------------------------------------------------------------------------------


class Chronicle(Diary):
    """Keeps its events as well."""

    durable = True

    @action
    def tell(self, c: Context[Page], line: str) -> None:
        c.state.lines.append(line)
        c.broadcast("told", line)


async def test_the_stream_of_a_durable_actor_goes_on_after_a_sleep(clock: ManualClock) -> None:
    async with running(Chronicle, clock=clock, session_window_s=5) as router:
        async with LinkedSocket(router) as client:
            before = await client.connect("chronicle", "k", events=("told",))
            client.send(Call(1, "tell", ["a line"]))
            assert (await client.receive(Event)).args == ["a line"]
        # Its client may come back for as long, and then it is left alone.
        await clock.advance(5 + 30)
        await asleep(router)
        async with LinkedSocket(router) as client:
            seen = resume_from(before, 1)
            after = await client.connect("chronicle", "k", resume=seen, events=("told",))
            # It is the session that is over, and not the stream.
            assert (after.gap, after.offset) == (Gap("session_expired"), 1)
            client.send(Call(1, "tell", ["another"]))
            assert (await client.receive(Event)).offset == 2


async def test_a_durable_actor_too_stays_awake_until_it_can_be_saved(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Unreliable()
    async with running(Chronicle, store=store, clock=clock) as router:
        await call(router, "chronicle", "k", "tell", "precious")
        store.failing = True
        (instance,) = router._directory
        instance.actor.state.lines.append("more precious")
        await clock.advance(30)
        await eventually(lambda: "the journal could not be committed" in caplog.text)
        await stays_awake(router)
        assert instance.actor.state.lines == ["start", "precious", "more precious"]
        store.failing = False
        await clock.advance(31)
        await asleep(router)
        assert await stored(store, Chronicle) == b'{"lines":["start","precious","more precious","stop"]}'


async def test_what_on_stop_of_a_durable_actor_has_changed_is_not_lost_either(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = Unreliable()

    class Late(Chronicle):
        """Whose store fails in its last moments."""

        def on_stop(self) -> None:
            super().on_stop()
            store.failing = not caplog.text

    async with running(Late, store=store, clock=clock, shutdown_timeout_s=0.05) as router:
        await call(router, "late", "k", "tell", "precious")
        await clock.advance(30)
        await eventually(lambda: "the actor stays awake" in caplog.text)
        late = asyncio.ensure_future(call(router, "late", "k", "read"))
        await eventually(lambda: next(iter(router._directory)).is_running)
        store.failing = False
        await clock.advance(1)
        assert await late == ["start", "precious", "stop", "start"]
        await clock.advance(30)
        await asleep(router)
        assert await stored(store, Late) == b'{"lines":["start","precious","stop","start","stop"]}'
