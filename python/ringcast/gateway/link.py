"""One socket on the server, as far as messages go: its protocol state before and after the connect message.

What outlives it is the session (`session.py`), and how one begins is in `admission.py`; frames and sockets
are in `server/`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ..clock import Clock
from ..config import ServerConfig
from ..errors import (
    MASKED,
    CloseCode,
    InternalError,
    ParamsTooLarge,
    ProtocolError,
    RingcastError,
    TryAgainLater,
)
from ..fault_log import log_fault
from ..faults import ActorLog, contained, raise_interrupt
from ..operations.access import log_ended
from ..request import EMPTY, Caller, Transport
from ..request import Request as HttpRequest
from ..seam import ActorPort
from ..wire.encoding import Encoding, writable
from ..wire.parsing import parse_client_message
from ..wire.protocol import Call, Connect, Connected, Error, LaterMessage
from .heartbeat import Beat
from .intake import Intake
from .limits import new_counters

if TYPE_CHECKING:
    from .._core import Sink
    from .session import Session

__all__ = ["Gateway", "Link", "encode_error", "encode_reply"]

_log: Final = logging.getLogger("ringcast.session")

_MAX_REASON_BYTES: Final = 123
"""What a close frame has room for (RFC 6455, section 5.5)."""


@dataclass(slots=True)
class Gateway:
    """What the links and sessions of one process share."""

    config: ServerConfig
    loop: asyncio.AbstractEventLoop
    clock: Clock
    find_actor: Callable[[Connect, Caller | None], Awaitable[ActorPort]]
    """None for a caller: nothing is to be created."""
    admit: Callable[[Gateway, Link, Connect], Coroutine[Any, Any, None]]
    """Answers a connect message: `admission.connect`."""
    links: set[Link] = field(default_factory=set)
    sessions: dict[str, Session] = field(default_factory=dict)
    """By token."""
    farewells: dict[str, tuple[CloseCode, str]] = field(default_factory=dict)
    """By token: the close codes and reasons of sessions that the actor has ended, for one window."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    stopping: bool = False
    refusals: Counter[str] = field(default_factory=Counter)
    """How many connects were refused, by close code."""
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    """For links, in the order in which their sockets were opened."""
    limits_hit: Counter[str] = field(default_factory=new_counters)
    """How often each limit was run into, by its name (`limits.py`)."""
    intake: Intake = field(init=False)

    def __post_init__(self) -> None:
        self.intake = Intake(self.config.max_connects_per_s, self.config.session_window_s)

    @property
    def reconnect_within_s(self) -> float:
        """Over how many seconds clients are to spread their first tries, if all of them are lost now."""
        return self.intake.spread_s(len(self.sessions))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task, kept until it is done."""
        self.tasks.add(self.loop.create_task(self._kept(work)))

    async def _kept(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            # Not by a callback of the task, which would be one more turn of the loop for each client.
            self.tasks.discard(asyncio.current_task())


class Link:
    """One socket's protocol state, before and after its connect message.

    Messages are handled in order: what arrives while a connect, an async `can_subscribe` or `can_call` runs
    waits for it, and so does what arrives while the store of a durable actor takes nothing and too much waits
    there.
    """

    __slots__ = (
        "_gateway", "_inline", "_pending", "_pending_bytes", "_unflushed",
        "attempt", "encoding", "lost", "number", "request", "session", "sink",
    )  # fmt: skip

    transport: ClassVar[Transport] = "websocket"
    """What carries its messages."""

    def __init__(
        self, gateway: Gateway, sink: Sink, encoding: Encoding, request: HttpRequest = EMPTY
    ) -> None:
        self._gateway = gateway
        self.number = next(gateway.numbers)
        """A client gives up on one socket before it opens the next: of its own, the highest is the latest."""
        self.attempt = 0
        """What its client has counted this connect message as, if it does; goes before `number`, as a connect
        message that is a request of its own may be overtaken by the next on its way here."""
        self.sink = sink
        self.encoding = encoding
        self.request: HttpRequest | None = request
        """What the client came with; None once its connect message has been taken, for whose hooks it is."""
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
            session = self.session
            # `durable` first: for every message, and nearly always that is all.
            if self._pending is None and session is not None and session.durable and session.is_held_up:
                self.hold_for(session.actor.room.wait())
            if self._pending is not None:
                self._postpone(payload)
            else:
                message = parse_client_message(self.encoding, payload)
                if type(message) is Call and session is not None:
                    work = session.call(message)
                    if work is not None:
                        self.hold_for(work)
                else:
                    self._handle(message, len(payload))
        except ProtocolError as error:
            self.fail(error)
        except Exception as error:
            log_fault(_log, error, "handling a message failed")
            self.close(CloseCode.INTERNAL_ERROR)
        finally:
            self._inline = False
            if last and self._unflushed:
                self._flush()

    def on_lost(self, code: int | None) -> None:
        """The socket is gone. `code` is what the client's close frame said, None when there was none."""
        was_lost, self.lost = self.lost, True
        self._gateway.links.discard(self)
        session, self.session = self.session, None
        try:
            if session is not None:
                session.link_lost(self, for_good=not was_lost and code == CloseCode.NORMAL)
        finally:
            self.sink.drop()
        # Last: a log has filters and handlers of the user's, which may raise.
        if not was_lost:
            self._log_ended(session, code, by_server=False)

    def send(self, message: bytes) -> None:
        """Send a message behind every event that was published for this link's connection so far."""
        if self._inline:
            self._unflushed = False  # it takes the others with it
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

    def close(self, code: int, reason: str = "", *, by_server: bool = True) -> None:
        """Send a close frame behind everything else; nothing is handled after it. Idempotent.

        `by_server` is for the log: False where the client has asked for it.
        """
        if not self.lost:
            self.lost = True
            self.sink.close(code, _fitting(reason))
            # Last, as in `on_lost`.
            self._log_ended(self.session, code, by_server=by_server)

    def _log_ended(self, session: Session | None, code: int | None, *, by_server: bool) -> None:
        client = None if self.request is None else self.request.address
        log_ended(session, code, by_server=by_server, client=client)

    def part(self, code: int) -> None:
        """Close the socket of a session that goes on without it."""
        try:
            self.close(code)  # whose log names the session
        finally:
            self.session = None

    def fail(self, error: ProtocolError) -> None:
        """The client broke the protocol."""
        # Not its text, which is for the client, and may repeat what that has sent: perhaps a secret.
        _log.info("closing with %d: %s", error.close_code, error.code)
        self.send(encode_error(self.encoding, None, error))
        self.close(error.close_code, error.message)

    def refuse(self, error: RingcastError, code: CloseCode = CloseCode.CONNECT_REFUSED) -> None:
        """The connection is refused, for good unless `code` says otherwise: the client is told why."""
        self.count_refusal(code)
        self.send(encode_error(self.encoding, None, error))
        self.close(code, str(error.code))

    def count_refusal(self, code: CloseCode) -> None:
        """A connect is refused: whoever watches the server sees it."""
        self._gateway.refusals[code.name.lower()] += 1

    def connect(self, request: Connect, size_bytes: int = sys.maxsize) -> None:
        """Answer the connect message, which is the first, unless it is too large or too many come at the same
        time.

        `size_bytes` is what it was read from, where that is known.
        """
        # Before anything is looked up or made for it: refusing has to be cheap.
        retry_after_ms = self._gateway.intake.admit(self._gateway.loop.time())
        if retry_after_ms is not None:
            self._gateway.limits_hit["max_connects_per_s"] += 1
            metadata = {"retry_after_ms": retry_after_ms}
            busy = TryAgainLater("too many clients connect at the same time", metadata=metadata)
            self.refuse(busy, CloseCode.TRY_AGAIN_LATER)
            return
        if self._has_large_params(request, size_bytes):
            most = self._gateway.config.max_params_bytes
            self._gateway.limits_hit["max_params_bytes"] += 1
            self.refuse(ParamsTooLarge(f"the parameters take more than {most} bytes"))
            return
        self.hold_for(self._gateway.admit(self._gateway, self, request))

    @property
    def keeps_subscriptions(self) -> bool:
        """Whether a session that goes on keeps those that it has, whatever the connect message says."""
        return False

    def begin(self, answer: Connected) -> None:
        """The connection is accepted: `answer` goes out next, and whatever has to be before it, now."""

    @property
    def connected(self) -> bool:
        """Whether a connect message has been accepted; its hooks may still be running."""
        return self.request is None

    def take_request(self) -> HttpRequest:
        """Return what the client came with, for the hooks of its connect message, and let go of it."""
        request, self.request = self.request, None
        return EMPTY if request is None else request

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
        if self._unflushed:
            self._unflushed = False
            self.sink.flush()

    def _has_large_params(self, message: Connect, size_bytes: int) -> bool:
        most = self._gateway.config.max_params_bytes
        # Nearly always the whole message is smaller, and nothing has to be written to know it.
        return size_bytes > most and len(self.encoding.encode(message.params)) > most

    def _handle(self, message: Connect | LaterMessage, size_bytes: int) -> None:
        session = self.session
        if session is not None:
            if isinstance(message, Connect):
                raise ProtocolError("connect was sent already")
            work = session.handle(message)
            if work is not None:
                self.hold_for(work)
        elif isinstance(message, Connect):
            self.connect(message, size_bytes)
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
            self._gateway.limits_hit["max_pending_messages"] += 1
            raise ProtocolError("too many messages wait for the connect message, a subscription or the store")
        self._pending.append(payload)

    async def _then_pending(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await contained(work, "what others wait for")
        except Exception as error:
            log_fault(_log, error, "admitting a client failed")
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


def encode_error(encoding: Encoding, id: int | None, error: RingcastError) -> bytes:
    """Return an error message; never raises."""
    return encoding.encode(Error(id, writable(encoding, error)).to_wire())


def encode_reply(encoding: Encoding, id: int, value: Any, log: ActorLog) -> bytes:
    """Return a reply; an internal error when the value cannot be written, which the actor's log tells."""
    try:
        return encoding.encode(("reply", id, value))  # `Reply.to_wire`, for every call
    except BaseException as error:  # of the author's own types: they may raise anything
        raise_interrupt(error)
        log_fault(log, error, "the result of a request cannot be written as %s", encoding.name)
        return encoding.encode(Error(id, InternalError(MASKED).to_wire()).to_wire())


def _fitting(reason: str) -> str:
    return reason.encode("utf-8", "replace")[:_MAX_REASON_BYTES].decode("utf-8", "ignore")
