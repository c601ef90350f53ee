"""The access log of a server: each request has a line, also one that no application gets, and each end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from linked import eventually
from raw_socket import TIMEOUT_S, opened

from ringcast import Actor, Client, Context, MemoryStore, Registry, ServerConfig
from ringcast.errors import CloseCode, Unauthorized
from ringcast.server.first_read import MAX_HEAD_BYTES
from ringcast.server.serve import serving

UPGRADE: Final = (
    "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: {version}\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: {protocol}\r\n"
)
GOOD: Final = UPGRADE.format(version=13, protocol="ringcast.v1.json")
PLAIN: Final = "Host: x\r\n"
PROXIED: Final[dict[str, Any]] = {"trusted_proxies": ("127.0.0.1",)}


class Desk(Actor):
    """Lets in who says nothing."""

    def on_before_connect(self, c: Context, params: Any) -> None:
        if params is not None:
            raise Unauthorized("sign in first")


class Kept(Actor):
    durable = True


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ringcast.access")


@asynccontextmanager
async def served(**limits: Any) -> AsyncIterator[str]:
    config = ServerConfig(**{"close_timeout_s": 0.5, **limits})
    async with serving(Registry(Desk, Kept, store=MemoryStore(), config=config)) as url:
        yield url


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(each) for each in caplog.records if each.name == "ringcast.access"]


def requests(caplog: pytest.LogCaptureFixture) -> list[tuple[Any, ...]]:
    """Return method, path, status and address of each."""
    found = [each for each in lines(caplog) if each["event"] == "request"]
    return [tuple(each[name] for name in ("method", "path", "code", "client")) for each in found]


async def ask(url: str, *request: str) -> int:
    """Send this from a socket of its own, in as many packets, and return the status of the answer."""
    address = urlsplit(url)
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        for part in request:
            writer.write(part.encode())
            await asyncio.sleep(0)
        status = int((await reader.readline()).split(b" ")[1])
        await reader.read()
        writer.close()
    return status


@pytest.mark.parametrize(
    ("target", "head", "status"),
    [
        ("/connect?t=1", UPGRADE.format(version=13, protocol="other"), 400),
        ("/nowhere?t=1", GOOD, 404),
        ("/connect?t=1", GOOD + "Origin: https://evil.example\r\n", 403),
        ("/connect?t=1", UPGRADE.format(version=12, protocol="ringcast.v1.json"), 426),
    ],
)
async def test_an_upgrade_that_is_refused(
    caplog: pytest.LogCaptureFixture, target: str, head: str, status: int
) -> None:
    async with served(**PROXIED) as url:
        forwarded = "X-Forwarded-For: 192.0.2.7\r\n"
        assert await ask(url, f"GET {target} HTTP/1.1\r\n{head}{forwarded}\r\n") == status
    assert requests(caplog) == [("GET", target.partition("?")[0], status, "192.0.2.7")]


async def test_an_upgrade_for_which_there_is_no_place_behind_a_proxy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served(max_connections_per_address=1, uncounted_networks=(), **PROXIED) as url:
        forwarded = {"X-Forwarded-For": "192.0.2.7"}
        async with opened(url, forwarded):
            head = f"GET /connect HTTP/1.1\r\n{GOOD}X-Forwarded-For: 192.0.2.7\r\n\r\n"
            assert await ask(url, head) == 429
    assert requests(caplog) == [("GET", "/connect", 429, "192.0.2.7")]


@pytest.mark.parametrize(
    ("limits", "accept", "status"),
    [
        ({"max_connections_per_address": 1, "uncounted_networks": ()}, "", 429),
        ({"max_connections": 1}, "", 503),
        ({"max_connections": 1}, "Accept: text/event-stream\r\n", 200),
    ],
)
async def test_a_socket_for_which_there_is_no_place(
    caplog: pytest.LogCaptureFixture, limits: dict[str, Any], accept: str, status: int
) -> None:
    async with served(**limits) as url, opened(url):
        assert await ask(url, f"POST /actors/desk%20/events?t=1 HTTP/1.1\r\n{PLAIN}{accept}\r\n") == status
        assert requests(caplog) == [("POST", "/actors/desk /events", status, "127.0.0.1")]


async def test_a_socket_without_a_place_is_heard_to_the_end_of_its_head(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served(max_connections=1) as url, opened(url):
        head = f"GET /actors/desk/events HTTP/1.1\r\n{PLAIN}Cookie: {'c' * 1500}\r\n"
        # A browser's `EventSource` would never come back after another status.
        assert await ask(url, head, "Accept: text/event-stream\r\n\r\n") == 200
        assert await ask(url, "GET / HTTP/1.1\r\nX: ", "x" * MAX_HEAD_BYTES) == 503


@pytest.mark.parametrize(
    "sent",
    [
        "x\n2026-11-30T15:00:00Z INFO ringcast.access: new connection of desk\n\n",
        "GET\t/connect?token=SECRET HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x1b[2J / HTTP/1.1\r\n\r\n",
        "A" * 60_000,
    ],
)
async def test_what_cannot_be_read_of_a_socket_without_a_place(
    caplog: pytest.LogCaptureFixture, sent: str
) -> None:
    async with served(max_connections=1) as url, opened(url):
        assert await ask(url, sent) == 503
        assert requests(caplog) == [(None, None, 503, "127.0.0.1")]
        assert caplog.messages[-1] == "a request that cannot be read: 503"


@pytest.mark.parametrize(
    ("sent", "status"),
    [("NONSENSE\r\n\r\n", 400), (f"GET / HTTP/1.1\r\nX: {'x' * 20_000}", 431)],
)
async def test_what_cannot_be_read(caplog: pytest.LogCaptureFixture, sent: str, status: int) -> None:
    async with served() as url:
        assert await ask(url, sent) == status
    assert requests(caplog) == [(None, None, status, "127.0.0.1")]
    assert caplog.messages[-1] == f"a request that cannot be read: {status}"


async def test_an_upgrade_over_an_old_version_of_http(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as url:
        assert await ask(url, f"GET /connect?t=1 HTTP/1.0\r\n{GOOD}\r\n") == 400
    assert requests(caplog) == [("GET", "/connect", 400, "127.0.0.1")]


async def test_who_says_nothing_can_be_found(caplog: pytest.LogCaptureFixture) -> None:
    async with served(**PROXIED) as url:
        async with opened(url, {"X-Forwarded-For": "192.0.2.7"}):
            pass
        await eventually(lambda: bool(lines(caplog)))
    [ended] = lines(caplog)
    assert (ended["event"], ended["client"]) == ("closed_by_client", "192.0.2.7")


async def test_who_comes_and_who_is_refused_has_an_address(caplog: pytest.LogCaptureFixture) -> None:
    forwarded = {"X-Forwarded-For": "192.0.2.7"}
    async with served(**PROXIED) as url:
        async with opened(url, forwarded) as first, opened(url, forwarded) as second:
            [_, answer] = await first.connect("desk")
            resume = {"session": answer["session"], "epoch": answer["epoch"], "offset": answer["offset"]}
            assert (await second.connect("desk", resume=resume))[0] == "connected"
            assert await first.closed_with() == CloseCode.SESSION_REPLACED
        async with opened(url, forwarded) as third:
            assert (await third.connect("desk", params="wrong"))[0] == "error"
            assert await third.closed_with() == CloseCode.CONNECT_REFUSED
    found = lines(caplog)
    said = [(each["event"], each.get("code"), each["client"]) for each in found]
    assert said == [
        ("new", None, "192.0.2.7"),
        ("closed_by_server", CloseCode.SESSION_REPLACED, None),
        ("resumed", None, "192.0.2.7"),
        ("closed_by_client", 1000, None),
        ("closed_by_server", CloseCode.CONNECT_REFUSED, "192.0.2.7"),
    ]
    assert {each.get("connection") for each in found[:4]} == {answer["connection"]}


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_who_has_ended_a_session(caplog: pytest.LogCaptureFixture, transport: Any) -> None:
    async with served() as url, Client(url, transport=transport) as client:
        connection = client.desk.get_or_create("k").connect()
        await connection.ready()
        await connection.close()
        await eventually(lambda: any(each["event"].startswith("closed") for each in lines(caplog)))
    [ended] = [each for each in lines(caplog) if each["event"].startswith("closed")]
    assert (ended["event"], ended["code"], ended["actor"]) == ("closed_by_client", 1000, "Desk")


async def test_at_the_end_of_a_server_the_connections_of_durable_actors_are_named_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with AsyncExitStack() as sockets, served() as url:  # which ends before they do
        for actor in ("desk", "kept"):
            socket = await sockets.enter_async_context(opened(url))
            assert (await socket.connect(actor))[0] == "connected"
    ended = {each.get("actor"): each for each in lines(caplog) if each["event"] == "closed_by_server"}
    assert ended.keys() == {"Desk", "Kept"}
    for each in ended.values():
        assert (each["code"], each["actor_key"]) == (CloseCode.SERVER_RESTART, ("k",)) and each["connection"]
