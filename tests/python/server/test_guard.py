"""Places for sockets, origins of pages and addresses of clients, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from raw_socket import TIMEOUT_S, opened
from served_here import ServedHere
from websockets.exceptions import InvalidStatus

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.server.head import MOST_TURNED_AWAY
from ringcast.server.serve import serving

FOREIGN = "https://evil.example"
APP = "https://app.example.com"
EVERYONE_COUNTS: dict[str, Any] = {"uncounted_networks": ()}


class Door(Actor):
    """Says where its clients come from."""

    @action
    def who(self, c: Context) -> list[str | None]:
        return [c.request.address, c.request.origin]


class Served(ServedHere):
    def client(self, address: str = "127.0.0.1") -> httpx.AsyncClient:
        """Return a client whose sockets come from `address`, and are closed after each request."""
        transport = httpx.AsyncHTTPTransport(
            local_address=address, limits=httpx.Limits(max_keepalive_connections=0)
        )
        return httpx.AsyncClient(base_url=self.url, transport=transport)

    async def who(self, address: str = "127.0.0.1", **headers: str) -> list[str | None]:
        async with self.client(address) as client:
            response = await ask(client, headers)
            assert response.status_code == HTTPStatus.OK, response.text
            return response.json()["value"]  # type: ignore[no-any-return]

    async def until_free(self) -> None:
        """Wait until the server has let go of every socket."""
        async with asyncio.timeout(TIMEOUT_S):
            while (await self.status()) != HTTPStatus.OK:  # noqa: ASYNC110 - nobody else says so
                await asyncio.sleep(0)

    async def status(self, address: str = "127.0.0.1") -> int:
        async with self.client(address) as client:
            return (await client.get("/ready")).status_code


async def ask(client: httpx.AsyncClient, headers: dict[str, str] | None = None) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
    return await client.post("/actors/door/actions/who", json={"key": ["k"]}, headers=named)


@asynccontextmanager
async def served(**limits: Any) -> AsyncIterator[Served]:
    registry = Registry(Door, store=MemoryStore(), config=ServerConfig(**limits))
    async with serving(registry) as url:
        yield Served(url, registry)


async def refused_upgrade(url: str, headers: dict[str, str] | None = None, **options: Any) -> httpx.Headers:
    """Try to open a socket and return the headers of the refusal, the status among them."""
    with pytest.raises(InvalidStatus) as refused:
        async with opened(url, headers, **options):
            pass
    response = refused.value.response
    return httpx.Headers({**dict(response.headers.raw_items()), "status": str(response.status_code)})


# --- places -----------------------------------------------------------------------------------------------


async def test_connections_in_all() -> None:
    async with served(max_connections=3) as server:
        async with AsyncExitStack() as stack:
            for _ in range(3):
                raw = await stack.enter_async_context(opened(server.url))
                assert (await raw.connect("door"))[0] == "connected"
            said = await refused_upgrade(server.url)
            assert (said["status"], said["retry-after"]) == ("503", "5")
            async with server.client() as client:
                response = await client.get("/ready")
            assert (response.status_code, response.json()["error"]["code"]) == (503, "server_full")
            assert response.headers["retry-after"] == "5"
            assert server.hit == {"max_connections": 2}
        await server.until_free()


async def test_connections_of_one_address() -> None:
    async with served(max_connections_per_address=2, **EVERYONE_COUNTS) as server:
        async with AsyncExitStack() as stack:
            for _ in range(2):
                raw = await stack.enter_async_context(opened(server.url))
                assert (await raw.connect("door"))[0] == "connected"
            assert (await refused_upgrade(server.url))["status"] == "429"
            async with server.client() as client:
                response = await client.get("/ready")
            assert (response.status_code, response.json()["error"]["code"]) == (429, "too_many_connections")
            # Somebody else is not hurt.
            assert await server.status("127.0.0.2") == HTTPStatus.OK
            assert server.hit == {"max_connections_per_address": 2}
        await server.until_free()


async def test_connections_of_one_address_behind_a_proxy() -> None:
    async with served(
        max_connections_per_address=1, trusted_proxies=("127.0.0.1",), **EVERYONE_COUNTS
    ) as server:
        ann, bob = {"x-forwarded-for": "2001:db8::1"}, {"x-forwarded-for": "192.0.2.7"}
        async with opened(server.url, ann) as first, opened(server.url, bob):
            await first.connect("door")
            # Another address of the same /64, with something made up before it.
            again = {"x-forwarded-for": "192.0.2.9, 2001:db8::2"}
            assert (await refused_upgrade(server.url, again))["status"] == "429"
        async with opened(server.url, {"x-forwarded-for": "192.0.2.7"}):
            pass


async def test_each_of_the_two_limits_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        served(max_connections=2, max_connections_per_address=1, **EVERYONE_COUNTS) as server,
        opened(server.url),
    ):
        assert await server.status() == HTTPStatus.TOO_MANY_REQUESTS
        async with opened(server.url, local_addr=("127.0.0.2", 0)):
            assert await server.status("127.0.0.3") == HTTPStatus.SERVICE_UNAVAILABLE
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    limits = ["max_connections_per_address", "max_connections"]
    assert [each.partition("(")[2].partition(")")[0] for each in warnings] == limits


async def test_addresses_of_networks_that_are_not_counted() -> None:
    async with served(max_connections_per_address=1) as server, AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(opened(server.url))
        assert server.hit == {}


async def test_a_place_is_given_back_by_whatever_way_a_socket_ends() -> None:
    async with served(max_connections=1, connect_timeout_s=0.3, idle_timeout_s=0.3) as server:
        port = urlsplit(server.url).port
        for sent in (
            b"",
            b"GET /health HTTP/1.1\r\n",
            b"nonsense\r\n\r\n",
            b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            async with asyncio.timeout(TIMEOUT_S):
                await reader.read()
            writer.close()
            await server.until_free()
        # An upgrade that is refused, by the short way and by uvicorn's.
        for name in ("upgrade", "x-other"):
            with pytest.raises(InvalidStatus):
                async with opened(server.url, {name: "x", "sec-websocket-version": "12"}):
                    pass
            await server.until_free()
        guarded = server.registry.router.limits_hit
        assert guarded["idle_timeout_s"] == 1


async def test_so_many_are_told_and_others_are_just_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_TURNED_AWAY >= 100
    monkeypatch.setattr("ringcast.server.head.MOST_TURNED_AWAY", 1)
    async with served(max_connections=1) as server, opened(server.url):
        port = urlsplit(server.url).port
        waiting = await asyncio.open_connection("127.0.0.1", port)
        aborted = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(TIMEOUT_S):
            with contextlib.suppress(ConnectionResetError):
                assert await aborted[0].read() == b""
            waiting[1].write(b"GET /ready HTTP/1.1\r\nhost: a\r\n\r\n")
            assert b" 503 " in await waiting[0].read()
        for _, writer in (waiting, aborted):
            writer.close()


async def test_a_socket_that_asks_for_nothing_more() -> None:
    async with served(idle_timeout_s=0.05) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
        writer.write(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
        async with asyncio.timeout(TIMEOUT_S):
            assert b" 200 " in await reader.read()  # to its end
        writer.close()
        assert server.hit == {"idle_timeout_s": 1}


# --- origins ----------------------------------------------------------------------------------------------


async def test_pages_of_the_same_origin_and_others_over_websockets() -> None:
    async with served(allowed_origins=(APP,)) as server:
        own = "http://" + urlsplit(server.url).netloc
        # Long heads and short ones go different ways.
        for more in ({}, {"cookie": "c=" + "x" * 3000}):
            for origin in (own, own.replace("http:", "https:"), APP):
                async with opened(server.url, {"origin": origin, **more}) as raw:
                    assert (await raw.connect("door"))[0] == "connected"
            for origin in (FOREIGN, "null", f"{own}.evil.example"):
                assert (await refused_upgrade(server.url, {"origin": origin, **more}))["status"] == "403"
        assert server.hit == {"allowed_origins": 6}


async def test_pages_of_other_origins_over_http() -> None:
    async with served(allowed_origins=(APP,)) as server, server.client() as client:
        for origin in (None, server.url, APP):
            response = await ask(client, {} if origin is None else {"origin": origin})
            assert response.status_code == HTTPStatus.OK
            assert response.headers.get("access-control-allow-origin") == (APP if origin == APP else None)
            assert response.headers.get("vary") == (None if origin is None else "Origin")
        response = await ask(client, {"origin": FOREIGN})
        assert (response.status_code, response.json()["error"]["code"]) == (403, "origin_not_allowed")
        assert "access-control-allow-origin" not in response.headers
        assert server.hit == {"allowed_origins": 1}


async def test_pages_that_have_no_name_call_nothing() -> None:
    async with served(allowed_origins=(APP,)) as server, server.client() as client:
        for site in ("cross-site", "same-site"):
            response = await ask(client, {"sec-fetch-site": site})
            assert (response.status_code, response.json()["error"]["code"]) == (403, "origin_not_allowed")
            assert (await refused_upgrade(server.url, {"sec-fetch-site": site}))["status"] == "403"
            # A page that has one is judged by that.
            assert (await ask(client, {"sec-fetch-site": site, "origin": APP})).status_code == HTTPStatus.OK
        assert server.hit == {"allowed_origins": 4}
        assert (await ask(client, {"sec-fetch-site": "same-origin"})).status_code == HTTPStatus.OK


async def test_preflights_are_answered_for_allowed_pages_only() -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    path = "/actors/door/actions/who"
    async with served(allowed_origins=(APP,)) as server, server.client() as client:
        answer = await client.options(path, headers={"origin": APP, **asked})
        assert answer.status_code == HTTPStatus.NO_CONTENT
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "content-type" in answer.headers["access-control-allow-headers"]
        assert answer.headers["vary"] == "Origin"
        refused = await client.options(path, headers={"origin": FOREIGN, **asked})
        assert refused.status_code == HTTPStatus.FORBIDDEN
        assert not [name for name in refused.headers if name.startswith("access-control")]


async def test_any_page_without_the_cookies_of_its_user() -> None:
    async with served(allowed_origins=("*",)) as server, server.client() as client:
        response = await ask(client, {"origin": FOREIGN})
        assert response.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in response.headers
        async with opened(server.url, {"origin": FOREIGN}) as raw:
            assert (await raw.connect("door"))[0] == "connected"


async def test_the_log_says_once_what_would_let_a_page_in(caplog: pytest.LogCaptureFixture) -> None:
    vite = "http://localhost:5173"

    def said() -> list[str]:
        return [text for text in caplog.messages if "is refused" in text]

    async with served(allowed_origins=(APP,)) as server, server.client() as client:
        await ask(client, {"origin": APP})
        await ask(client, {"sec-fetch-site": "cross-site"})
        assert said() == []
        await refused_upgrade(server.url, {"origin": vite})
        await refused_upgrade(server.url, {"origin": vite})
        await ask(client, {"origin": vite})
        assert said() == [
            "a page of http://localhost:5173 is refused: allowed_origins (--allowed-origins) does not list it"
        ]
        for origin in (FOREIGN, f"{vite}.evil.example", f"http://token@localhost:{5173}"):
            await ask(client, {"origin": origin})
        assert [text.split(" is ")[0] for text in said()[1:]] == ["a page of another origin"]
        for port in range(1, 21):
            await ask(client, {"origin": f"http://localhost:{port}"})
        assert len(said()) == 16


async def test_the_origin_behind_a_proxy_that_is_trusted() -> None:
    forwarded = {
        "x-forwarded-for": "192.0.2.7",
        "x-forwarded-proto": "https",
        "x-forwarded-host": "app.example.com",
    }
    async with served(trusted_proxies=("127.0.0.1",)) as server:
        async with opened(server.url, {"origin": APP, **forwarded}):
            pass
        wrong = {"origin": APP.replace("https", "http"), **forwarded}
        assert (await refused_upgrade(server.url, wrong))["status"] == "403"
    async with served() as server:
        assert (await refused_upgrade(server.url, {"origin": APP, **forwarded}))["status"] == "403"


# --- addresses --------------------------------------------------------------------------------------------


async def test_the_address_of_who_calls() -> None:
    forwarded = {"x_forwarded_for": "203.0.113.9, 192.0.2.7", "forwarded": "for=198.51.100.1"}
    async with served() as server:
        assert await server.who() == ["127.0.0.1", None]
        assert await server.who("127.0.0.2", **forwarded) == ["127.0.0.2", None]
    async with served(trusted_proxies=("127.0.0.2",)) as server:
        assert await server.who("127.0.0.2", **forwarded) == ["192.0.2.7", None]
        assert await server.who("127.0.0.3", **forwarded) == ["127.0.0.3", None]
    async with served(trusted_proxies=("127.0.0.2",), forwarded_header="forwarded") as server:
        assert await server.who("127.0.0.2", **forwarded) == ["198.51.100.1", None]


async def test_a_unix_socket_has_no_address(tmp_path: Path) -> None:
    for trusted, address in (((), None), (("unix",), "192.0.2.7")):
        path = str(tmp_path / f"of_{address}")
        registry = Registry(
            Door,
            store=MemoryStore(),
            config=ServerConfig(trusted_proxies=trusted, max_connections_per_address=1, **EVERYONE_COUNTS),
        )
        async with unix_served(registry, path):
            transport = httpx.AsyncHTTPTransport(uds=path)
            async with httpx.AsyncClient(base_url="http://here", transport=transport) as client:
                for _ in range(2):
                    response = await ask(client, {"x-forwarded-for": "192.0.2.7"})
                    assert response.json()["value"] == [address, None]


@asynccontextmanager
async def unix_served(registry: Registry, path: str) -> AsyncIterator[None]:
    """Serve a registry on a Unix socket."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.setblocking(False)
    async with serving(registry, sockets=[listening]):
        yield


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded"])
async def test_the_access_log_has_the_address_that_the_server_goes_by(
    caplog: pytest.LogCaptureFixture, header: str
) -> None:
    caplog.set_level(logging.INFO, "ringcast.access")
    sent = {"X-Forwarded-For": "6.6.6.6, 203.0.113.7", "Forwarded": "for=203.0.113.9"}
    expected = {"x-forwarded-for": "203.0.113.7", "forwarded": "203.0.113.9"}[header]
    for trusted in ((), ("127.0.0.0/8",)):
        limits: dict[str, Any] = {"trusted_proxies": trusted, "forwarded_header": header}
        async with served(**limits) as server, server.client() as client:
            await client.get("/health", headers=sent)
    logged = [vars(each)["client"] for each in caplog.records if each.name == "ringcast.access"]
    assert logged == ["127.0.0.1", expected]


@pytest.mark.parametrize(
    ("allowed", "warnings"), [(("null",), 1), ((APP, "null"), 1), ((APP,), 0), (("*",), 0)]
)
async def test_a_server_that_pages_without_an_origin_may_use_says_so_in_its_log(
    caplog: pytest.LogCaptureFixture, allowed: tuple[str, ...], warnings: int
) -> None:
    async with served(allowed_origins=allowed):
        logged = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(logged) == warnings
    assert all(text.startswith("allowed_origins has null") for text in logged)
