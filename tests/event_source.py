"""A browser's `EventSource` in a few lines, as WHATWG HTML (section 9.2) has it, for tests of any subject.

Written from the specification and not from the package: what is tested is that such a client is served.
"""

from __future__ import annotations

import asyncio
import codecs
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

__all__ = ["EventSource", "Message", "Parser", "Response", "request"]

TIMEOUT_S = 20.0


class Message(NamedTuple):
    """What is dispatched: `type`, `data` and `lastEventId` of a `MessageEvent`."""

    type: str
    data: str
    last_event_id: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.data)


class Parser:
    """Section 9.2.6, a character at a time."""

    def __init__(self, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry_ms: int | None = None
        self.comments: list[str] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = False
        self._line = ""
        self._after_cr = False
        self._id = last_event_id
        self._type = ""
        self._data = ""

    def feed(self, data: bytes) -> Iterator[Message]:
        for character in self._decoder.decode(data):
            if not self._begun:
                self._begun = True
                if character == "\ufeff":
                    continue
            after_cr, self._after_cr = self._after_cr, character == "\r"
            if character == "\n" and after_cr:
                continue
            if character in "\r\n":
                line, self._line = self._line, ""
                yield from self._take(line)
            else:
                self._line += character

    def _take(self, line: str) -> Iterator[Message]:
        if not line:
            self.last_event_id = self._id
            data, self._data = self._data, ""
            kind, self._type = self._type, ""
            if data:
                yield Message(kind or "message", data.removesuffix("\n"), self.last_event_id)
            return
        name, colon, value = line.partition(":")
        if colon and not name:
            self.comments.append(value)
            return
        value = value.removeprefix(" ")
        if name == "event":
            self._type = value
        elif name == "data":
            self._data += value + "\n"
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)


@dataclass
class Response:
    """The head of a response, and the socket that its body comes from; closed if that has an end."""

    status: int
    headers: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    body: bytes = b""
    """That of a response which says how long it is."""

    async def part(self) -> bytes:
        """Return what comes next of the body of any other; nothing at its end.

        Raises `OSError` where that is not the end which the server meant.
        """
        if self.headers.get("transfer-encoding") != "chunked":
            return await self.reader.read(65_536)
        try:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            return (await self.reader.readexactly(size + 2))[:-2]
        except asyncio.IncompleteReadError:
            raise ConnectionResetError("the body was broken off") from None

    async def rest(self) -> bytes:
        """Return the body of any other, once it has ended."""
        body = b""
        async with asyncio.timeout(TIMEOUT_S):
            while part := await self.part():
                body += part
        self.writer.close()
        return body

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


async def request(
    url: str,
    target: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: Any = None,
    tls: ssl.SSLContext | None = None,
) -> Response:
    """Send a request of these headers and no others but `Host`; with a `body`, which is sent as JSON."""
    address = urlsplit(url)
    content = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
    given = {"Host": address.netloc, **(headers or {})}
    if body is not None:
        given = {"Content-Type": "application/json", "Content-Length": str(len(content)), **given}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(address.hostname, address.port, ssl=tls)
        writer.write("\r\n".join(lines).encode() + content)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
    split = (line.partition(": ") for line in fields)
    found = {name.lower(): value for name, _, value in split}
    response = Response(int(status.split(" ")[1]), found, reader, writer)
    if response.status == 204 or method == "HEAD":
        writer.close()
    elif "content-length" in found:
        async with asyncio.timeout(TIMEOUT_S):
            response.body = await reader.readexactly(int(found["content-length"]))
        writer.close()
    return response


@dataclass
class EventSource:
    """Connects, reads, and comes back by itself, until it is refused or closed.

    `hurry` comes back at once instead of after the time that the server asks for, which is in `retry_ms`.
    """

    url: str
    target: str
    cookies: dict[str, str] = field(default_factory=dict)
    """Shared by all of one browser."""
    hurry: bool = True
    tls: ssl.SSLContext | None = None
    last_event_id: str = ""
    retry_ms: int = 3000
    comments: list[str] = field(default_factory=list)
    ready_state: str = "connecting"
    opened: int = 0
    response: Response | None = None

    async def messages(self) -> AsyncIterator[Message]:
        """Give what is dispatched. Ends when the connection has failed for good."""
        while self.ready_state != "closed":
            try:
                await self._connect()
            except OSError:
                await asyncio.sleep(0.01 if self.hurry else self.retry_ms / 1000)
                continue
            async for message in self._read():
                yield message
            if self.ready_state != "closed":
                self.ready_state = "connecting"
                await asyncio.sleep(0.01 if self.hurry else self.retry_ms / 1000)

    async def next(self, kind: str | None = None) -> Message:
        """Return the next message; with `kind`, the next protocol message of that kind, dropping others."""
        if not hasattr(self, "_iterator"):
            self._iterator = self.messages()
        async with asyncio.timeout(TIMEOUT_S):
            async for message in self._iterator:
                if kind is None or kind == message.type or message.json[0] == kind:
                    return message
        raise AssertionError(f"failed with status {self.response and self.response.status}")

    async def failed(self) -> Response:
        """Wait until it has been refused; return the response that did so."""
        if not hasattr(self, "_iterator"):
            self._iterator = self.messages()
        async with asyncio.timeout(TIMEOUT_S):
            async for _ in self._iterator:
                pass
        assert self.response is not None
        return self.response

    def lose(self) -> None:
        """Lose the network: reset the socket."""
        assert self.response is not None
        self.response.writer.transport.abort()

    async def close(self) -> None:
        """Close it, as a page does."""
        self.ready_state = "closed"
        if self.response is not None:
            self.response.writer.close()
        if hasattr(self, "_iterator"):
            await self._iterator.aclose()

    async def _connect(self) -> None:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self.last_event_id:
            headers["Last-Event-ID"] = self.last_event_id
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self.response = await request(self.url, self.target, headers=headers, tls=self.tls)
        cookie = self.response.headers.get("set-cookie")
        if cookie is not None:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        media_type = self.response.headers.get("content-type", "").partition(";")[0]
        if self.response.status != 200 or media_type != "text/event-stream":
            self.ready_state = "closed"
        else:
            self.ready_state = "open"
            self.opened += 1

    async def _read(self) -> AsyncIterator[Message]:
        if self.ready_state != "open":
            return
        assert self.response is not None
        parser = Parser(self.last_event_id)
        parser.comments = self.comments
        try:
            while data := await self.response.part():
                for message in parser.feed(data):
                    self.last_event_id = parser.last_event_id
                    yield message
                self.last_event_id = parser.last_event_id
                self.retry_ms = self.retry_ms if parser.retry_ms is None else parser.retry_ms
        except OSError:
            pass  # the network was lost
        finally:
            self.response.writer.close()
