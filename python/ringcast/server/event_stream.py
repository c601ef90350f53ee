"""One client's server-sent events, from the request to the end, and their link to the session.

What the request says is read in `events.py`. How the response goes out is for subclasses to say: over a
socket of this server in `event_socket.py`, and by way of somebody else's in `asgi_events.py`. Until the
connection is accepted nothing is written, so that a refusal can have a status of its own.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from ..errors import CloseCode, ConnectionRefused, ProtocolError, RingcastError, may_come_back
from ..gateway.heartbeat import Beat
from ..gateway.link import Gateway, Link, encode_error
from ..gateway.places import NoPlace
from ..request import EMPTY, Request
from ..wire.encoding import Encoding
from ..wire.protocol import Connect, Connected
from .client_socket import CLOSING, OPEN, ClientSocket
from .endpoint import Endpoint
from .guard import CODE_BY_LIMIT, RETRY_AFTER_S, Guard, refusal_of
from .replies import RequestError, error_response

if TYPE_CHECKING:
    from .._core import Sink

__all__ = [
    "STREAM_HEADER",
    "STREAM_HEADERS",
    "Answer",
    "EventStream",
    "EventStreamLink",
    "Lines",
    "Opening",
    "no_place",
]

STREAM_HEADER: Final = "Ringcast-Stream"
"""Has the number of a stream: in its response, and in requests that are for this stream and no later one."""
_FIRST_RETRY_S: Final = 0.5
"""The least that a client waits before it comes back, and as much again by chance."""

Lines: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Lines of the head of a response."""

STREAM_HEADERS: Final[Lines] = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    # For proxies in between: nginx and those that follow it would wait for more.
    (b"x-accel-buffering", b"no"),
)


class Answer(NamedTuple):
    """A response that is written whole."""

    status: HTTPStatus
    headers: Lines
    body: bytes


@dataclass(slots=True, frozen=True)
class Opening:
    """What a request for events asks for."""

    connect: Connect
    speaks_protocol: bool
    """Whether the client reads messages of every kind, and says now and then that it is there: heartbeats
    are messages then, and not comments."""
    keeps_subscriptions: bool
    """Whether a session that goes on keeps those that it has, whatever the request says."""
    headers: Lines
    """For the head of the response, if the connection is accepted."""
    on_accepted: Callable[[str], None]
    """Told the session's token."""


class EventStream(ClientSocket, ABC):
    """A client that reads server-sent events. Whoever makes one calls `start`, and `leave` at the end."""

    __slots__ = (
        "_came",
        "_endpoint",
        "_guard",
        "_link",
        "_opening",
        "_phase",
        "_place",
        "_quiet_rounds",
        "_since",
        "_sink",
        "heard",
    )

    def __init__(self, endpoint: Endpoint, guard: Guard, opening: Opening, came: Request) -> None:
        self._endpoint = endpoint
        self._guard = guard
        self._place = None
        self._opening: Opening | None = opening
        self._came = came
        """The request, for the hooks before the connection; let go of as the link has it."""
        self._sink = None
        self._link = None
        # Its connect message has come, as the request.
        self._phase, self._since = OPEN, 0.0
        self.heard = False
        self._quiet_rounds = 0 if opening.speaks_protocol else None

    # What the kinds of streams differ in.

    @abstractmethod
    def begin(self, headers: Lines, body: bytes) -> None:
        """Write the head of a response with status 200, and `body` behind it; what follows is the sink's."""

    @abstractmethod
    def _answer(self, answer: Answer) -> None:
        """Write this, and close: there are no events."""

    @abstractmethod
    def _open_sink(self) -> Sink:
        """Return where events are to go. Raises `OSError`; `RingcastError` if the router is not running."""

    @property
    def is_watched(self) -> bool:
        """Whether the system lets go of a client that takes nothing for `dead_peer_timeout_s`."""
        return False

    # What they have in common.

    def start(self) -> None:
        """Answer the request. Never raises."""
        assert self._opening is not None  # it is let go of by this
        opening, self._opening = self._opening, None
        came, self._came = self._came, EMPTY
        self._endpoint.deadlines.add(self)
        try:
            gateway = self._endpoint.router.gateway
            self._place = self._guard.take_place(came.address)
            self._sink = self._open_sink()
            self._link = link = EventStreamLink(gateway, self._sink, self, opening, came)
            if gateway.stopping:
                link.close(CloseCode.SERVER_RESTART)
            else:
                link.connect(opening.connect)
        except NoPlace as full:
            self.turn_away(_no_place(full.limit), CloseCode.TRY_AGAIN_LATER)
        except Exception as error:
            code, told = self._endpoint.turned_away_for(error)
            self.turn_away(told, code)

    def turn_away(self, error: RingcastError | None, code: int, reason: str = "") -> None:
        """Answer the request with what keeps its client from the events, and close.

        A browser's `EventSource` comes back after the end of a response with status 200, and never after
        another one. So the status says what a close code says otherwise.
        """
        if self._phase is CLOSING:
            return
        self._note_closing()
        if may_come_back(code):
            answer = _passing(error, code, reason, self._endpoint.router.reconnect_within_s)
        else:
            answer = _final(error, code, reason)
        self._answer(answer)
        if self._sink is not None:
            self._sink.drop()

    def leave(self) -> None:
        """The client is gone, or was let go of."""
        self._leave(self._guard, None)


