"""The Python client over server-sent events: what it sends, and what it makes of what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.client import Client, ClientConfig
from ringcast.errors import ConnectionRefused, MessageTooBig, OutcomeUnknown
from ringcast.server.serve import serving
from ringcast.testing import eventually
from ringcast.wire.protocol import Connected

CONFIG = ClientConfig(
    reconnect_first_s=0.01, reconnect_base_s=0.01, reconnect_max_s=0.05, close_timeout_s=2.0
)
TIMEOUT_S = 20.0

CONNECTED = Connected(1, "e1", 0, "c1", "the token", "a1", 30.0).to_wire()
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


def response(status: str, body: bytes, *headers: str) -> bytes:
    head = "\r\n".join((f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""))
    return head.encode() + body


def stream(*messages: Any, closed: bytes = b"") -> bytes:
    """Return a response that goes on, with messages so far, and perhaps an event `close`."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nRingcast-Stream: 7\r\n\r\n"
    events = b"".join(b"data: " + orjson.dumps(message) + b"\n\n" for message in messages)
    return head + events + (b"event: close\ndata: " + closed + b"\n\n" if closed else b"")


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: Any


@dataclass
class ScriptedHttp:
    """An HTTP server that answers as a test says, by the request's line; streams stay open."""

    answers: dict[str, bytes]
    requests: list[Request] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    streams: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while True:
                line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                line = line.removesuffix(" HTTP/1.1")
                self.requests.append(Request(line, headers, orjson.loads(body) if body else None))
                answer = self.answers[line]
                writer.write(answer)
                if b"text/event-stream" in answer:
                    self.streams.append(writer)
                    if b"event: close" in answer:
                        break
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone
        finally:
            writer.close()

    def asked(self, line: str) -> list[Request]:
        return [request for request in self.requests if request.line == line]


OPEN, POST, END = "POST /actors/room/events", "POST /session/messages", "DELETE /session"


@pytest.fixture
async def scripted() -> AsyncIterator[tuple[ScriptedHttp, str]]:
    http = ScriptedHttp({OPEN: stream(CONNECTED), POST: NO_CONTENT, END: NO_CONTENT})
    server = await asyncio.start_server(http.serve, "127.0.0.1", 0)
    async with server, asyncio.timeout(TIMEOUT_S):
        yield http, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for writer in http.writers:
            writer.transport.abort()


async def test_nothing_that_is_secret_is_in_an_address(scripted: tuple[ScriptedHttp, str]) -> None:
    http, url = scripted
    async with Client(url, transport="sse", config=CONFIG) as client:
        connection = client.room.get_or_create("a").connect({"password": "secret"})
        connection.on("said", print)
        await connection.ready()
        http.streams[-1].transport.abort()
        await eventually(lambda: len(http.asked(OPEN)) == 2)
        await eventually(lambda: connection.status == "connected")
        calling = asyncio.create_task(connection.say("hello"))
        await eventually(lambda: http.asked(POST))
        http.streams[-1].write(b'data: ["reply",1,"done"]\n\n')
        assert await calling == "done"
        http.streams[-1].write(b'event: close\ndata: [1000,""]\n\n')
    first, second = http.asked(OPEN)
    assert first.body == {
        "lookup": "get_or_create",
        "key": ["a"],
        "params": {"password": "secret"},
        "subscriptions": ["said"],
    }
    assert second.body["resume"]["session"] == "the token"
    [call] = http.asked(POST)
    assert call.body == ["call", 1, "say", ["hello"]]
    named = (call.headers["ringcast-session"], call.headers["ringcast-stream"])
    assert named == ("the token", "7")
    assert {request.line for request in http.requests} <= {OPEN, POST, END}


