"""What a client reads: every message is compared with the model when it is taken from the socket."""

from __future__ import annotations

from enum import Enum, auto

from linked import Closed

from ringcast.errors import CloseCode
from ringcast.gateway.heartbeat import Beat
from ringcast.wire.protocol import Call, Connected, Error, Event, Gap, Heartbeat, Reply, ServerMessage

from .guest import GuestSocket
from .model import Answer, Conn
from .world import World

__all__ = ["Place", "Reader"]


class Place(Enum):
    """Where a client is."""

    AWAY = auto()
    """Without a socket."""
    KNOCKING = auto()
    """Its connect message is handled, and `on_connect` waits."""
    HERE = auto()
    SILENT = auto()
    """Its network is gone, and nobody has noticed."""
    GONE = auto()
    """It will not come back."""


class Reader:
    """The reading half of a client. With `tight`, it is a slow reader unless it reads at once."""

    def __init__(self, world: World, *, tight: bool) -> None:
        self.world = world
        self.model = world.model
        self.tight = tight
        self.place = Place.AWAY
        self.socket: GuestSocket | None = None
        self.conn: Conn | None = None
        self.known: Connected | None = None
        self.seen = 0
        self.unanswered: list[Call] = []
        self.arrived: list[int] = []
        """Ids of requests whose answers the server need not keep, and does not know that yet."""
        self.due: list[tuple[int, Answer]] = []
        """Answers that were sent to the present socket, and not read yet."""
        self.beats: list[int] = []
        """The offsets of heartbeats that were sent to the present socket, and not read yet."""
        self.even_at = 1
        """What the ring retained when this client last had read everything."""

    @property
    def is_open(self) -> bool:
        """Whether the server has a session of this client."""
        return self.conn is not None and self.conn in self.model.open

    def cut(self) -> None:
        """Lose the network, with all that is on its way."""
        assert self.socket is not None and self.conn is not None
        self.socket.lose()
        self.socket = None
        self.forget_due()
        self.place = Place.AWAY
        self.model.wait_for(self.conn)
        self.world.counts["cuts"] += 1

    def forget_due(self) -> None:
        """The present socket is over: what was answered over it is lost."""
        self.due.clear()
        self.beats.clear()
        if self.conn is not None:
            self.world.answer_to.pop(self.conn, None)

    @property
    def owed(self) -> int:
        """How many messages are still to come: at most so many where some may be lost."""
        assert self.conn is not None
        events = self.model.events_for(self.conn, self.seen)
        return len(events) + len(self.due) + len(self.beats) + (not self.is_open)

    def beat(self) -> None:
        """Have the server tell that it is there, and how far this client has come."""
        assert self.socket is not None
        sink = self.socket.link.sink
        # Behind what waits already, none is sent.
        if self.is_open and not sink.queued_bytes:
            self.socket.link.beat(Beat(0), ping=False)
            if self.place is Place.HERE and sink.end_reason is None:
                self.beats.append(self.world.stream.head)

    async def read(self, most: int | None = None) -> None:
        """Read what is to come, at most so many messages, and compare each with the model."""
        while self.place is Place.HERE and self.owed and most != 0:
            assert self.socket is not None
            self._take(await self.socket.next())
            self._check_position()
            self.world.counts["messages"] += 1
            most = None if most is None else most - 1
        if self.place is Place.HERE and not self.owed:
            self.even_at = self.model.first

    def _check_position(self) -> None:
        if self.socket is not None and self.known is not None:
            self.socket.check_position(self.known.epoch, self.seen)

    async def read_all_and_hear_nothing_more(self) -> None:
        """Read what is to come, and find that this was all."""
        await self.read()
        await self.world.drain()
        if self.place is Place.HERE:
            assert self.socket is not None
            more = self.socket.at_rest()
            assert not more, f"more came than was sent: {more!r}"

    def _take(self, message: ServerMessage | Closed) -> None:
        match message:
            case Event():
                self._take_event(message)
            case Gap():
                self._take_gap(message)
            case Reply() | Error():
                self._take_answer(message)
            case Heartbeat():
                self._take_heartbeat(message)
            case Closed():
                self._take_end(message)
            case _:
                raise AssertionError(f"not in the middle of a connection: {message}")

    def _take_event(self, event: Event) -> None:
        """It has to be the next one that was sent to this client."""
        assert self.conn is not None
        coming = self.model.events_for(self.conn, self.seen)
        assert coming, f"not for this client: {event}"
        assert (event.offset, event.name, event.args) == (coming[0].offset, coming[0].name, coming[0].args), (
            f"{event} came, not {coming[0]}"
        )
        self.seen = event.offset

    def _take_gap(self, gap: Gap) -> None:
        """It has to be real, and to say no more than what is lost."""
        assert self.conn is not None
        assert self.tight and self.world.setup.slow_reader == "skip", gap
        assert gap.reason == "ring_overflow" and gap.first is not None and gap.last is not None
        lost = [event for event in self.model.events_for(self.conn, self.seen) if event.offset <= gap.last]
        assert lost, f"nothing was lost: {gap}"
        assert self.seen < gap.first <= lost[0].offset
        # It ended where the ring began, at some moment since this client had read everything.
        assert self.even_at <= gap.last + 1 <= self.model.first
        self.seen = gap.last
        if self.socket is not None and self.socket.tells_by_ids:
            # Those that wait behind it would take the position back: they are left out.
            self.beats = [offset for offset in self.beats if offset > gap.last]
        self.world.counts["gaps"] += 1

    def _take_answer(self, message: Reply | Error) -> None:
        """It has to be what was asked for, and to come behind what was sent before."""
        assert self.conn is not None
        if isinstance(message, Reply):
            value, code = message.value, None
        else:
            value, code = None, message.error["code"]
        said = (message.id, value, code)
        found = [(id, answer) for id, answer in self.due if (id, answer.value, answer.code) == said]
        assert found, f"not what was asked for: {message}, but {self.due}"
        self.due.remove(found[0])
        after = found[0][1].after
        before = [event for event in self.model.events_for(self.conn, self.seen) if event.offset <= after]
        assert not before, f"the answer {message} came before {before}"
        self.unanswered = [call for call in self.unanswered if call.id != message.id]
        self.arrived.append(found[0][0])

    def _take_heartbeat(self, heartbeat: Heartbeat) -> None:
        """It has to come behind everything that it tells of."""
        assert self.conn is not None
        assert self.beats and heartbeat.offset == self.beats.pop(0)
        coming = self.model.events_for(self.conn, self.seen)
        before = [event for event in coming if event.offset <= heartbeat.offset]
        assert not before, f"{heartbeat} came before {before}"
        self.seen = max(self.seen, heartbeat.offset)

    def _take_end(self, end: Closed) -> None:
        """It has to be the actor's, behind everything, or that of a slow reader."""
        assert self.conn is not None
        if end.code == CloseCode.SLOW_READER:
            assert self._reads_too_slowly(), f"nothing was lost, and yet: {end}"
            self.cut()
            return
        assert not self.is_open, f"nobody has ended it: {end}"
        assert end == (CloseCode.DISCONNECTED, "enough")
        assert self.owed == 1 or self._reads_too_slowly(), f"more was to come before {end}"
        self.cut()
        self.place = Place.GONE

    def _reads_too_slowly(self) -> bool:
        """Whether the next event for this client is lost, and its actor ends such connections."""
        assert self.conn is not None
        coming = self.model.events_for(self.conn, self.seen)
        lost = bool(coming) and coming[0].offset < self.model.first
        return lost and self.tight and self.world.setup.slow_reader == "disconnect"
