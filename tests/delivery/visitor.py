"""One client on the level of messages: it comes and goes, asks, and reads (`reading.py`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal, get_args

from linked import eventually

from ringcast.errors import CloseCode
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connect, Connected, Gap, Received, Resume, Subscribe, Unsubscribe

from .guest import GuestSocket
from .hall import Order
from .model import Answer
from .reading import Place, Reader
from .wants import topic
from .world import Running, World

__all__ = ["CARRIERS", "Carrier", "Visitor"]

Carrier = Literal["frames", "stream", "browser"]
"""A WebSocket's frames; server-sent events, read as messages; the same, read by a browser's `EventSource`."""
CARRIERS: Final[tuple[Carrier, ...]] = get_args(Carrier)


class Visitor(Reader):
    """A client, and what it knows."""

    def __init__(
        self,
        world: World,
        encoding: Encoding,
        names: Iterable[str] = (),
        *,
        tight: bool = False,
        acknowledges: bool = False,
        carrier: Carrier = "frames",
    ) -> None:
        super().__init__(world, tight=tight)
        self.carrier = carrier
        self.acknowledges = acknowledges
        world.counts["clients"] += 1
        self.encoding = encoding
        self.begun_in = encoding
        """The encoding of its session."""
        self.wanted = set(names)
        self.life = 0
        """The life of the stream that `known` and `seen` are of."""
        self.last_id = 0
        self._who = self._level = 0
        """What a new session of it is like."""
        self._entered_at = 0

    # --- coming and going ---------------------------------------------------------------------------------

    async def _open_socket(
        self, *behind: Call | Subscribe | Unsubscribe, level: int = 0, knocks: bool = False
    ) -> GuestSocket:
        """Open a socket and send the connect message, with others in the same read if it is a WebSocket's."""
        self._who, self._level = next(self.world.numbers), level
        resume = None
        if self.known is not None:
            wanted = tuple(call.id for call in self.unanswered) if self._says_what_it_wants else None
            resume = Resume(self.known.session, self.known.epoch, self.seen, wanted)
        params = {"who": self._who, "level": level, "knocks": knocks}
        topics = tuple(map(topic, sorted(self.wanted)))
        connect = Connect("sized", ("a",), params=params, subscriptions=topics, resume=resume)
        if self.carrier != "frames":
            browser = self.carrier == "browser"
            return await self.world.streams.open(connect, tight=self.tight, browser=browser)
        opened = GuestSocket(self.world.router, self.encoding, tight=self.tight)
        opened.send(connect, *behind)
        return opened

    @property
    def _says_what_it_wants(self) -> bool:
        return self.acknowledges and self.carrier != "browser"

    async def arrive(
        self, level: int = 0, *, other_encoding: bool = False, carrier: Carrier | None = None
    ) -> None:
        """Connect, for the first time or again, by the same carrier or another; an earlier socket may still
        seem to live."""
        before = self.socket
        self.carrier = carrier or self.carrier
        if other_encoding:
            self.encoding = next(each for each in Encoding if each is not self.encoding)
        if self.encoding is not Encoding.JSON:
            self.carrier = "frames"
        opened = await self._open_socket(level=level)
        if self.conn is not None and self.model.now < self.conn.farewell_until:
            await self._be_sent_away(opened, before)
            return
        answer = await opened.receive(Connected)
        self.forget_due()
        if self.is_open and not other_encoding and self.model.continues(self.life, self.seen):
            self._check_resumed(answer)
        else:
            self._enter(answer)
        self._settle_in(opened, answer)
        if before is not None:
            before.lose()
        for call in list(self.unanswered):
            await self._deliver(call)

    def forget_farewell(self) -> None:
        """The server that would have told it has ended."""
        if self.conn is not None:
            self.conn.farewell_until = 0

    async def _be_sent_away(self, opened: GuestSocket, before: GuestSocket | None) -> None:
        """Come back to a session that the actor has ended, and be told so."""
        assert await opened.closed() == (CloseCode.DISCONNECTED, "enough")
        for each in filter(None, (opened, before)):
            each.lose()
        self.forget_due()
        self.place, self.socket = Place.GONE, None

    async def arrive_in_a_hurry(self, level: int, name: str, order: Order) -> None:
        """Connect for the first time, and ask for more before there is an answer."""
        subscribe, call = Subscribe(1, topic(name)), Call(2, "publish", [order])
        opened = await self._open_socket(subscribe, call, level=level)
        answer = await opened.receive(Connected)
        self._enter(answer)
        self._settle_in(opened, answer)
        self.last_id = 2
        self.wanted.add(name)
        self._wanted_there(subscribe, name)
        self.unanswered.append(call)
        await self._called_there(call)

    async def knock(self, level: int = 0) -> None:
        """Connect for the first time, and be kept waiting by `on_connect`."""
        self.socket = await self._open_socket(level=level, knocks=True)
        place = (self._who, "knock")
        await eventually(lambda: place in self.world.hall.waiting)
        self.conn = self.model.enter(self._who, self.wanted)
        self.conn.level = level
        self._entered_at = self.model.head
        self.place = Place.KNOCKING

    async def let_in(self) -> None:
        """Be let in after a knock, or be found to have left before."""
        assert self.conn is not None and self.socket is not None
        self.world.hall.go_on(self.conn.who, "knock")
        if self.place is Place.KNOCKING:
            answer = await self.socket.receive(Connected)
            self.model.join(self.conn)
            self._check_new(answer, self._entered_at, None)
            self._settle_in(self.socket, answer)
        else:
            head = self.model.head
            await eventually(lambda: self.world.stream.head >= head + 3)
            self.model.join(self.conn)
            self.model.leave(self.conn)

    def give_up(self) -> None:
        """Lose the network while waiting at the door."""
        assert self.socket is not None
        self.socket.lose()
        self.place = Place.GONE

    async def die_at_the_door(self) -> None:
        """Send a connect message to resume, and lose the network before the answer."""
        gateway = self.world.router._gateway
        assert gateway is not None
        before = set(gateway.tasks)
        # Nobody is there any more when it is handled: it changes nothing.
        (await self._open_socket()).lose()
        await eventually(lambda: gateway.tasks <= before)

    def fall_silent(self) -> None:
        """Lose the network without anybody noticing: nothing arrives any more, either way."""
        self.forget_due()
        self.place = Place.SILENT

    def leave(self) -> None:
        """Close for good."""
        assert self.socket is not None and self.conn is not None
        self.socket.lose(CloseCode.NORMAL)
        self.forget_due()
        self.place = Place.GONE
        if self.is_open:
            self.model.leave(self.conn)

    def _enter(self, answer: Connected) -> None:
        """A new session; the one before has ended, or ends now because the client changed its encoding."""
        reason = None
        if self.known is not None:
            same = self.model.continues(self.life, self.seen)
            reason = "session_expired" if same else "epoch_changed"
        if self.is_open:
            assert self.conn is not None and self.known is not None
            if self.encoding is not self.begun_in:
                reason = "encoding_changed"
            self.model.leave(self.conn)
        self.conn = self.model.enter(self._who, self.wanted)
        self.conn.level = self._level
        entered_at = self.model.head
        self.model.join(self.conn)
        self._check_new(answer, entered_at, reason)
        self.last_id = 0
        self.unanswered.clear()
        self.arrived.clear()

    def _check_new(self, answer: Connected, offset: int, reason: str | None) -> None:
        """A new session, entered at an offset: `on_connect` may have taken longer than the ring remembers."""
        assert self.conn is not None
        gap = None
        lost = self.model.missed(self.conn, offset).lost
        if lost is not None:
            gap, offset = Gap("ring_overflow", *lost), lost[1]
        if reason is not None:
            gap = Gap(reason)
        assert (answer.replayed, answer.gap) == (None, gap), answer
        # Events of others that a durable actor had not committed yet came after it entered, to the stream.
        assert answer.offset == offset or (self.world.setup.durable and answer.offset < offset), answer
        assert self.known is None or answer.session != self.known.session

    def _check_resumed(self, answer: Connected) -> None:
        assert self.conn is not None and self.known is not None
        if self.carrier == "browser":
            # It names those that it began with: the session keeps what it has.
            self.wanted = set(self.conn.names)
        self.conn.names = set(self.wanted)
        self.model.away.pop(self.conn, None)
        if self._says_what_it_wants:
            self.conn.requests.wanted([call.id for call in self.unanswered])
            self.arrived.clear()
        missed = self.model.missed(self.conn, self.seen)
        offset, gap = self.seen, None
        if missed.lost is not None:
            gap = Gap("ring_overflow", *missed.lost)
            offset = missed.lost[1]
            self.world.counts["gaps"] += 1
        expected = (offset, missed.replayed, gap)
        assert (answer.offset, answer.replayed, answer.gap) == expected, f"{answer}, not {expected}"
        assert (answer.session, answer.connection) == (self.known.session, self.known.connection)
        self.world.counts["resumed"] += 1

    def _settle_in(self, opened: GuestSocket, answer: Connected) -> None:
        assert self.conn is not None
        self.place, self.socket, self.known, self.seen = Place.HERE, opened, answer, answer.offset
        self.life, self.begun_in = self.model.life, self.encoding
        self.even_at = self.model.first
        self.world.answer_to[self.conn] = self._now_due
        self._check_position()

    # --- asking -------------------------------------------------------------------------------------------

    def _now_due(self, id: int, answer: Answer) -> None:
        self.due.append((id, answer))

    def want(self, name: str, wanted: bool) -> None:
        """Begin or end to listen for a name; without a network, the next connect message tells."""
        (self.wanted.add if wanted else self.wanted.discard)(name)
        if self.place is Place.AWAY:
            return
        self.last_id += 1
        if self.place is Place.HERE:
            assert self.socket is not None
            request = (Subscribe if wanted else Unsubscribe)(self.last_id, topic(name))
            self.socket.send(request)
            self._wanted_there(request, name)

    def _wanted_there(self, request: Subscribe | Unsubscribe, name: str) -> None:
        """It has arrived."""
        conn = self.conn
        if conn is None or not self.is_open:
            return
        (conn.names.add if isinstance(request, Subscribe) else conn.names.discard)(name)
        assert conn.requests.is_new(request.id)
        self._now_due(request.id, self.world.ran(conn, request.id))

    def acknowledge(self) -> None:
        """Tell which answers have arrived."""
        assert self.socket is not None and self.conn is not None and self.acknowledges
        self.socket.send_raw(self.encoding.encode(Received(self.arrived).to_wire()))
        if self.is_open:
            self.conn.requests.arrived(self.arrived)
        self.arrived.clear()

    async def call(self, action: str, *args: Any) -> None:
        """Call an action, or find it lost on the way and send it again later."""
        self.last_id += 1
        call = Call(self.last_id, action, list(args))
        self.unanswered.append(call)
        self.world.counts["actions"] += 1
        if self.place is Place.HERE:
            await self._deliver(call)

    async def _deliver(self, call: Call) -> None:
        """Send a call, for the first time or again."""
        assert self.socket is not None
        self.socket.send(call)
        await self._called_there(call)

    async def _called_there(self, call: Call) -> None:
        """It has arrived: it runs, or is answered again."""
        conn = self.conn
        if conn is None or not self.is_open:
            return
        if not conn.requests.is_new(call.id):
            answer = conn.requests.repeat(call.id, self.model.head)
            if answer is not None:
                self._now_due(call.id, answer)
            return
        if conn.requests.is_full:
            self._now_due(call.id, self.world.ran(conn, call.id, code="too_many_calls"))
            return
        what = call.args[0]
        match call.action:
            case "publish" | "publish_and_fail":
                self.model.emit(what, conn)
                failed = call.action == "publish_and_fail"
                self._now_due(call.id, self.world.call_ran(conn, call.id, failed=failed))
            case "set_level":
                conn.move_to(what)
                self._now_due(call.id, self.world.call_ran(conn, call.id, value=False))
            case "publish_twice":
                await self.world.begun(Running(conn, call.id, what, call.args[1]))
