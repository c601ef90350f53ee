"""A WebSocket whose frames the server of somebody else makes: messages from and to ASGI.

What `websocket.py` is for frames. Whole messages go to the router's `Link`. What is answered, and every
event, comes from the core by way of the relay: all that waits for a client is one `send`, and while the
server takes that, nothing more is handed over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

from starlette.types import Receive, Scope, Send

from ..errors import CloseCode, is_valid_close_code
from ..request import Request
from ..wire.encoding import Encoding
from .asgi_outgoing import Outgoing
from .client_socket import CLOSING, CONNECTING, ClientSocket
from .endpoint import has_caught_up, is_ahead, looks
from .guard import Guard, came_of, refuse_websocket, take_place
from .handshake import Refusal, first_known

if TYPE_CHECKING:
    from .asgi_events import AsgiEndpoint

__all__ = ["AsgiWebSocket"]

_LOG: Final = logging.getLogger("ringcast.server")

_Message = MutableMapping[str, Any]


class AsgiWebSocket(ClientSocket):
    """One client's WebSocket, from its request on."""

    __slots__ = (
        "_encoding",
        "_endpoint",
        "_guard",
        "_link",
        "_outgoing",
        "_over",
        "_peer_code",
        "_phase",
        "_place",
        "_receive",
        "_scope",
        "_send",
        "_signals",
        "_since",
        "_sink",
    )

    def __init__(
        self, endpoint: AsgiEndpoint, guard: Guard, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._guard = guard
        self._endpoint = endpoint
        self._signals = endpoint.signals
        self._scope = scope
        self._receive = receive
        self._send = send
        self._encoding = Encoding.JSON
        loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = loop.create_future()
        """Done when this side has no more to do with the socket."""
        self._place = None
        self._sink = None
        self._link = None
        # Whether the client is still there is the server's to ask, which sends the pings and gets the pongs.
        self._phase, self._since = CONNECTING, loop.time()
        self._outgoing = Outgoing(send, self._on_sent, self._on_failed)
        self._peer_code: int | None = None

    async def serve(self) -> None:
        """Serve the client until its socket is closed, or was let go of."""
        await self._receive()  # websocket.connect
        try:
            self._encoding = first_known(self._scope["subprotocols"])
            came = came_of(self._scope, self._guard, "websocket")
            self._place = take_place(self._guard, came.address)
        except Refusal as refusal:
            await refuse_websocket(refusal, self._scope, self._send)
            return
        try:
            await self._serve(came)
        finally:
            self._leave(self._guard, self._peer_code)  # also one that could not be accepted

    async def _serve(self, came: Request) -> None:
        batched = self._encoding.batched_subprotocol in self._scope["subprotocols"]
        subprotocol = self._encoding.batched_subprotocol if batched else self._encoding.subprotocol
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol})
        if not await self._open(batched, came):
            return
        self._endpoint.deadlines.add(self)
        reader = asyncio.get_running_loop().create_task(self._read(), name="websocket")
        try:
            await self._over
        finally:
            self._leave(self._guard, self._peer_code)
            reader.cancel()
            await asyncio.gather(reader, self._outgoing.stop(), return_exceptions=True)

    # What the relay calls.

    def send(self, messages: list[str] | list[bytes]) -> None:
        """Send all of them; the relay hands over no more before that is done."""
        kind = "text" if self._encoding.is_text else "bytes"
        self._outgoing.put(*({"type": "websocket.send", kind: message} for message in messages))

    def close(self, code: int | None, reason: str) -> None:
        """Close behind that."""
        self._note_closing()
        code = CloseCode.NORMAL if code is None else code
        self._outgoing.put({"type": "websocket.close", "code": int(code), "reason": reason})

    def abort(self) -> None:
        """Let go of the socket at once, as far as the server does."""
        if not self._over.done():
            self._over.set_result(None)

    def check(self, now: float) -> None:
        if self._signals.came and not self._outgoing.is_idle:
            # Granian's worker aborts with a message that its client has not taken; the others close the
            # socket in a moment. The client comes back and gets it.
            self._outgoing.give_up()
            self.abort()
        else:
            super().check(now)

    # Inside.

    async def _open(self, batched: bool, came: Request) -> bool:
        router = self._endpoint.router
        try:
            self._sink = router.open_message_sink(self, self._encoding, batched)
            self._link = router.accept(self._sink, self._encoding, came)
        except Exception as error:
            code, _ = self._endpoint.turned_away_for(error)
            await self._send({"type": "websocket.close", "code": int(code)})
            return False
        return True

    async def _read(self) -> None:
        try:
            while (message := await self._receive())["type"] != "websocket.disconnect":
                if self._phase is not CLOSING:
                    self._on_message(message)
                    await self._wait_if_behind()
            code = message.get("code")
            ours = self._sink is None or self._sink.end_reason is not None
            if not ours and code is not None and is_valid_close_code(code):
                # Otherwise it answers a close of ours, and says nothing about what the client wants.
                self._peer_code = code
        except Exception:
            _LOG.exception("a WebSocket could not be read from")
        finally:
            self.abort()

    def _on_message(self, message: _Message) -> None:
        is_text = self._encoding.is_text
        content = message.get("text" if is_text else "bytes")
        if content is None:
            wanted = "text" if is_text else "binary"
            self._close(
                CloseCode.UNSUPPORTED_DATA,
                f"messages of {self._encoding.subprotocol} travel in {wanted} frames",
            )
            return
        try:
            payload = content.encode() if is_text else content
        except UnicodeEncodeError:
            self._close(CloseCode.INVALID_TEXT, "a text message is not UTF-8")
            return
        if len(payload) > self._endpoint.max_message_bytes:
            self._endpoint.limits_hit["max_message_bytes"] += 1
            limit = self._endpoint.max_message_bytes
            self._close(CloseCode.MESSAGE_TOO_BIG, f"the message is longer than {limit} bytes")
            return
        assert self._link is not None  # messages are read after it was made
        self._link.on_message(payload)

    async def _wait_if_behind(self) -> None:
        """Read no more while the client is ahead of us."""
        sink, link = self._sink, self._link
        assert sink is not None and link is not None
        if is_ahead(sink, link):
            for delay_s in looks():
                await asyncio.sleep(delay_s)
                if self._phase is CLOSING or has_caught_up(sink, link):
                    return
                if self._outgoing.stands_still_s > self._endpoint.router.config.dead_peer_timeout_s:
                    # Nobody tells that a client has gone while nothing is read; hypercorn even waits for that
                    # before it gives up what it sends.
                    self._endpoint.limits_hit["dead_peer_timeout_s"] += 1
                    self.abort()
                    return

    def _on_sent(self) -> None:
        if self._sink is not None:
            self._sink.resume_writing()

    def _on_failed(self) -> None:
        """The client is gone. What the server has to say of that is read on to, for as long as a close may
        take: the client may have gone for good."""
        self._note_closing()
