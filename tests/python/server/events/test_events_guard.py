"""Who is let in to server-sent events, and how much: request, tickets, places, origins and rates."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from served_here import ServedHere
from streamed import message_of

from event_source import EventSource, Parser, Response, request
from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, Tickets, action
from ringcast.errors import Forbidden
from ringcast.request import Request
from ringcast.server.serve import serving
from ringcast.testing import eventually

APP = "https://app.example.com"
FOREIGN = "https://evil.example"
EVERYONE_COUNTS: dict[str, Any] = {"uncounted_networks": ()}
STREAM = {"Accept": "text/event-stream"}
TIMEOUT_S = 30


class Hall(Actor[None, Any]):
    """Keeps what its clients came with, and takes a ticket of those who have one."""

    tickets: Tickets[str]
    waiting: asyncio.Event

    def __init__(self) -> None:
        self.asked = 0

    async def on_before_connect(self, c: Context[None, Any], params: Any) -> None:
        self.asked += 1
        if params == "wait":
            type(self).waiting.set()
            await asyncio.Event().wait()
        if params == "forbidden":
            raise Forbidden("not you")
        if "ticket" in c.request.query:
            type(self).tickets.take(c.request.query["ticket"])

    def create_conn_state(self, c: Context[None, Any], params: Any) -> Any:
        request = c.request
        return [
            request.transport,
            request.address,
            request.path,
            request.query.get("ticket"),
            request.headers.get("X-Client"),
            request.cookies.get("sid"),
        ]

    @action
    def came(self, c: Context[None, Any]) -> list[Any]:
        return [c.conn.state, c.has_request]

    @action
    def hooks_run(self, c: Context[None, Any]) -> int:
        return self.asked

    @action
    def say(self, c: Context[None, Any], text: str) -> None:
        c.broadcast("said", text)


class Served(ServedHere):
    @property
    def hall(self) -> Any:
        return self.registry.client.get_or_create("hall", ["k"])

    async def open(self, *more: str, **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await request(self.url, target(*more), headers={**STREAM, **named})

    async def post(self, token: str, *messages: Any) -> Response:
        headers = {"Ringcast-Session": token}
        return await request(
            self.url, "/session/messages", method="POST", headers=headers, body=list(messages)
        )


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[Served]:
    Hall.tickets = Tickets()
    Hall.waiting = asyncio.Event()
    registry = Registry(Hall, store=MemoryStore(), config=ServerConfig(close_timeout_s=0.5, **settings))
    async with serving(registry) as url:
        yield Served(url, registry)


def target(*more: str) -> str:
    return "/actors/hall/events?" + "&".join(("key=k", "subscribe=said", *more))


async def token_of(source: EventSource) -> str:
    answer: dict[str, Any] = (await source.next("connected")).json[1]
    return str(answer["session"])


async def turned_away(response: Response) -> tuple[str, int | None]:
    """Return the code that a client which is to come back is told, and when it is to."""
    assert response.status == 200
    assert response.headers["content-type"] == "text/event-stream"
    parser = Parser()
    error, close = parser.feed(await response.rest())
    assert (close.type, close.json[0]) == ("close", 1013)
    return error.json[2]["code"], parser.retry_ms


# --- the request ------------------------------------------------------------------------------------------


def requests() -> list[Request]:
    return [each for each in gc.get_objects() if type(each) is Request]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_hooks_see_the_request(method: str) -> None:
    # What other tests have left is not of interest.
    before = requests()
    async with served() as server:
        ticket = Hall.tickets.give("ann")
        headers = {"X-Client": "page", "Cookie": "sid=abc", "Connection": "keep-alive"}
        response = await request(
            server.url,
            target(f"ticket={ticket}"),
            method=method,
            headers=headers,
            body={"key": ["k"]} if method == "POST" else None,
        )
        [token] = server.registry.router.gateway.sessions
        await server.post(token, "call", 1, "came", [])
        state = ["sse", "127.0.0.1", "/actors/hall/events", ticket, "page", "abc"]
        assert await message_of(response, "reply", "error") == ["reply", 1, [state, False]]
        gc.collect()
        assert [each for each in requests() if all(each is not other for other in before)] == []
        response.writer.close()


async def test_the_address_is_what_a_trusted_proxy_says() -> None:
    async with served(trusted_proxies=("127.0.0.1",)) as server:
        response = await server.open(X_Forwarded_For="198.51.100.7")
        [session] = server.registry.router.gateway.sessions.values()
        assert session.member.state[:2] == ["sse", "198.51.100.7"]
        response.writer.close()


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_cookie_is_for_tls_alone_where_a_trusted_proxy_has_it(trusted: bool) -> None:
    async with served(trusted_proxies=("127.0.0.1",) if trusted else ()) as server:
        for scheme, is_secure in (("https", trusted), ("http", False)):
            headers = {"X_Forwarded_For": "198.51.100.7", "X_Forwarded_Proto": scheme}
            response = await server.open("session_name=page", **headers)
            assert ("Secure" in response.headers["set-cookie"].split("; ")) == is_secure
            response.writer.close()


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [("ticket=made-up", 401, "unauthorized"), ("params=%22forbidden%22", 403, "forbidden")],
)
async def test_who_is_refused_is_told_so_by_the_status_and_stays_away(
    more: str, status: int, code: str
) -> None:
    async with served() as server:
        source = EventSource(server.url, target(more))
        response = await source.failed()
        assert (response.status, response.json["error"]["code"]) == (status, code)
        assert "retry-after" not in response.headers and source.opened == 0


async def test_a_spent_ticket_does_no_harm_to_a_session_that_goes_on() -> None:
    async with served() as server:
        ticket = Hall.tickets.give("ann")
        source = EventSource(server.url, target(f"ticket={ticket}", "session_name=page"))
        token = await token_of(source)
        assert len(Hall.tickets) == 0
        for times in (1, 2):
            source.lose()
            await server.hall.say(f"missed {times}")
            again = (await source.next("connected")).json[1]
            assert (again["session"], again["replayed"]) == (token, 1)
            assert (await source.next("event")).json[4] == [f"missed {times}"]
        assert await server.hall.hooks_run() == 1
        await source.close()
        # To begin again takes another one.
        response = await server.open(f"ticket={ticket}")
        assert (response.status, response.json["error"]["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_refusals_are_counted_and_the_access_log_has_their_status(
    caplog: pytest.LogCaptureFixture, method: str
) -> None:
    caplog.set_level(logging.INFO, "ringcast.access")
    async with served() as server:
        for actor, body, status in (
            ("hall", {"key": ["k"], "params": "forbidden"}, 403),
            ("nobody", {"key": ["k"]}, 404),
            ("hall", {"key": ["k"]}, 200),
        ):
            query = "".join(f"&params=%22{text}%22" for text in [body.get("params")] if text)
            response = await request(
                server.url,
                f"/actors/{actor}/events" + (f"?key=k{query}" if method == "GET" else ""),
                method=method,
                body=body if method == "POST" else None,
            )
            assert response.status == status
            response.writer.close()
        assert server.registry.router.refusals == {"connect_refused": 2}
    logged = [vars(each) for each in caplog.records if each.name == "ringcast.access"]
    requests_logged = [each["code"] for each in logged if each["event"] == "request"]
    assert requests_logged == [403, 404, 200]


async def test_who_leaves_before_the_answer_is_in_the_access_log_without_a_status(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "ringcast.access")
    async with served() as server:
        address = urlsplit(server.url)
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(f"GET {target('params=%22wait%22')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await asyncio.wait_for(Hall.waiting.wait(), TIMEOUT_S)
        writer.close()
        await eventually(lambda: any(vars(each).get("event") == "request" for each in caplog.records))
    [logged] = [vars(each) for each in caplog.records if vars(each).get("event") == "request"]
    assert logged["code"] is None


# --- places -----------------------------------------------------------------------------------------------


async def test_streams_take_places_by_address_and_give_them_back() -> None:
    async with served(max_connections_per_address=2, **EVERYONE_COUNTS) as server:
        held = [await server.open() for _ in range(2)]
        for method in ("GET", "POST"):
            response = await request(server.url, target(), method=method, headers=STREAM)
            assert await turned_away(response) == ("too_many_connections", 5000)
        # Others are told by the status, as everywhere.
        response = await request(server.url, "/ready")
        assert (response.status, response.headers["retry-after"]) == (429, "5")
        assert server.hit == {"max_connections_per_address": 3}
        held.pop().writer.close()
        source = EventSource(server.url, target())
        await eventually(lambda: server.registry.router.sockets == 1)
        await token_of(source)
        await source.close()
        held.pop().writer.close()


async def test_streams_through_a_proxy_take_the_places_of_those_behind_it() -> None:
    settings = {**EVERYONE_COUNTS, "trusted_proxies": ("127.0.0.1",)}
    async with served(max_connections_per_address=1, **settings) as server:
        first = await server.open(X_Forwarded_For="198.51.100.7")
        other = await server.open(X_Forwarded_For="198.51.100.8")
        assert first.headers["ringcast-stream"] and other.headers["ringcast-stream"]
        response = await server.open(X_Forwarded_For="198.51.100.7")
        assert await turned_away(response) == ("too_many_connections", 5000)
        assert server.hit == {"max_connections_per_address": 1}
        first.writer.close()
        await eventually(lambda: server.registry.router.sockets == 1)
        third = await server.open(X_Forwarded_For="198.51.100.7")
        assert third.headers["ringcast-stream"]
        for response in (other, third):
            response.writer.close()


async def test_streams_and_whatever_else_take_places_in_all() -> None:
    async with served(max_connections=2) as server:
        for _ in range(3):  # each of them gives back what it took
            held = [await server.open() for _ in range(2)]
            assert [response.status for response in held] == [200, 200]
            assert await turned_away(await server.open()) == ("server_full", 5000)
            for response in held:
                response.writer.close()
            await eventually(lambda: server.registry.router.sockets == 0)
        # A stream that is refused gives its place back as well.
        for _ in range(3):
            assert (await server.open("params=%22forbidden%22")).status == 403
        assert server.hit == {"max_connections": 3}


# --- origins ----------------------------------------------------------------------------------------------


async def test_pages_of_foreign_origins_get_no_events_and_no_session(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "ringcast.access")
    async with served(allowed_origins=(APP,)) as server:
        for method, path in (("GET", target()), ("POST", "/session/messages"), ("DELETE", "/session")):
            response = await request(server.url, path, method=method, headers={"Origin": FOREIGN})
            assert (response.status, response.json["error"]["code"]) == (403, "origin_not_allowed")
            assert "access-control-allow-origin" not in response.headers
        assert server.hit == {"allowed_origins": 3}
        assert await server.hall.hooks_run() == 0
    logged = [vars(each) for each in caplog.records if each.name == "ringcast.access"]
    assert [(each["method"], each["code"]) for each in logged if each["event"] == "request"] == [
        ("GET", 403), ("POST", 403), ("DELETE", 403),
    ]  # fmt: skip


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_pages_that_have_no_name_have_no_effects(site: str) -> None:
    # As for `<img src=…>`, or a link that somebody follows: a browser names no origin then.
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
    async with served(allowed_origins=(APP,), docs=True) as server:
        for method, path in (("GET", target()), ("POST", target()), ("DELETE", "/session")):
            response = await request(server.url, path, method=method, headers=headers)
            assert (response.status, response.json["error"]["code"]) == (403, "origin_not_allowed")
        assert server.registry.router.actors == 0
        assert server.hit == {"allowed_origins": 3}
        for path in ("/health", "/docs"):
            assert (await request(server.url, path, headers=headers)).status == 200
        assert server.hit == {"allowed_origins": 3}


async def test_pages_that_have_no_name_are_any_pages_or_the_servers_own() -> None:
    for origins, site in ((("*",), "cross-site"), ((), "same-origin"), ((), "none")):
        async with served(allowed_origins=origins) as server:
            response = await server.open(Sec_Fetch_Site=site)
            assert response.status == 200
            response.writer.close()


async def test_pages_on_the_list_can_read_every_response() -> None:
    async with served(allowed_origins=(APP,), max_connections=1) as server:
        held = await server.open(Origin=APP)
        full = await server.open(Origin=APP)
        assert await turned_away(full) == ("server_full", 5000)
        other = await request(server.url, "/ready", headers={"Origin": APP})
        assert other.status == 503
        held.writer.close()
        await eventually(lambda: server.registry.router.sockets == 0)
        refused = await server.open("params=%22forbidden%22", Origin=APP)
        assert refused.status == 403
        for response in (held, full, other, refused):
            assert response.headers["access-control-allow-origin"] == APP
            assert response.headers["access-control-allow-credentials"] == "true"
            exposed = response.headers["access-control-expose-headers"].split(", ")
            assert {"ringcast-close", "ringcast-error"} <= {*exposed}
        for response, is_error in ((held, False), (full, False), (other, True), (refused, True)):
            assert response.headers.get("ringcast-error") == ("true" if is_error else None)
        asked = {"Origin": APP, "Access-Control-Request-Method": "DELETE"}
        answer = await request(server.url, "/session", method="OPTIONS", headers=asked)
        assert answer.status == 204
        assert "DELETE" in answer.headers["access-control-allow-methods"]
        assert "ringcast-session" in answer.headers["access-control-allow-headers"]


async def test_pages_of_the_server_itself_need_no_list() -> None:
    async with served() as server:
        response = await server.open(Origin=server.url)
        assert response.status == 200 and "access-control-allow-origin" not in response.headers
        response.writer.close()


# --- limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_large_parameters_are_refused_for_good(method: str) -> None:
    async with served(max_params_bytes=100) as server:
        for length, status in ((98, 200), (99, 413)):
            text = "x" * length
            response = await request(
                server.url,
                target(*([f"params=%22{text}%22"] if method == "GET" else [])),
                method=method,
                body={"key": ["k"], "params": text} if method == "POST" else None,
            )
            assert response.status == status
            if status != 200:
                assert response.json["error"]["code"] == "params_too_large"
            response.writer.close()
        assert server.hit == {"max_params_bytes": 1}


async def test_posted_calls_are_held_to_a_rate() -> None:
    async with served(max_actions_per_s=0.001, max_actions_at_once=2) as server:
        source = EventSource(server.url, target("session_name=page"))
        token = await token_of(source)
        messages = [["call", number, "hooksRun", []] for number in range(1, 4)]
        assert (await server.post(token, *messages)).status == 204
        answers = [(await source.next()).json for _ in messages]
        assert answers[:2] == [["reply", 1, 1], ["reply", 2, 1]]
        assert answers[2][:2] == ["error", 3] and answers[2][2]["code"] == "rate_limited"
        # Another stream into the same session has no bucket of its own.
        source.lose()
        await source.next("connected")
        await server.post(token, "call", 4, "hooksRun", [])
        assert (await source.next("error")).json[2]["code"] == "rate_limited"
        assert server.hit == {"max_actions_per_s": 2}
        await source.close()