@pytest.mark.parametrize(
    "answer",
    [
        response("502 Bad Gateway", b"<html>", "Content-Type: text/html"),
        response("404 Not Found", b'{"error":{"code":"not_found","message":"Not Found"}}'),
        response("200 OK", b"a portal", "Content-Type: text/html"),
        response("400 Bad Request", b'{"error":"no"}'),
        response("500 Internal Server Error", b"x" * 100_000),
        stream(closed=b"nonsense"),
        stream(closed=b'[4500,"restart"]'),
        stream(["connected", {}]),
        stream().replace(b"\r\n\r\n", b"\r\n\r\ndata\n\n"),
        stream(["error", None, {"code": "try_again_later", "message": "later"}], closed=b'[1013,"busy"]'),
    ],
    ids=[
        "proxy",
        "older",
        "portal",
        "no error",
        "endless",
        "no close",
        "restart",
        "malformed",
        "empty",
        "busy",
    ],
)
async def test_what_may_pass_is_tried_again(scripted: tuple[ScriptedHttp, str], answer: bytes) -> None:
    http, url = scripted
    http.answers[OPEN] = answer
    async with Client(url, transport="sse", config=CONFIG) as client:
        connection = client.room.get_or_create("a").connect()
        connection.on("error", lambda _error: None)
        await eventually(lambda: len(http.asked(OPEN)) > 2 and connection.last_error)
        http.answers[OPEN] = stream(CONNECTED)
        await connection.ready()
        http.answers[END] = response("500 Internal Server Error", b"")
        http.streams[-1].transport.abort()


def refused(status: str, code: str, *headers: str) -> bytes:
    error = orjson.dumps({"error": {"code": code, "message": "no"}})
    return response(status, error, "Ringcast-Error: true", *headers)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (refused("403 Forbidden", "nope", "Ringcast-Close: 4000"), "nope"),
        (refused("400 Bad Request", "invalid_message"), "invalid_message"),
        (refused("413 Too Large", "message_too_big"), "message_too_big"),
        (refused("413 Too Large", "params_too_large"), "params_too_large"),
        (stream(["error", None, {"code": "nope", "message": "no"}], closed=b'[4000,"nope"]'), "nope"),
    ],
)
async def test_what_is_refused_for_good_is_not(
    scripted: tuple[ScriptedHttp, str], answer: bytes, code: str
) -> None:
    http, url = scripted
    http.answers[OPEN] = answer
    async with Client(url, transport="sse", config=CONFIG) as client:
        connection = client.room.get_or_create("a").connect()
        with pytest.raises(ConnectionRefused, match="no") as refused:
            await connection.ready()
        assert refused.value.code == code
        assert len(http.asked(OPEN)) == 1


@pytest.mark.parametrize(
    "answer",
    [
        refused("404 Not Found", "unknown_session"),
        response("502 Bad Gateway", b"<html>"),
        refused("429 Too Many Requests", "rate_limited", "Retry-After: 1"),
        b"",
    ],
    ids=["unknown", "proxy", "too much", "cut"],
)
async def test_a_call_whose_post_fails_is_sent_again_in_its_session(
    scripted: tuple[ScriptedHttp, str], answer: bytes
) -> None:
    http, url = scripted
    async with (
        Client(url, transport="sse", config=CONFIG) as client,
        client.room.get_or_create("a").connect() as connection,
    ):
        http.answers[POST] = answer
        calling = asyncio.create_task(connection.say("hello"))
        await eventually(lambda: http.asked(POST))
        if not answer:
            http.writers[-1].transport.abort()
        await eventually(lambda: len(http.asked(OPEN)) > 1)
        http.answers[POST] = NO_CONTENT
        posted = len(http.asked(POST))
        await eventually(lambda: len(http.asked(POST)) > posted and connection.status == "connected")
        http.streams[-1].write(b'data: ["reply",1,"done"]\n\n')
        assert await calling == "done"
        assert all(request.body == ["call", 1, "say", ["hello"]] for request in http.asked(POST))
        http.answers[END] = response("500 Internal Server Error", b"")
        http.streams[-1].transport.abort()


