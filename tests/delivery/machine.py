"""Random histories of one actor and its clients, each step of them held against the model."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from itertools import product
from typing import Any, ClassVar, NamedTuple, TypeVar

import uvloop
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from ringcast.wire.encoding import Encoding

from . import ending
from .guest import GuestSocket
from .hall import HOWS, How, Order
from .model import Conn
from .reading import Place
from .visitor import CARRIERS, Carrier, Visitor
from .wants import WANTS
from .world import Setup, World

__all__ = ["History"]

NAMES = ("a", "b", "c", "joined", "left")
FILTERED = tuple(f"c {number}" for number in range(len(WANTS)))
MOST_VISITORS = 6
MOST_UNREAD = 24
"""Messages that a socket with room may have unread: it takes them all."""

SETUPS = [
    Setup(max_events, 1 << 24, slow_reader)
    for max_events in (1, 4, 12, 40)
    for slow_reader in ("disconnect", "skip")
] + [Setup(None, 16_384, slow_reader) for slow_reader in ("disconnect", "skip")]
SETUPS += [replace(setup, durable=True) for setup in SETUPS]

SIZES = (0, 0, 1, 100, 700, 3000)
LEVELS = 3


class Spec(NamedTuple):
    """An order as it is drawn: all but its number, and whom it names."""

    how: How
    name: str
    size: int
    level: int
    pick: int


def spec(number: int) -> Spec:
    """Decode a number: one draw for an order is much faster than five."""
    number, how = divmod(number, len(HOWS))
    number, name = divmod(number, 3)
    number, size = divmod(number, len(SIZES))
    pick, level = divmod(number, LEVELS)
    return Spec(HOWS[how], NAMES[name], SIZES[size], level, pick)


class Kind(NamedTuple):
    """What a client is like."""

    encoding: Encoding
    tight: bool
    acknowledges: bool
    carrier: Carrier

    def __repr__(self) -> str:
        return f"Kind(Encoding.{self.encoding.name}, {self.tight}, {self.acknowledges}, {self.carrier!r})"


kinds = st.sampled_from([
    Kind(*each)
    for each in product(Encoding, (False, True), (False, True), CARRIERS)
    if each[0] is Encoding.JSON or each[-1] == "frames"
])  # fmt: skip
names = st.sampled_from((*NAMES[:3], *FILTERED))
"""What a client listens for: a name, or a name with a filter."""
name_sets = st.sets(st.sampled_from((*NAMES, *FILTERED)), max_size=4)
levels = st.integers(0, LEVELS - 1)
indices = st.integers(0, 59)
"""Of whatever there is to choose from, modulo its number."""
specs = st.integers(0, 12 * len(HOWS) * 3 * len(SIZES) * LEVELS - 1).map(spec)

Is = Callable[[Visitor], bool]
Step = TypeVar("Step", bound=Callable[..., None])


def here(visitor: Visitor) -> bool:
    return visitor.place is Place.HERE


def here_and_acknowledging(visitor: Visitor) -> bool:
    return here(visitor) and visitor.acknowledges


def with_socket(visitor: Visitor) -> bool:
    return visitor.place in (Place.HERE, Place.SILENT)


def without_network(visitor: Visitor) -> bool:
    return visitor.place in (Place.AWAY, Place.SILENT)


def inside(visitor: Visitor) -> bool:
    return visitor.known is not None and visitor.place is not Place.GONE


def expected_back(visitor: Visitor) -> bool:
    return without_network(visitor) and visitor.is_open


def at_the_door(visitor: Visitor) -> bool:
    return visitor.place is Place.KNOCKING


def if_any(fits: Is) -> Callable[[Step], Step]:
    """Let a rule run only when some visitor fits."""
    return precondition(lambda history: any(map(fits, history.visitors)))


class History(RuleBasedStateMachine):
    """The rules: what can happen, to whom, when."""

    counts: ClassVar[Counter[str]] = Counter()
    """Over all histories of this process."""

    def __init__(self) -> None:
        super().__init__()
        self.visitors: list[Visitor] = []
        self.doors: list[Visitor] = []
        """Who knocked and has not been let in, gone or not."""
        self.runner: asyncio.Runner | None = None

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        async def then_check() -> None:
            await work
            self.world.check()

        assert self.runner is not None
        try:
            self.runner.run(then_check())
        except TimeoutError:
            GuestSocket.patience_s = 1
            raise
        ending.check()

    def do(self, step: Callable[..., None], *args: Any) -> None:
        """Run a step that waits for nothing, on the loop."""

        async def work() -> None:
            step(*args)

        self.run(work())

    def one(self, fits: Is, index: int) -> Visitor:
        found = [visitor for visitor in self.visitors if fits(visitor)]
        return found[index % len(found)]

    def add(self, kind: Kind, names: set[str]) -> Visitor:
        visitor = Visitor(
            self.world,
            kind.encoding,
            names,
            tight=kind.tight,
            acknowledges=kind.acknowledges,
            carrier=kind.carrier,
        )
        self.visitors.append(visitor)
        return visitor

    def order(self, spec: Spec) -> Order:
        conns = self.world.model.open
        who = conns[spec.pick % len(conns)].who if conns else 0
        return Order(spec.how, spec.name, next(self.world.numbers), spec.size, who, spec.level)

    async def make_room(self, coming: int) -> None:
        """See to it that whoever has room in his socket has room for so many messages more."""
        for visitor in filter(here, self.visitors):
            if not visitor.tight and visitor.owed + coming > MOST_UNREAD:
                await visitor.read()

    # --- beginning and end --------------------------------------------------------------------------------

    @initialize(setup=st.sampled_from(SETUPS), on_uvloop=st.booleans())
    def begin(self, setup: Setup, on_uvloop: bool) -> None:
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop if on_uvloop else None)
        self.world = World(setup, self.counts)
        self.counts["histories"] += 1

        async def begin() -> None:
            await self.world.start()
            for encoding in Encoding:
                visitor = Visitor(self.world, encoding, ["a", "b"], acknowledges=encoding is Encoding.JSON)
                await visitor.arrive()
                self.visitors.append(visitor)

        self.run(begin())

    def teardown(self) -> None:
        if self.runner is None:
            return
        # Hypothesis calls this on the way out of a step that failed as well: that failure is the one to show.
        failed = sys.exc_info()[0] is not None
        with self.runner:
            try:
                if not failed:
                    self.run(self.end())
            finally:
                self.runner.run(self.stop())

    async def end(self) -> None:
        """Everybody comes back and reads what there is; then the last numbers are compared."""
        for visitor in list(self.doors):
            await self.let_in(visitor)
        for visitor in filter(without_network, self.visitors):
            await visitor.arrive()
        while self.world.running:
            await self.make_room(2)
            await self.world.go_on(self.world.running[0])
        # Those who are let go for reading too slowly come back, and read on.
        while reading := [v for v in self.visitors if here(v) and v.owed]:
            for visitor in reading:
                await visitor.read()
                if visitor.place is Place.AWAY:
                    await visitor.arrive()
        for visitor in filter(here, self.visitors):
            await visitor.read_all_and_hear_nothing_more()
            assert not visitor.unanswered
        assert self.world.router.connections == len(self.world.model.open)

    async def stop(self) -> None:
        await self.world.stop()
        for visitor in self.visitors:
            if visitor.socket is not None:
                visitor.socket.lose()

    # --- coming and going ---------------------------------------------------------------------------------

    @precondition(lambda self: sum(map(inside, self.visitors)) < MOST_VISITORS)
    @rule(kind=kinds, names=name_sets, level=levels)
    def newcomer(self, kind: Kind, names: set[str], level: int) -> None:
        visitor = self.add(kind, names)
        self.run(visitor.arrive(level))

    @precondition(lambda self: sum(map(inside, self.visitors)) < MOST_VISITORS)
    # What the ring retained when it was let in is not to be seen any more once its call has run.
    @precondition(lambda self: self.world.setup.max_events is not None)
    @rule(kind=kinds, names=name_sets, name=names, order=specs)
    def newcomer_in_a_hurry(self, kind: Kind, names: set[str], name: str, order: Spec) -> None:
        # With server-sent events, nothing can be posted before there is an answer.
        visitor = self.add(kind._replace(carrier="frames"), names)
        self.run(visitor.arrive_in_a_hurry(order.level, name, self.order(order)))

    # An action or a hook that waits holds up everything else in a durable actor.
    @precondition(lambda self: len(self.doors) < 2 and not self.world.setup.durable)
    @rule(kind=kinds, names=name_sets, level=levels)
    def newcomer_who_is_kept_waiting(self, kind: Kind, names: set[str], level: int) -> None:
        visitor = self.add(kind, names)
        self.doors.append(visitor)
        self.run(visitor.knock(level))

    @precondition(lambda self: bool(self.doors))
    @rule(index=indices)
    def lets_in(self, index: int) -> None:
        self.run(self.let_in(self.doors[index % len(self.doors)]))

    async def let_in(self, visitor: Visitor) -> None:
        self.doors.remove(visitor)
        await self.make_room(3)
        await visitor.let_in()

    @if_any(at_the_door)
    @rule(index=indices)
    def gives_up(self, index: int) -> None:
        self.do(self.one(at_the_door, index).give_up)

    @if_any(with_socket)
    @rule(index=indices)
    def loses_the_network(self, index: int) -> None:
        self.do(self.one(with_socket, index).cut)

    @if_any(here)
    @rule(index=indices)
    def falls_silent(self, index: int) -> None:
        self.do(self.one(here, index).fall_silent)

    @if_any(without_network)
    @rule(
        index=indices,
        meanwhile=st.lists(specs, max_size=3),
        names=name_sets | st.none(),
        other_encoding=st.integers(0, 9).map(lambda n: n == 0),
        carrier=st.none() | st.sampled_from(CARRIERS),
    )
    def comes_back(
        self,
        index: int,
        meanwhile: list[Spec],
        names: set[str] | None,
        other_encoding: bool,
        carrier: Carrier | None,
    ) -> None:
        visitor = self.one(without_network, index)
        if names is not None:
            visitor.wanted = names

        async def come_back() -> None:
            await self.publish_all(meanwhile)
            await self.make_room(3 + 2 * len(visitor.unanswered))
            await visitor.arrive(other_encoding=other_encoding, carrier=carrier)

        self.run(come_back())

    @if_any(expected_back)
    @rule(index=indices, name=names)
    def is_lost_again_while_coming_back(self, index: int, name: str) -> None:
        visitor = self.one(expected_back, index)
        visitor.wanted.add(name)
        self.run(visitor.die_at_the_door())

    @if_any(here)
    @rule(index=indices)
    def leaves_for_good(self, index: int) -> None:
        self.do(self.one(here, index).leave)

    @precondition(lambda self: len(self.world.model.joined) > 1)
    @rule(index=indices)
    def is_disconnected_by_the_actor(self, index: int) -> None:
        self.run(self.world.disconnect(self.joined(index)))

    def joined(self, index: int) -> Conn:
        joined = self.world.model.joined
        return joined[index % len(joined)]

    @precondition(lambda self: not (self.doors or self.world.running))
    @rule(killed=st.booleans(), put_back=st.booleans())
    def server_restarts(self, killed: bool, put_back: bool) -> None:
        """Only a durable actor is as it was after it was killed; or as it was when a copy was made."""
        for visitor in filter(with_socket, self.visitors):
            self.do(visitor.cut)
        self.run(self.world.restart(killed=killed and self.world.setup.durable, put_back=put_back))
        for visitor in filter(inside, self.visitors):
            visitor.forget_farewell()

    @precondition(lambda self: self.world.setup.durable and not (self.doors or self.world.running))
    @rule()
    def a_copy_of_the_store_is_made(self) -> None:
        self.run(self.world.back_up())

    @rule(seconds=st.sampled_from((1.0, 10.0, 29.0, 31.0)))
    def time_passes(self, seconds: float) -> None:
        self.do(self.world.advance, seconds)

    # --- sending ------------------------------------------------------------------------------------------

    async def publish_all(self, chosen: list[Spec]) -> None:
        await self.make_room(len(chosen))
        for order in chosen:
            self.world.publish(self.order(order))

    @rule(chosen=st.lists(specs, min_size=1, max_size=4))
    def publishes(self, chosen: list[Spec]) -> None:
        self.run(self.publish_all(chosen))

    @rule(chosen=st.lists(specs, min_size=6, max_size=16))
    def publishes_much(self, chosen: list[Spec]) -> None:
        self.run(self.publish_all(chosen))

    @precondition(lambda self: bool(self.world.model.joined))
    @rule(index=indices, level=levels, order=specs)
    def publishes_and_changes_a_level_at_once(self, index: int, level: int, order: Spec) -> None:
        async def publish_and_change() -> None:
            await self.publish_all([order])
            self.world.set_level(self.joined(index), level)

        self.run(publish_and_change())

    # --- asking -------------------------------------------------------------------------------------------

    @if_any(inside)
    @rule(index=indices, order=specs, fails=st.booleans())
    def calls(self, index: int, order: Spec, fails: bool) -> None:
        self.run(self.call(index, "publish_and_fail" if fails else "publish", order))

    @precondition(lambda self: not self.world.setup.durable)
    @if_any(inside)
    @rule(index=indices, now=specs, later=specs)
    def calls_what_takes_time(self, index: int, now: Spec, later: Spec) -> None:
        self.run(self.call(index, "publish_twice", now, later))

    async def call(self, index: int, action: str, *chosen: Spec) -> None:
        await self.make_room(2)
        await self.one(inside, index).call(action, *(self.order(each) for each in chosen))

    @precondition(lambda self: bool(self.world.running))
    @rule(index=indices)
    def an_action_goes_on(self, index: int) -> None:
        async def go_on() -> None:
            await self.make_room(2)
            await self.world.go_on(self.world.running[index % len(self.world.running)])

        self.run(go_on())

    @if_any(inside)
    @rule(index=indices, level=levels)
    def changes_its_own_level(self, index: int, level: int) -> None:
        self.run(self.one(inside, index).call("set_level", level))

    @if_any(inside)
    @rule(index=indices, name=names, wanted=st.booleans())
    def begins_or_ends_to_listen(self, index: int, name: str, wanted: bool) -> None:
        self.do(self.one(inside, index).want, name, wanted)

    @if_any(here_and_acknowledging)
    @rule(index=indices)
    def tells_what_has_arrived(self, index: int) -> None:
        self.do(self.one(here_and_acknowledging, index).acknowledge)

    @if_any(with_socket)
    @rule()
    def heart_beats(self) -> None:
        for visitor in filter(with_socket, self.visitors):
            self.do(visitor.beat)

    # --- reading ------------------------------------------------------------------------------------------

    @if_any(here)
    @rule(index=indices, most=st.sampled_from((1, 2, 5)))
    def reads_a_little(self, index: int, most: int) -> None:
        self.run(self.one(here, index).read(most))

    @if_any(here)
    @rule(index=indices)
    def reads_everything(self, index: int) -> None:
        self.run(self.one(here, index).read())

    @if_any(here)
    @rule(index=indices)
    def hears_nothing_that_is_not_for_it(self, index: int) -> None:
        self.run(self.one(here, index).read_all_and_hear_nothing_more())
