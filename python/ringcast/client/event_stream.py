"""One stream of server-sent events with the messages that are posted beside it: a socket without a WebSocket.

To its owner it is what `socket.py`'s is: whole messages in and out, and one report when it is gone. Which of
the two a connection uses is said in `fallback.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import quote

import httpx
import orjson

from ..errors import CloseCode, ProtocolError
from ..wire.encoding import Encoding
from ..wire.parsing import parse_server_message
from ..wire.protocol import Connected, Received
from .config import ClientConfig
from .event_lines import EventLines
from .liveness import Liveness, Step
from .refusals import DENIED, foreign_error, read_error, would_be_refused_again
from .socket import Receiver
from .ticks import Ticks

__all__ = ["EventStreamSocket", "PostReceiver"]

_log: Final = logging.getLogger("ringcast.client")

_MAX_BATCH_BYTES: Final = 32_768
"""Of messages that are posted together, where the server does not say that it takes less; a longer one goes
alone."""
_FINAL: Final = {
    "invalid_message": CloseCode.INVALID_MESSAGE,
    "unknown_message": CloseCode.INVALID_MESSAGE,
    "message_too_big": CloseCode.MESSAGE_TOO_BIG,
}
"""What a request is refused with that would be refused again, and the close code of a WebSocket for it."""

_CLOSE_CODES: Final[dict[int, CloseCode]] = {
    **dict.fromkeys(DENIED, CloseCode.CONNECT_REFUSED),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: CloseCode.MESSAGE_TOO_BIG,
}
"""What statuses mean to a stream by themselves: it would be refused again."""

_REQUESTS: Final = ("call", "subscribe", "unsubscribe")

_SIGN_OF_LIFE: Final = Encoding.JSON.encode(Received([]).to_wire())

_End = tuple[int | None, str]
"""Close code and reason."""


class _NotPosted(Exception):  # noqa: N818 - it ends the stream, and goes no further
    """What was posted was not taken, for a reason that has nothing to do with it."""

    def __init__(self, end: _End) -> None:
        super().__init__(end)
        self.end = end


class PostReceiver(Receiver, Protocol):
    """What a stream reports to. No method may raise."""

    def on_refused(self, id: int, error: dict[str, Any]) -> None:
        """Learn that something on the way to the server does not take the request `id`.

        It has not arrived over this stream, and would not if it were sent again.
        """


class EventStreamSocket:
    """A stream from its request to its end. The first message that is sent is the connect message."""

    def __init__(
        self,
        base_url: str,
        receiver: PostReceiver,
        config: ClientConfig,
        http: httpx.AsyncClient,
        connect_until_s: float,
    ) -> None:
        self._base_url = base_url
        self._receiver = receiver
        self._config = config
        self._http = http
        """For this stream alone, and closed with it."""
        self._connect_until_s = connect_until_s
        """How long its owner waits for the answer to the connect message, in the loop's time."""
        self._reader: asyncio.Task[_End] | None = None
        self._poster: asyncio.Task[None] | None = None
        self._headers: dict[str, str] = {}
        """Name the session and the stream in what is posted."""
        self._unposted: deque[bytes] = deque()
        self._max_batch_bytes = _MAX_BATCH_BYTES
        self._closing = False
        """Nothing more is sent."""
        self._end: _End | None = None
        """Why this side gave up."""
        self._gone = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()
        # What has happened since the last tick.
        self._heard = False
        self._sent = False
        self._ender: asyncio.Task[None] | None = None
        """Ends the session."""
        self._closer: asyncio.Task[None] | None = None
        self._liveness: Liveness | None = None
        self._ticks: Ticks | None = None

    # As `socket.Socket`.

    def send(self, payload: bytes) -> None:
        """Send one message. Does nothing once the stream is closing: `on_lost` follows or has come."""
        if self._closing:
            return
        self._sent = True
        loop = asyncio.get_running_loop()
        if self._reader is None:
            self._reader = loop.create_task(self._read(payload))
            self._reader.add_done_callback(self._on_end)
            return
        self._unposted.append(payload)
        if self._poster is None:
            # One request at a time: two could overtake each other.
            self._poster = loop.create_task(self._post_all())

    def watch(self, heartbeat_s: float | None) -> None:
        """Give the stream up once heartbeats that come so often stay out; None: there are none to miss."""
        if self._liveness is None and heartbeat_s is not None:
            self._liveness = Liveness(self._config, heartbeat_s)
            self._ticks = Ticks(self._liveness.tick_s, partial(self._tick, self._liveness))

    def set_reading(self, reading: bool) -> None:
        """Stop or go on reading; while not reading, a silent server is not taken for dead."""
        if reading:
            self._may_read.set()
        else:
            self._may_read.clear()

    @property
    def stalled(self) -> bool:
        """Whether so long nothing has been read that nobody can tell if the server is there."""
        return self._liveness is not None and self._liveness.stalled and not self._heard

    def fail(self, code: int, reason: str) -> None:
        """Give up on a peer that broke the protocol; `on_lost` only has the reason."""
        self._give_up(None, reason)

    def abort(self) -> None:
        """Drop the stream at once."""
        self._give_up(None, "")

    async def close(self) -> None:
        """End the session and wait for the server, but not longer than the close timeout."""
        self._closing = True
        self.set_reading(True)
        if self._reader is None:
            return
        try:
            async with asyncio.timeout(self._config.close_timeout_s):
                if self._headers and self._end is None:
                    self._ender = asyncio.create_task(self._end_session())
                    await asyncio.wait([self._ender])  # which the end of the stream may cancel
                    await self._gone.wait()
        except TimeoutError:
            pass  # the session ends when its window has passed
        self.abort()
        await self._gone.wait()

    # The stream.

    async def _end_session(self) -> None:
        try:
            if self._poster is not None:
                await asyncio.wait([self._poster])
            url = f"{self._base_url}/session"
            async with self._http.stream("DELETE", url, headers=self._headers) as response:
                ended = response.is_success
        except (httpx.HTTPError, OSError):
            ended = False
        if not ended:
            self.abort()  # the session ends when its window has passed

    async def _read(self, connect: bytes) -> _End:
        """Read until the end, and return what the server said it is."""
        body = orjson.loads(connect)[1]
        actor = quote(body.pop("actor"), safe="")
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        try:
            async with self._http.stream(
                "POST",
                f"{self._base_url}/actors/{actor}/events",
                content=Encoding.JSON.encode(body),
                headers=headers,
                timeout=httpx.Timeout(None, connect=self._config.connect_timeout_s),
            ) as response:
                media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                if response.status_code != httpx.codes.OK or media_type != "text/event-stream":
                    return await self._on_refused(response)
                return await self._read_events(response)
        except (httpx.HTTPError, OSError) as error:
            return None, f"{type(error).__name__}: {error}"
        except ProtocolError as error:
            return None, error.message

    async def _read_events(self, response: httpx.Response) -> _End:
        lines = EventLines(self._config.max_message_bytes)
        async for chunk in response.aiter_bytes():
            self._heard = True
            for event in lines.feed(chunk):
                if event.kind == "close":
                    return _close_from(event.data)
                if event.kind == "message":
                    if not self._headers:
                        self._begin(event.data, response.headers.get("Ringcast-Stream"))
                    self._receiver.on_message(event.data)
            await self._may_read.wait()
        return None, "the stream has ended"

    def _begin(self, message: bytes, stream: str | None) -> None:
        """Take from a `connected` message what is posted by; another one says nothing of it."""
        try:
            answer = parse_server_message(Encoding.JSON, message)
        except ProtocolError:
            return  # as the receiver will find, too
        if isinstance(answer, Connected):
            self._headers = {"Ringcast-Session": answer.session}
            if stream is not None:
                self._headers["Ringcast-Stream"] = stream
            if answer.max_message_bytes is not None:
                self._max_batch_bytes = min(_MAX_BATCH_BYTES, answer.max_message_bytes)

    async def _on_refused(self, response: httpx.Response) -> _End:
        # Later than its owner waits it would tell nobody anything, not even its status. Half of what is left,
        # so that there is time to tell.
        half_s = (asyncio.get_running_loop().time() + self._connect_until_s) / 2
        error, code = await self._refusal(response, min(half_s, self._latest_s()))
        if code is None:
            # Also a proxy may say that it does not want this client, as for an upgrade.
            code = _CLOSE_CODES.get(response.status_code)
        if error is None:
            foreign = foreign_error(response)
            if code is None:
                return None, foreign.message
            error = foreign.to_wire()
        self._receiver.on_message(Encoding.JSON.encode(["error", None, error]))
        return code, str(error.get("message", ""))

    def _on_end(self, reader: asyncio.Task[_End]) -> None:
        """The stream has ended, or was given up."""
        self._closing = True
        if self._ticks is not None:
            self._ticks.stop()
        end: _End = (None, "")
        if not reader.cancelled():
            fault = reader.exception()
            if fault is not None:
                _log.error("reading a stream of events failed", exc_info=fault)
            else:
                end = reader.result()
        self._end = self._end or end
        self._closer = asyncio.create_task(self._close_http(self._end))

    async def _close_http(self, end: _End) -> None:
        """Let go of the sockets, and report the end."""
        others = [task for task in (self._poster, self._ender) if task is not None]
        for task in others:
            task.cancel()
        try:
            # A request that is still under way would open a socket that nobody closes.
            if others:
                await asyncio.wait(others)
            await self._http.aclose()
        except Exception:
            _log.debug("a client did not close cleanly", exc_info=True)
        finally:
            self._receiver.on_lost(*end)
            self._gone.set()

    def _give_up(self, code: int | None, reason: str) -> None:
        self._closing = True
        if self._reader is None:
            return
        self._end = self._end or (code, reason)
        self._reader.cancel()

    # What is posted.

    async def _post_all(self) -> None:
        try:
            while self._unposted:
                await self._post(self._next_batch())
        except (httpx.HTTPError, OSError) as error:
            # Nobody knows whether it has arrived. The session is taken up again, and what has no answer sent
            # again: it runs once.
            self._give_up(None, f"{type(error).__name__}: {error}")
        except _NotPosted as refused:
            self._give_up(*refused.end)
        except Exception as error:
            # Or what waits for an answer would wait for ever.
            _log.error("posting beside a stream of events failed", exc_info=error)
            self._give_up(None, f"{type(error).__name__}: {error}")
        finally:
            self._poster = None

    def _next_batch(self) -> list[bytes]:
        batch = [self._unposted.popleft()]
        # As an array, with what stands around and between them.
        size = len(batch[0]) + len(b"[]")
        while self._unposted and size + len(b",") + len(self._unposted[0]) <= self._max_batch_bytes:
            size += len(b",") + len(self._unposted[0])
            batch.append(self._unposted.popleft())
        return batch

    async def _post(self, batch: list[bytes]) -> None:
        request = self._http.build_request(
            "POST",
            f"{self._base_url}/session/messages",
            content=batch[0] if len(batch) == 1 else b"[" + b",".join(batch) + b"]",
            headers={"Content-Type": "application/json", **self._headers},
            timeout=httpx.Timeout(self._config.http_timeout_s, connect=self._config.connect_timeout_s),
        )
        until_s = self._latest_s()
        async with asyncio.timeout_at(until_s):
            response = await self._http.send(request, stream=True)
        status = response.status_code
        try:
            if status == httpx.codes.NO_CONTENT:
                await response.aread()  # nothing; but without it the socket is not used again
                return
            error, code = await self._refusal(response, until_s)
        finally:
            await response.aclose()
        too_big = status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        # What the server itself has against more than their length, it says of the session or of this client.
        if not (too_big or (error is None and would_be_refused_again(status))):
            said = "" if error is None else str(error.get("message", ""))
            raise _NotPosted((code, said or f"a message was answered with status {status}"))
        if len(batch) == 1:
            self._refuse(batch[0], error or foreign_error(response).to_wire())
            return
        # Perhaps it is one of them, or that they are so many. None has arrived.
        for message in batch:
            await self._post([message])

    async def _refusal(
        self, response: httpx.Response, until_s: float
    ) -> tuple[dict[str, Any] | None, int | None]:
        """Return the server's error in a response, and the close code that goes with it, where there are any.

        One that cannot be read is none, or what it is said of would be sent again and again.
        """
        try:
            error = await read_error(response, self._config.max_message_bytes, until_s)
        except (httpx.TransportError, OSError):
            error = None
        if error is None:
            return None, None
        said = response.headers.get("Ringcast-Close", "")
        return error, int(said) if said.isascii() and said.isdigit() else _FINAL.get(error["code"])

    def _latest_s(self) -> float:
        """Return until when an answer may come that is asked for now."""
        return asyncio.get_running_loop().time() + self._config.http_timeout_s

    def _refuse(self, message: bytes, error: dict[str, Any]) -> None:
        """Tell that a message would be refused again; nobody waits for those that are no requests."""
        kind, id, *_ = orjson.loads(message)
        if kind in _REQUESTS:
            self._receiver.on_refused(id, error)

    # Silence.

    def _tick(self, liveness: Liveness, missed: int) -> None:
        if self._closing:
            return
        heard, self._heard = self._heard, False
        sent, self._sent = self._sent, False
        step = liveness.tick(heard=heard, reading=self._may_read.is_set(), sent=sent, missed=missed)
        if step is Step.GIVE_UP:
            self._give_up(None, f"nothing came from the server for {liveness.lost_after_s:g} s")
        elif step is not Step.NOTHING and self._poster is None:
            # It shows the server that we are there. The server can only show that by its heartbeats.
            self.send(_SIGN_OF_LIFE)


def _close_from(data: bytes) -> _End:
    try:
        code, reason = orjson.loads(data)
    except ValueError:
        return None, "the server sent no close that can be read"
    return code if isinstance(code, int) else None, str(reason)
