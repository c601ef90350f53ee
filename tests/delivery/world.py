"""One actor that really runs, and the model of it: each step is done to both."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from linked import eventually

from ringcast import MemoryStore, Registry, ServerConfig
from ringcast.running.instance import ActorInstance
from ringcast.seam import GatewayStream
from ringcast.wire.protocol import Connect

from .hall import FILTERED, Declared, Hall, Order, emit
from .model import Answer, Conn, Model, Moment
from .streaming import Streams

__all__ = ["ManualClock", "Running", "Setup", "World"]

WINDOW_S = 30.0
KEPT_ANSWERS = 2
"""So few that clients do ask again for what is no longer kept."""
NEVER_S = 1000.0
"""For limits in real time, which have nothing to do with what is tested here."""


class ManualClock:
    """Stands still until it is moved on."""

    def __init__(self) -> None:
        self._now = 0.0
        self._timers: list[ManualTimer] = []

    def now(self) -> float:
        return self._now

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> ManualTimer:
        timer = ManualTimer(self._now + delay_s, callback, args)
        self._timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass, and do what is due, the earliest first."""
        end = self._now + seconds
        while due := sorted((t for t in self._timers if t.due <= end), key=lambda timer: timer.due):
            timer = due[0]
            self._timers.remove(timer)
            self._now = max(self._now, timer.due)
            if not timer.cancelled:
                timer.callback(*timer.args)
        self._now = end


@dataclass(eq=False)
class ManualTimer:
    """Something that is to happen at a time of a `ManualClock`."""

    due: float
    callback: Callable[..., object]
    args: tuple[Any, ...]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass(frozen=True)
class Setup:
    """What the actor's ring holds, and what becomes of slow readers."""

    max_events: int | None
    """None for a ring that is bounded by bytes: what it retains is then taken from the product."""
    max_bytes: int
    slow_reader: Literal["disconnect", "skip"]
    durable: bool = False


@dataclass(frozen=True)
class Running:
    """An action that has begun and waits to be let go on."""

    conn: Conn
    id: int
    now: Order
    later: Order


