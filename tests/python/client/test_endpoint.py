"""Addresses, and calls over HTTP to servers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest

from ringcast.client import Client, ClientConfig
from ringcast.client.endpoint import addresses
from ringcast.errors import ConnectionFailure, InternalError, OutcomeUnknown, UserError


@pytest.mark.parametrize(
    ("url", "calls", "connections"),
    [
        ("http://localhost:8080", "http://localhost:8080", "ws://localhost:8080/connect"),
        ("https://example.org/", "https://example.org", "wss://example.org/connect"),
        (
            "https://example.org/realtime/",
            "https://example.org/realtime",
            "wss://example.org/realtime/connect",
        ),
        ("http://[::1]:8080/a/b", "http://[::1]:8080/a/b", "ws://[::1]:8080/a/b/connect"),
    ],
)
def test_addresses(url: str, calls: str, connections: str) -> None:
    assert addresses(url) == (calls, connections)


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://x", "http://", "http://x/?token=1", "http://x/#a", ""]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="a server's address is"):
        Client(url)


Answer = Callable[[str, dict[str, Any]], bytes | None]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Answer], Any]]:
    """Answer HTTP requests with raw bytes, or hang up where a function gives None."""
    servers: list[asyncio.Server] = []

    async def start(answer: Answer) -> str:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                int(line.split(":")[1])
                for line in head.splitlines()
                if line.lower().startswith("content-length")
            )
            body = await reader.readexactly(length)
            writer.write(answer(head.split()[1], orjson.loads(body)) or b"")
            writer.close()
            await writer.wait_closed()

        servers.append(await asyncio.start_server(handle, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


def http(status: int, body: Any, *headers: bytes) -> bytes:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    lines = (*headers, b"Content-Length: %d" % len(content), b"Connection: close")
    return b"HTTP/1.1 %d X\r\n" % status + b"\r\n".join(lines) + b"\r\n\r\n" + content


async def test_the_request_names_the_actor_below_the_prefix(serve: Any, config: ClientConfig) -> None:
    requests: list[tuple[str, dict[str, Any]]] = []

    def answer(path: str, body: dict[str, Any]) -> bytes:
        requests.append((path, body))
        return http(200, {"value": "v", "actor_id": "a1", "key": ["k"]})

    async with Client(await serve(answer) + "/realtime", config=config) as client:
        assert await client.get_or_create("a/b", ["k"], input={"n": 1}).call("do it", 1, [2]) == "v"
        assert await client.get_for_id("room", "a1").say() == "v"
        assert await client.get("room", ["k"]).resolve() == "a1"
    assert requests == [
        (
            "/realtime/actors/a%2Fb/actions/do%20it",
            {"lookup": "get_or_create", "key": ["k"], "input": {"n": 1}, "args": [1, [2]]},
        ),
        ("/realtime/actors/room/actions/say", {"lookup": "id", "actor_id": "a1", "args": []}),
        ("/realtime/actors/room/resolve", {"lookup": "get", "key": ["k"]}),
    ]


async def test_an_error_is_raised_whatever_the_status(serve: Any, config: ClientConfig) -> None:
    error = {"error": {"code": "sold_out", "message": "none left", "metadata": [1]}}
    async with Client(
        await serve(lambda *_: http(409, error, b"Ringcast-Error: true")), config=config
    ) as client:
        with pytest.raises(UserError, match="none left") as raised:
            await client.shop.get("x").buy()
    assert (raised.value.code, raised.value.metadata) == ("sold_out", [1])


@pytest.mark.parametrize(
    "answer",
    [http(503, b"<html>Unavailable</html>"), http(200, b"hello"), http(404, {"detail": "Not Found"})],
)
async def test_an_answer_that_is_not_ours(serve: Any, config: ClientConfig, answer: bytes) -> None:
    async with Client(await serve(lambda *_: answer), config=config) as client:
        with pytest.raises(InternalError, match=r"answered with status \d+, not as Ringcast does"):
            await client.shop.get("x").buy()


async def test_a_server_that_hangs_up_leaves_the_outcome_unknown(serve: Any, config: ClientConfig) -> None:
    async with Client(await serve(lambda *_: None), config=config) as client:
        with pytest.raises(OutcomeUnknown, match="once or not at all"):
            await client.shop.get("x").buy()
        # Here no call was sent, and the actor may be there.
        with pytest.raises(OutcomeUnknown, match="found or created, and nothing was called"):
            await client.shop.create("x").buy()


async def test_a_port_where_nobody_listens(serve: Any, config: ClientConfig) -> None:
    async with Client("http://127.0.0.1:1", config=config) as client:
        with pytest.raises(ConnectionFailure, match="cannot reach") as raised:
            await client.shop.get("x").buy()
    assert raised.value.code == "unreachable"


@pytest.mark.parametrize(
    ("actor", "key", "error"),
    [
        ("", (), ValueError),
        ("x" * 129, (), ValueError),
        ("room", [1], TypeError),
        ("room", ["x" * 129], ValueError),
        ("room", ["x"] * 17, ValueError),
    ],
)
async def test_names_and_keys_that_no_server_takes(
    config: ClientConfig, actor: str, key: Any, error: type[Exception]
) -> None:
    client = Client("http://127.0.0.1:1", config=config)
    with pytest.raises(error):
        client.get_or_create(actor, key)


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="connect_timeout_s must not be negative"):
        ClientConfig(connect_timeout_s=-1)
    with pytest.raises(ValueError, match="max_offline_calls must be at least 1"):
        ClientConfig(max_offline_calls=0)
    with pytest.raises(ValueError, match="ping_reply_s must be positive"):
        ClientConfig(ping_reply_s=0)
    with pytest.raises(ValueError, match="json or msgpack"):
        Client("http://x", encoding="xml")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="either a URL or an endpoint"):
        Client()


def test_a_string_is_a_key_of_one_part(config: ClientConfig) -> None:
    client = Client("http://x", config=config)
    assert client.get("room", "world").key == ("world",)
    assert client.room.get(["a", "b"]).key == ("a", "b")
    assert client.get("room").key == ()