async def test_a_call_does_not_hang_when_posting_it_fails_as_nobody_has_thought_of(
    scripted: tuple[ScriptedHttp, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Python reads no number of so many digits."""
    http, url = scripted
    async with (
        Client(url, transport="sse", config=CONFIG) as client,
        client.room.get_or_create("a").connect() as connection,
    ):
        http.answers[POST] = refused("400 Bad Request", "invalid_message", f"Ringcast-Close: {'9' * 5000}")
        calling = asyncio.create_task(connection.say("hello"))
        await eventually(lambda: len(http.asked(OPEN)) > 1)
        assert "posting beside a stream of events failed" in caplog.text
        http.answers[POST] = NO_CONTENT
        posted = len(http.asked(POST))
        await eventually(lambda: len(http.asked(POST)) > posted and connection.status == "connected")
        http.streams[-1].write(b'data: ["reply",1,"done"]\n\n')
        assert await calling == "done"
        http.answers[END] = response("500 Internal Server Error", b"")
        http.streams[-1].transport.abort()


async def test_a_message_that_is_too_long_for_a_server_that_does_not_say_so_before_fails_alone(
    scripted: tuple[ScriptedHttp, str],
) -> None:
    http, url = scripted
    http.answers[POST] = refused("413 Too Large", "message_too_big")
    async with Client(url, transport="sse", config=CONFIG) as client:
        connection = client.room.get_or_create("a").connect()
        await connection.ready()
        with pytest.raises(MessageTooBig, match="no"):
            await connection.say("x" * 70_000)
        assert (connection.status, connection.last_error) == ("connected", None)
        assert (len(http.asked(OPEN)), len(http.asked(POST))) == (1, 1)
        http.streams[-1].transport.abort()


class Room(Actor):
    """Counts, and says what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.left = 0

    def on_disconnect(self, c: Context) -> None:
        self.left += 1

    @action
    def say(self, c: Context, text: str) -> int:
        self.heard.append(text)
        c.broadcast("said", text)
        return len(self.heard)

    @action
    def flood(self, c: Context, count: int, size: int) -> None:
        for number in range(count):
            c.broadcast("flooded", number, "x" * size)


@pytest.fixture
def registry() -> Registry:
    limits = ServerConfig(
        close_timeout_s=0.5, shutdown_timeout_s=2.0, heartbeat_s=0.1, dead_peer_timeout_s=0.5
    )
    return Registry(Room, store=MemoryStore(), config=limits)


@pytest.fixture
async def connect(registry: Registry) -> AsyncIterator[Callable[..., Any]]:
    config = replace(CONFIG, max_unhandled_events=4)
    async with serving(registry) as url, Client(url, transport="sse", config=config) as client:
        async with asyncio.timeout(TIMEOUT_S):
            yield client.room.get_or_create("a").connect


def actor(registry: Registry) -> Room:
    [instance] = registry.router._directory
    assert isinstance(instance.actor, Room)
    return instance.actor


async def test_calls_run_in_their_order_and_go_together(
    registry: Registry, connect: Callable[..., Any]
) -> None:
    async with connect() as connection:
        texts = [str(number) for number in range(300)]
        assert await asyncio.gather(*map(connection.say, texts)) == list(range(1, 301))
        assert actor(registry).heard == texts


async def test_what_was_called_before_the_close_has_run(
    registry: Registry, connect: Callable[..., Any]
) -> None:
    async with connect() as other:
        connection = connect()
        await connection.ready()
        calling = asyncio.create_task(connection.say("goodbye"))
        await asyncio.sleep(0)
        await connection.close()
        with pytest.raises(OutcomeUnknown):
            await calling
        room = actor(registry)
        assert (room.heard, room.left) == (["goodbye"], 1)
        assert other.status == "connected"


async def test_large_events_and_slow_handlers(connect: Callable[..., Any]) -> None:
    got: list[int] = []
    release = asyncio.Event()

    async def slow(number: int, _data: str) -> None:
        await release.wait()
        got.append(number)

    async with connect() as connection:
        connection.on("flooded", slow)
        lost = asyncio.Event()
        connection.on("disconnected", lost.set)
        await connection.flood(20, 200_000)
        # Nothing is read meanwhile, for longer than a silent client is kept.
        await eventually(lambda: connection.status == "stalled" or len(got))
        release.set()
        await eventually(lambda: len(got) == 20)
        assert not lost.is_set()
    assert got == list(range(20))


async def test_a_client_that_only_listens_is_kept(registry: Registry, connect: Callable[..., Any]) -> None:
    async with connect() as connection:
        lost = asyncio.Event()
        connection.on("disconnected", lost.set)
        silent = asyncio.get_running_loop().time() + 1.2  # more than twice what a silent one is given
        await eventually(lambda: asyncio.get_running_loop().time() > silent)
        assert not lost.is_set()
        assert actor(registry).left == 0
