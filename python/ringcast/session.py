"""One client on the server: the link, one socket's protocol state, and the session, which outlives it.

It is the gateway side of the seam (`seam.py`): it knows the stream and the core's sinks, and of the actor
only its port. How a session begins or is taken up again is in `admission.py`; frames and sockets are in
`server/`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from .clock import Clock, Timer
from .config import ServerConfig
from .errors import (
    MASKED,
    CloseCode,
    InternalError,
    OutcomeUnknown,
    ProtocolError,
    ReplyTooLarge,
    RingcastError,
    SubscriptionRefused,
    TooManyCalls,
    TryAgainLater,
)
from .event import check_event_name
from .faults import contained, raise_interrupt
from .heartbeat import Beat
from .intake import Intake
from .protocol import (
    MAX_SUBSCRIPTIONS,
    Call,
    ClientMessage,
    Connect,
    Connected,
    Encoding,
    Error,
    Received,
    Reply,
    Subscribe,
    Unsubscribe,
    parse_client_message,
    writable,
)
from .record import RequestRecord, Standing
from .seam import ActorPort, Member

if TYPE_CHECKING:
    from ._core import Sink

__all__ = ["Gateway", "Link", "Peer", "Session"]

_log: Final = logging.getLogger("ringcast.session")

_FAREWELLS: Final = (CloseCode.DISCONNECTED, CloseCode.ACTOR_DESTROYED)
"""What a client that is away when its session ends is told when it comes back."""

_MAX_REASON_BYTES: Final = 123
"""What a close frame has room for (RFC 6455, section 5.5)."""


@dataclass(slots=True)
class Peer:
    """Who is at the other end of a socket: header names in lower case."""

    host: str | None = None
    port: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Gateway:
    """What the links and sessions of one process share."""

    config: ServerConfig
    loop: asyncio.AbstractEventLoop
    clock: Clock
    find_actor: Callable[[Connect], Awaitable[ActorPort]]
    admit: Callable[[Gateway, Link, Connect], Coroutine[Any, Any, None]]
    """Answers a connect message: `admission.connect`."""
    links: set[Link] = field(default_factory=set)
    sessions: dict[str, Session] = field(default_factory=dict)
    """By token."""
    farewells: dict[str, tuple[CloseCode, str]] = field(default_factory=dict)
    """By token: the close codes and reasons of sessions that the actor has ended, for one window."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    stopping: bool = False
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    """For links, in the order in which their sockets were opened."""
    intake: Intake = field(init=False)

    def __post_init__(self) -> None:
        self.intake = Intake(self.config.max_connects_per_s, self.config.session_window_s)

    @property
    def reconnect_within_s(self) -> float:
        """Over how many seconds clients are to spread their first tries, if all of them are lost now."""
        return self.intake.spread_s(len(self.sessions))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task, kept until it is done."""
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class Link:
    """One socket's protocol state, before and after its connect message.

    Messages are handled in order: what arrives while a connect or an async `can_subscribe` runs waits for it.
    """

    __slots__ = (
        "_gateway", "_inline", "_pending", "_pending_bytes", "_unflushed",
        "connected", "encoding", "lost", "number", "session", "sink",
    )  # fmt: skip

    def __init__(self, gateway: Gateway, sink: Sink, encoding: Encoding) -> None:
        self._gateway = gateway
        self.number = next(gateway.numbers)
        """A client gives up on one socket before it opens the next: of its own, the highest is the latest."""
        self.sink = sink
        self.encoding = encoding
        self.connected = False
        """Whether a connect message has been accepted; its hooks may still be running."""
        self.lost = False
        """Whether this link is over: the socket is gone, or has been sent its close frame."""
        self.session: Session | None = None
        # Messages that wait, while something runs that has to be over first; None when nothing does.
        self._pending: deque[bytes] | None = None
        self._pending_bytes = 0
        # Whether the last message of a read is being handled: what is sent then is flushed at once.
        self._inline = False
        self._unflushed = False
        gateway.links.add(self)

    def on_message(self, payload: bytes, last: bool = True) -> None:
        """Handle one whole data message; never raises.

        `last` says that no further message waits in this read. Replies of the others are flushed with it, or
        on the next turn of the loop.
        """
        if self.lost or self._gateway.stopping:
            return
        self._inline = last
        try:
            if self._pending is not None:
                self._postpone(payload)
            else:
                self._handle(parse_client_message(self.encoding, payload))
        except ProtocolError as error:
            self.fail(error)
        except Exception:
            _log.exception("handling a message failed")
            self.close(CloseCode.INTERNAL_ERROR)
        finally:
            self._inline = False

    def on_lost(self, code: int | None) -> None:
        """The socket is gone. `code` is what the client's close frame said, None when there was none."""
        was_lost, self.lost = self.lost, True
        self._gateway.links.discard(self)
        session, self.session = self.session, None
        if session is not None:
            session.link_lost(self, for_good=code == CloseCode.NORMAL and not was_lost)
        self.sink.drop()

    def send(self, message: bytes) -> None:
        """Send a message behind every event that was published for this link's connection so far."""
        if self._inline:
            self.sink.send(message, True)
            return
        self.sink.send(message, False)
        if not self._unflushed:
            self._unflushed = True
            self._gateway.loop.call_soon(self._flush)

    def beat(self, beat: Beat, ping: bool) -> None:
        """Tell the client that the server is there, and how far it has come; `ping` asks for an answer.

        A client that does not read has no use for a heartbeat behind what waits for it already: there is
        never more than one of them.
        """
        if self.lost:
            return
        session = self.session
        # Of one that has ended the stream may have let go: nothing holds a message behind its events then.
        if session is not None and not session.ended and not self.sink.queued_bytes:
            # With a ping, which is written at once, both go out in one system call.
            self.sink.send(beat.message(session.actor.stream, self.encoding), not ping)
        if ping:
            self.sink.ping()

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame behind everything else; nothing is handled after it. Idempotent."""
        if not self.lost:
            self.lost = True
            self.sink.close(code, _fitting(reason))

    def fail(self, error: ProtocolError) -> None:
        """The client broke the protocol."""
        _log.info("closing with %d: %s", error.close_code, error.message)
        self.send(encode_error(self.encoding, None, error))
        self.close(error.close_code, error.message)

    def refuse(self, error: RingcastError, code: CloseCode = CloseCode.CONNECT_REFUSED) -> None:
        """The connection is refused, for good unless `code` says otherwise: the client is told why."""
        self.send(encode_error(self.encoding, None, error))
        self.close(code, str(error.code))

    @property
    def is_behind(self) -> bool:
        """Whether so much waits that no more should be read: far below the limits, which are a last resort.

        What one read brings, and what came in the same one, still has to fit.
        """
        config = self._gateway.config
        return self._pending is not None and (
            len(self._pending) * 8 >= config.max_pending_messages
            or self._pending_bytes * 4 >= config.max_pending_bytes
        )

    def hold_for(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` before any further message is handled."""
        self._pending = deque()
        self._gateway.start(self._then_pending(work))

    def _flush(self) -> None:
        self._unflushed = False
        self.sink.flush()

    def _handle(self, message: ClientMessage) -> None:
        session = self.session
        if session is not None:
            if isinstance(message, Connect):
                raise ProtocolError("connect was sent already")
            work = session.handle(message)
            if work is not None:
                self.hold_for(work)
        elif isinstance(message, Connect):
            # Before anything is looked up or made for it: refusing has to be cheap.
            retry_after_ms = self._gateway.intake.admit(self._gateway.loop.time())
            if retry_after_ms is not None:
                metadata = {"retry_after_ms": retry_after_ms}
                busy = TryAgainLater("too many clients connect at the same time", metadata=metadata)
                self.refuse(busy, CloseCode.TRY_AGAIN_LATER)
                return
            self.connected = True
            self.hold_for(self._gateway.admit(self._gateway, self, message))
        else:
            raise ProtocolError("the first message is connect", close_code=CloseCode.CONNECT_EXPECTED)

    def _postpone(self, payload: bytes) -> None:
        assert self._pending is not None
        config = self._gateway.config
        self._pending_bytes += len(payload)
        if (
            len(self._pending) >= config.max_pending_messages
            or self._pending_bytes > config.max_pending_bytes
        ):
            raise ProtocolError("too many messages wait for the connect message or a subscription")
        self._pending.append(payload)

    async def _then_pending(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await contained(work, "connecting")
        except Exception:
            _log.exception("admitting a client failed")
        finally:
            # Also when the task was cancelled: no socket may be left without an answer.
            if self.session is None:
                self.close(CloseCode.INTERNAL_ERROR)
        waiting, self._pending = self._pending or deque(), None
        self._pending_bytes = 0
        while waiting:
            if self._pending is not None:
                # A message among them made the rest wait again: they go before what came meanwhile.
                for payload in waiting:
                    self._postpone(payload)
                return
            self.on_message(waiting.popleft(), last=not waiting)


class Session:
    """The half of a connection that outlives a lost network: token, place in the stream, replies."""

    __slots__ = (
        "_durable",
        "_record",
        "_timer",
        "actor",
        "encoding",
        "ended",
        "gateway",
        "link",
        "member",
        "newest_link",
        "number",
        "subscriptions",
        "token",
    )  # fmt: skip

    def __init__(self, gateway: Gateway, actor: ActorPort, member: Member, encoding: Encoding) -> None:
        self.gateway = gateway
        self.actor = actor
        self.member = member
        self.encoding = encoding
        self._durable = actor.durable
        self.token = ""
        self.number = 0
        """The connection's number in the stream."""
        self.subscriptions: tuple[str, ...] = ()
        self.link: Link | None = None
        self.newest_link = 0
        """The number of the latest link that was attached."""
        self.ended = False
        # Made with the first request: most connections only listen.
        self._record: RequestRecord | None = None
        self._timer: Timer | None = None

    # --- attached and not ---------------------------------------------------------------------------------

    @property
    def attached(self) -> bool:
        return self.link is not None

    def takes(self, link: Link) -> bool:
        """Tell whether this session can go on over `link`; one that came too late is closed.

        A client gives up on a socket before it opens the next one: an older link's resume was held up on its
        way, and nobody reads the answer.
        """
        if link.number < self.newest_link:
            link.close(CloseCode.SESSION_REPLACED)
        return not (link.lost or self.ended)

    def attach(self, link: Link, answer: Connected) -> None:
        """Go on over `link`, from the position in `answer`; a link that was attached until now is closed."""
        self.hold()
        message = link.encoding.encode(answer.to_wire())
        self.actor.stream.attach(self.number, link.sink, answer.offset, message)
        before, self.link = self.link, link
        self.newest_link = link.number
        link.session = self
        if before is not None and before is not link:
            before.session = None
            before.close(CloseCode.SESSION_REPLACED)

    def link_lost(self, link: Link, for_good: bool) -> None:
        """The socket is gone; `for_good` says that the client closed it for good."""
        if self.ended:
            self.actor.stream.close(self.number)
        elif self.link is link:
            self.link = None
            self.actor.stream.detach(self.number, link.sink)
            if for_good:
                self.end(None)
            else:
                self.wait()

    def wait(self) -> None:
        """Wait for the client to come back, and end when it has not within the window."""
        window_s = self.gateway.config.session_window_s
        if not self.ended and self.link is None:
            self.hold()
            self._timer = self.gateway.clock.call_later(window_s, self.end, None)

    def hold(self) -> None:
        """Do not end for want of a client; `wait` or `attach` has to follow."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self, code: CloseCode | None, reason: str = "") -> None:
        """End for good: close the socket with `code` if there is one, and tell the actor. Idempotent."""
        if self.ended:
            return
        self.ended = True
        self.hold()
        self.gateway.sessions.pop(self.token, None)
        if code in _FAREWELLS and self.token:
            self._keep_farewell(code, reason)
        if self.link is None:
            self.actor.stream.close(self.number)
        else:
            # The stream delivers up to the close frame: it lets the connection go with the socket
            # (`link_lost`).
            self.actor.after(partial(self._let_go, CloseCode.NORMAL if code is None else code, reason))
        self.actor.leave(self.member)

    def _keep_farewell(self, code: CloseCode, reason: str) -> None:
        farewells, token = self.gateway.farewells, self.token
        farewells[token] = code, reason
        window_s = self.gateway.config.session_window_s
        self.gateway.clock.call_later(window_s, farewells.pop, token, None)

    def _let_go(self, code: CloseCode, reason: str = "") -> None:
        link, self.link = self.link, None
        if link is not None:
            link.close(code, reason)

    def suspend(self, code: CloseCode) -> None:
        """Let go of the client; the session itself goes on in the store."""
        self.ended = True
        self.hold()
        self.gateway.sessions.pop(self.token, None)
        link, self.link = self.link, None
        if link is not None:
            # What comes after is nothing to the session: the store goes on without it.
            link.session = None
            link.close(code)

    def end_soon(self, code: CloseCode, reason: str) -> None:
        self.gateway.loop.call_soon(self.end, code, reason)

    # --- requests -----------------------------------------------------------------------------------------

    def handle(self, request: Call | Subscribe | Unsubscribe | Received) -> Coroutine[Any, Any, None] | None:
        """Answer a request, now or later. A coroutine that comes back has to run before the next message."""
        if self._record is None:
            config = self.gateway.config
            self._record = RequestRecord(config.max_calls_recorded, config.max_recorded_bytes)
        if isinstance(request, Received):
            self._record.acknowledge(request.ids)
            return None
        standing = self._record.begin(request.id)
        if standing is Standing.NEW:
            if isinstance(request, Call):
                refusal = self._too_many(self._record)
                if refusal is not None:
                    self.respond(request.id, None, refusal)
                    return None
                self.actor.call(self.member, request, self.respond)
                return None
            if isinstance(request, Subscribe):
                return self._subscribe(request)
            self._unsubscribe(request.name)
            self.respond(request.id, None, None)
        elif isinstance(standing, bytes):
            # Perhaps what it tells of is not certain yet.
            self.actor.after(partial(self._send, standing))
        elif standing is Standing.FORGOTTEN:
            fault = OutcomeUnknown(f"request {request.id} was answered, and its reply is no longer kept")
            self._send(encode_error(self.encoding, request.id, fault))
        return None

    def _too_many(self, record: RequestRecord) -> TooManyCalls | None:
        most = self.gateway.config.max_calls_in_flight
        if record.running > most:  # the new one is among them
            return TooManyCalls(f"{most} calls run already")
        if record.is_full:
            return TooManyCalls("too many answers have not arrived yet, or too large ones")
        return None

    def keep_answers(self, ids: tuple[int, ...]) -> None:
        """Of the answers so far, keep those to `ids`: its client has the others."""
        if self._record is not None:
            self._record.keep_only(ids)

    def respond(self, id: int, value: Any, error: RingcastError | None) -> None:
        """Send a reply to whoever is attached, and keep it for a client that asks again."""
        if self.ended:
            return
        message = (
            encode_reply(self.encoding, id, value)
            if error is None
            else encode_error(self.encoding, id, error)
        )
        most = self.gateway.config.max_reply_bytes
        if len(message) > most:
            fault = ReplyTooLarge(f"the result takes {len(message)} bytes, and a client takes {most}")
            message = encode_error(self.encoding, id, fault)
        assert self._record is not None
        self._record.finish(id, message)
        if self._durable:
            self.actor.keep_reply(self.member, id, message)
            self.actor.after(partial(self._send, message))
        else:
            self._send(message)

    def restore(self, replies: Sequence[tuple[int, bytes]]) -> None:
        """Take the record of an earlier process."""
        config = self.gateway.config
        self._record = RequestRecord(config.max_calls_recorded, config.max_recorded_bytes)
        self._record.restore(replies)

    def _send(self, message: bytes) -> None:
        if self.link is not None:
            self.link.send(message)

    def allow(self, name: str) -> bool | Awaitable[bool]:
        """Tell whether this connection may subscribe to `name`. Raises `ReservedName`, or as the actor."""
        check_event_name(name)
        return self.actor.may_subscribe(self.member, name)

    def _subscribe(self, request: Subscribe) -> Coroutine[Any, Any, None] | None:
        if len(self.subscriptions) >= MAX_SUBSCRIPTIONS and request.name not in self.subscriptions:
            fault = SubscriptionRefused(f"a connection listens for at most {MAX_SUBSCRIPTIONS} event names")
            self.respond(request.id, None, fault)
            return None
        try:
            allowed = self.allow(request.name)
        except RingcastError as error:
            self.respond(request.id, None, error)
            return None
        if not isinstance(allowed, bool):
            return self._subscribe_when_allowed(request, allowed)
        self._finish_subscribe(request, allowed)
        return None

    async def _subscribe_when_allowed(self, request: Subscribe, allowed: Awaitable[bool]) -> None:
        try:
            answer = await allowed
        except RingcastError as error:
            self.respond(request.id, None, error)
        else:
            self._finish_subscribe(request, answer)

    def _finish_subscribe(self, request: Subscribe, allowed: bool) -> None:
        if self.ended:
            return
        if allowed:
            self.subscribe(request.name)
            self.respond(request.id, None, None)
        else:
            self.respond(request.id, None, refusal(request.name))

    def subscribe(self, name: str) -> None:
        """Listen for `name` from now on."""
        if self.actor.stream.subscribe(self.number, name):
            self.subscriptions = (*self.subscriptions, name)

    def _unsubscribe(self, name: str) -> None:
        if self.actor.stream.unsubscribe(self.number, name):
            self.subscriptions = tuple(kept for kept in self.subscriptions if kept != name)

    def keep_subscriptions(self, names: tuple[str, ...]) -> None:
        """Listen, of the names so far, for those in `names` only."""
        for name in self.subscriptions:
            if name not in names:
                self._unsubscribe(name)


def refusal(name: str) -> SubscriptionRefused:
    """Return the error for a name that `can_subscribe` does not allow."""
    return SubscriptionRefused(f"this connection may not listen for {name!r}")


def encode_reply(encoding: Encoding, id: int, value: Any) -> bytes:
    """Return a reply; an internal error when the value cannot be written."""
    try:
        return encoding.encode(Reply(id, value).to_wire())
    except BaseException as error:  # of the author's own types: they may raise anything
        raise_interrupt(error)
        _log.exception("the result of a request cannot be written as %s", encoding.name)
        return encoding.encode(Error(id, InternalError(MASKED).to_wire()).to_wire())


def encode_error(encoding: Encoding, id: int | None, error: RingcastError) -> bytes:
    """Return an error message; never raises."""
    return encoding.encode(Error(id, writable(encoding, error)).to_wire())


def _fitting(reason: str) -> str:
    return reason.encode("utf-8", "replace")[:_MAX_REASON_BYTES].decode("utf-8", "ignore")