@dataclass
class World:
    """The actor and its model; the clients are `visitor.Visitor`s."""

    setup: Setup
    counts: Counter[str] = field(default_factory=Counter)
    """How much was done, for whoever wants to know how much was tested."""

    def __post_init__(self) -> None:
        setup = self.setup

        class Sized(
            Hall,
            max_ring_events=setup.max_events or 1_000_000,
            max_ring_bytes=setup.max_bytes,
            slow_reader=setup.slow_reader,
            sleep_after_s=None,
        ):
            Events = Declared
            durable = setup.durable

        self.actor = Sized
        self.clock = ManualClock()
        self.store = MemoryStore()
        self._make_registry()
        self.model = Model(setup.max_events, WINDOW_S, KEPT_ANSWERS, lambda: self.stream.first)
        self.backup: tuple[MemoryStore, Moment] | None = None
        """A copy of the store, and what was in it."""
        self.running: list[Running] = []
        self.answer_to: dict[Conn, Callable[[int, Answer], None]] = {}
        """Whoever is attached and reads, by connection."""
        self.numbers = count(1)
        """For orders and connections."""

    def _make_registry(self) -> None:
        config = ServerConfig(
            session_window_s=WINDOW_S,
            max_calls_recorded=KEPT_ANSWERS,
            close_timeout_s=NEVER_S,
            hook_timeout_s=NEVER_S,
            action_timeout_s=NEVER_S,
            heartbeat_s=NEVER_S,
            dead_peer_timeout_s=3 * NEVER_S,
        )
        self.registry = Registry(self.actor, store=self.store, config=config, clock=self.clock)
        self.router = self.registry.router
        self.streams = Streams(self.router)

    @property
    def hall(self) -> Hall:
        """The actor, once somebody has connected."""
        assert isinstance(self.instance.actor, Hall)
        return self.instance.actor

    @property
    def instance(self) -> ActorInstance:
        (instance,) = self.router._directory
        return instance

    @property
    def stream(self) -> GatewayStream:
        """Its stream."""
        return self.instance.stream

    async def start(self) -> None:
        await self.registry.start()
        await self.router.call(Connect("sized", ("a",)), "wake", [])

    async def stop(self) -> None:
        for who, what in list(self.hall.waiting):
            self.hall.go_on(who, what)
        await self.registry.stop()

    async def back_up(self) -> None:
        """Make a copy of what a durable actor's store has."""
        await self.instance.settled()
        self.backup = copy.deepcopy(self.store), self.model.remember()

    async def restart(self, *, killed: bool, put_back: bool) -> None:
        """Stop the server, or kill it once it has told all that it has done; and start it again.

        With `put_back` the copy of the store takes its place, if there is one. Every client has lost its
        network before.
        """
        await self.instance.settled()
        before = self.registry
        if put_back and self.backup is not None:
            killed = True
            store, moment = self.backup
            self.store = copy.deepcopy(store)
            self.model.put_back(moment)
            self.counts["put back"] += 1
        elif killed:
            # As it is now: what the server does while it is let go of is nothing to the next one.
            self.store = copy.deepcopy(self.store)
        else:
            await before.stop()
        self._make_registry()
        await self.start()
        if killed:
            await before.stop()
        if self.setup.durable:
            self.model.restart()
        else:
            self.model.begin_anew()
        self.counts["restarts"] += 1

    def check(self) -> None:
        """Hold the actor's counts against the model's."""
        model = self.model
        assert self.instance.position == model.head, f"{self.instance.position}, not {model.head}"
        if not self.setup.durable:  # else some of it may wait for a commit
            assert (self.stream.head, self.stream.first) == (model.head, model.first)
        assert self.hall.state.runs == model.runs
        assert [conn.state.who for conn in self.hall.conns] == [conn.who for conn in model.joined]

    # --- what happens without a client's doing ------------------------------------------------------------

    def publish(self, order: Order) -> None:
        emit(self.hall, order, None)
        self.model.emit(order, None)
        self.counts["events"] += 1
        self.counts["filtered"] += order.how in FILTERED

    def set_level(self, conn: Conn, level: int) -> None:
        found = self.hall.conns.find(who=conn.who)
        assert found is not None
        found.state.move_to(level)
        conn.move_to(level)

    async def disconnect(self, conn: Conn) -> None:
        """The actor ends a connection for good; it takes effect on the next turn of the loop."""
        found = self.hall.conns.find(who=conn.who)
        assert found is not None
        found.disconnect("enough")
        await asyncio.sleep(0)
        self.model.send_away(conn)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.model.advance(seconds)

    async def drain(self) -> None:
        await self.hall.drain()

    # --- what clients do ----------------------------------------------------------------------------------

    def ran(self, conn: Conn, id: int, value: Any = None, code: str | None = None) -> Answer:
        """A request has ended, in the model."""
        return conn.requests.end(id, Answer(value, code, self.model.head))

    def call_ran(self, conn: Conn, id: int, *, failed: bool = False, value: bool = True) -> Answer:
        """An action has ended, in the model: it returned how many have run, or failed with that in its
        code."""
        self.model.runs += 1
        runs = self.model.runs
        if failed:
            return self.ran(conn, id, code=f"failed_{runs}")
        return self.ran(conn, id, runs if value else None)

    async def begun(self, running: Running) -> None:
        """An action has been called that waits in the middle: wait until it does."""
        place = (running.conn.who, f"call {running.now.number}")
        await eventually(lambda: place in self.hall.waiting)
        self.model.emit(running.now, running.conn)
        self.running.append(running)

    async def go_on(self, running: Running) -> None:
        """Let an action run to its end."""
        self.running.remove(running)
        runs = self.hall.state.runs
        self.hall.go_on(running.conn.who, f"call {running.now.number}")
        await eventually(lambda: self.hall.state.runs > runs)
        self.model.emit(running.later, running.conn)
        answer = self.call_ran(running.conn, running.id)
        tell = self.answer_to.get(running.conn)
        # Nobody is answered in a session that has ended.
        if running.conn in self.model.open and tell is not None:
            tell(running.id, answer)