class EventStreamLink(Link):
    """The link of an event stream: its connect message was the request, and the others are posted."""

    __slots__ = ("_accepted", "_opening", "_stream")

    transport = "sse"

    def __init__(
        self, gateway: Gateway, sink: Sink, stream: EventStream, opening: Opening, came: Request
    ) -> None:
        super().__init__(gateway, sink, Encoding.JSON, came)
        self._stream = stream
        self._opening = opening
        self._accepted = False
        """Whether the response has begun."""

    def hear(self) -> None:
        """Something has come from the client."""
        self._stream.heard = True

    @property
    def is_watched(self) -> bool:
        """As `EventStream.is_watched`."""
        return self._stream.is_watched

    @property
    def keeps_subscriptions(self) -> bool:
        return self._opening.keeps_subscriptions

    def begin(self, answer: Connected) -> None:
        self._accepted = True
        self.hear()
        self._opening.on_accepted(answer.session)
        retry = _retry(answer.reconnect_within_s or 0.0)
        number = (STREAM_HEADER.lower().encode(), b"%d" % self.number)
        self._stream.begin((*STREAM_HEADERS, number, *self._opening.headers), retry + b"\n")

    def beat(self, beat: Beat, ping: bool) -> None:
        session = self.session
        if self._opening.speaks_protocol:
            super().beat(beat, ping=False)  # which nothing can carry here, nor needs: it speaks by itself
        elif not self.lost and session is not None and not session.ended and not self.sink.queued_bytes:
            # Its position is the core's to say: it is this reader's own, however long the round has taken.
            within_s = self._gateway.reconnect_within_s
            self.sink.send_heartbeat(_retry(within_s) if within_s else None)

    def close(self, code: int, reason: str = "", *, by_server: bool = True) -> None:
        if self._accepted:
            super().close(code, reason, by_server=by_server)
        else:
            self._turn_away(None, code, reason)

    def fail(self, error: ProtocolError) -> None:
        if self._accepted:
            super().fail(error)
        else:
            self._turn_away(error, error.close_code)

    def refuse(self, error: RingcastError, code: CloseCode = CloseCode.CONNECT_REFUSED) -> None:
        if self._accepted:
            super().refuse(error, code)
        else:
            self.count_refusal(code)
            self._turn_away(error, code)

    def _turn_away(self, error: RingcastError | None, code: int, reason: str = "") -> None:
        if not self.lost:
            self.lost = True
            self._stream.turn_away(error, code, reason)


def _retry(within_s: float) -> bytes:
    """Return the field that says how long to wait before coming back (WHATWG HTML, 9.2.6)."""
    wait_s = _FIRST_RETRY_S * (1 + random.random()) + within_s * random.random()
    return b"retry: %d\n" % (wait_s * 1000)


def _passing(error: RingcastError | None, code: int, reason: str, within_s: float) -> Answer:
    """Return a response after which its client comes back, in its time."""
    metadata = None if error is None else error.metadata
    wait_ms = metadata.get("retry_after_ms") if isinstance(metadata, dict) else None
    retry = b"retry: %d\n" % wait_ms if isinstance(wait_ms, int) else _retry(within_s)
    said = b"" if error is None else b"data: " + encode_error(Encoding.JSON, None, error) + b"\n\n"
    closing = Encoding.JSON.encode([code, reason or ("" if error is None else error.code)])
    body = retry + b"\n" + said + b"event: close\ndata: " + closing + b"\n\n"
    return Answer(HTTPStatus.OK, STREAM_HEADERS, body)


def no_place(limit: str) -> Answer:
    """Return a response for a client for whose socket there is no place: it comes back."""
    return _passing(_no_place(limit), CloseCode.TRY_AGAIN_LATER, "", 0.0)


def _no_place(limit: str) -> RequestError:
    metadata = {"retry_after_ms": RETRY_AFTER_S * 1000}
    return RequestError(refusal_of(limit)[1], code=CODE_BY_LIMIT[limit], metadata=metadata)


def _final(error: RingcastError | None, code: int, reason: str) -> Answer:
    """Return a response after which no client comes back."""
    if error is None:
        error = ConnectionRefused(reason or f"the session has ended: {CloseCode(code).name}")
    refusal = error_response(error, {"Ringcast-Close": str(int(code))})
    return Answer(HTTPStatus(refusal.status_code), refusal.raw_headers, bytes(refusal.body))
