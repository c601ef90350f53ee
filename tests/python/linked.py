"""A client on the level of messages: the router's link and the core's sink on one end of a real socket pair.

It reads what the core writes (unmasked WebSocket frames), and hands messages to the link as the server does.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from ringcast import Actor, MemoryStore, Registry, ServerConfig
from ringcast.clock import Clock
from ringcast.errors import CloseCode
from ringcast.router import Router
from ringcast.store import Store
from ringcast.wire.encoding import Encoding
from ringcast.wire.parsing import parse_server_message
from ringcast.wire.protocol import (
    Call,
    Connect,
    Connected,
    Error,
    Event,
    Gap,
    Heartbeat,
    Reply,
    Resume,
    ServerMessage,
    Subscribe,
    Unsubscribe,
)

TIMEOUT_S = 10
"""For anything that is waited for: reached only by a failing test."""

_CLOSE = 8

MessageT = TypeVar("MessageT", Connected, Event, Reply, Error, Gap, Heartbeat)


class Closed(NamedTuple):
    """The close frame that the server sent; None and "" when the socket ended without one."""

    code: int | None
    reason: str


class LinkedSocket:
    """One client's socket."""

    def __init__(self, router: Router, encoding: Encoding = Encoding.JSON) -> None:
        self.encoding = encoding
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)
        self._buffer = b""
        self.link = router.accept(router.open_sink(self._near.fileno(), encoding), encoding)

    async def __aenter__(self) -> LinkedSocket:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lose()

    def send(self, *messages: Connect | Call | Subscribe | Unsubscribe) -> None:
        """Hand messages over as if they had arrived in one read."""
        for position, message in enumerate(messages, start=1):
            payload = self.encoding.encode(message.to_wire())
            self.link.on_message(payload, last=position == len(messages))

    def send_raw(self, payload: bytes) -> None:
        self.link.on_message(payload)

    async def connect(
        self,
        actor: str,
        *key: str,
        resume: Resume | None = None,
        params: Any = None,
        events: tuple[str, ...] = (),
    ) -> Connected:
        """Send a connect message and return its answer."""
        self.send(Connect(actor, key, params=params, subscriptions=events, resume=resume))
        return await self.receive(Connected)

    async def receive(self, kind: type[MessageT]) -> MessageT:
        """Return the next message, which has to be of this kind."""
        message = await self.next()
        assert isinstance(message, kind), message
        return message

    async def next(self) -> ServerMessage | Closed:
        """Return the next message, or the end."""
        async with asyncio.timeout(TIMEOUT_S):
            opcode, payload = await self._frame()
        if opcode != _CLOSE:
            message = parse_server_message(self.encoding, payload)
            assert message is not None
            return message
        if len(payload) < 2:
            return Closed(None, "")
        return Closed(int.from_bytes(payload[:2], "big"), payload[2:].decode())

    async def closed(self) -> Closed:
        """Return the end, which has to come next."""
        message = await self.next()
        assert isinstance(message, Closed), message
        return message

    async def closed_with(self, code: CloseCode) -> None:
        assert (await self.closed()).code == code

    def lose(self, code: int | None = None) -> None:
        """Lose the network, or (with a code) close as a client does. Idempotent."""
        if self._near.fileno() != -1:
            self.link.on_lost(code)
            self._near.close()
            self._far.close()

    async def _frame(self) -> tuple[int, bytes]:
        first, second = await self._take(2)
        length = second
        if second == 126:
            length = int.from_bytes(await self._take(2), "big")
        elif second == 127:
            length = int.from_bytes(await self._take(8), "big")
        return first & 0x0F, await self._take(length)

    async def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            read = await asyncio.get_running_loop().sock_recv(self._far, 65536)
            if not read:
                # No close frame: read on as an empty one.
                return bytes([_CLOSE, 0])[:count]
            self._buffer += read
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken


@asynccontextmanager
async def running(
    *actors: type[Actor[Any, Any]], store: Store | None = None, clock: Clock | None = None, **limits: Any
) -> AsyncIterator[Router]:
    """Run actors in this process; `limits` are fields of `ServerConfig`."""
    registry = Registry(*actors, store=store or MemoryStore(), clock=clock, config=ServerConfig(**limits))
    async with registry:
        yield registry.router


async def call(router: Router, actor: str, key: str, action: str, *args: Any) -> Any:
    """Call an action without a connection."""
    return await router.call(Connect(actor, (key,)), action, list(args))


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until `condition` is true, looking each turn of the loop."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110  # inner state, which nothing announces
            await asyncio.sleep(0)


def resume_from(connected: Connected, offset: int | None = None) -> Resume:
    """Return where the client of `connected` is, having seen everything up to `offset`."""
    return Resume(connected.session, connected.epoch, connected.offset if offset is None else offset)
