"""What is refused of server-sent events, with which status and code, and who stays away then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from streamed import CONFIG, connected, post, target

from event_source import EventSource, Parser, request
from ringcast import Registry
from ringcast.server.serve import serving


@pytest.mark.parametrize(
    ("query", "headers", "status", "code"),
    [
        ("key=a&params={", {}, 400, "invalid_message"),
        ("key=a&input=nix", {}, 400, "invalid_message"),
        ("lookup=some", {}, 400, "invalid_message"),
        ("lookup=id", {}, 400, "invalid_message"),
        ("lookup=get&lookup=id", {}, 400, "invalid_message"),
        ("subscribe=", {}, 400, "invalid_message"),
        ("subscriptions=7", {}, 400, "invalid_message"),
        ("key=" + "x" * 129, {}, 400, "invalid_message"),
        ("session_name=", {}, 400, "invalid_message"),
        ("last_event_id=7", {}, 400, "invalid_message"),
        ("", {"Last-Event-ID": "e:-1"}, 400, "invalid_message"),
        ("", {"Last-Event-ID": "e:99999999999999999999"}, 400, "invalid_message"),
        ("", {"Ringcast-Session": "token"}, 400, "invalid_message"),
        ("lookup=get&key=nobody", {}, 404, "actor_not_found"),
        ("params=%22refuse%22", {}, 400, "not_welcome"),
    ],
)
async def test_a_bad_request_for_events(
    url: str, query: str, headers: dict[str, str], status: int, code: str
) -> None:
    source = EventSource(url, f"/actors/room/events?{query}")
    response = await request(url, source.target, headers=headers)
    assert (response.status, response.json["error"]["code"]) == (status, code)


async def test_who_is_refused_for_good_does_not_come_back(url: str) -> None:
    source = EventSource(url, target("room", "params=%22refuse%22"))
    response = await source.failed()
    assert (response.status, response.headers["ringcast-close"]) == (400, "4000")
    error = {"code": "not_welcome", "message": "not you", "metadata": {"why": "because"}}
    assert response.json == {"error": error}
    unknown = await EventSource(url, "/actors/nobody/events").failed()
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "unknown_actor")


async def test_who_was_dismissed_is_told_so_and_stays_away(url: str) -> None:
    source = EventSource(url, target("room", "session_name=first"))
    answer = await connected(source)
    await post(url, answer["session"], ["call", 1, "dismiss", ["enough"]])
    assert (await source.next("close")).json == [4003, "enough"]
    response = await source.failed()
    assert (response.status, response.headers["ringcast-close"]) == (403, "4003")
    assert response.json["error"]["message"] == "enough"


async def test_who_comes_while_too_many_do_comes_back_when_it_is_told_to(registry: Registry) -> None:
    registry.config = replace(CONFIG, max_connects_per_s=1)
    async with serving(registry) as url:
        first = EventSource(url, target())
        await connected(first)
        response = await request(url, target())
        assert response.status == 200
        parser = Parser()
        error, close = parser.feed(await response.rest())
        assert error.json[:2] == ["error", None]
        assert error.json[2]["code"] == "try_again_later"
        assert parser.retry_ms == error.json[2]["metadata"]["retry_after_ms"]
        assert (close.type, close.json) == ("close", [1013, "try_again_later"])
        await first.close()


@pytest.mark.parametrize(
    ("line", "headers", "body", "status", "code"),
    [
        ("POST /session/messages", {}, ["received", []], 400, "invalid_message"),
        ("POST /session/messages", {"Ringcast-Session": "x"}, ["received", []], 404, "unknown_session"),
        ("DELETE /session", {}, None, 400, "invalid_message"),
        ("DELETE /session", {"Ringcast-Session": "ü"}, None, 404, "unknown_session"),
        ("GET /session/messages", {}, None, 405, "method_not_allowed"),
        ("POST /actors/room/events", {}, [], 400, "invalid_message"),
        ("POST /actors/room/events", {}, b"{", 400, "invalid_message"),
        ("POST /actors/room/events", {"Content-Type": "text/plain"}, {}, 415, "unsupported_media_type"),
        ("POST /actors/room/events", {}, {"params": "x" * 70_000}, 413, "message_too_big"),
        ("GET /actors/room/events", {"Content-Length": "9"}, None, 400, "invalid_message"),
        ("PUT /actors/room/events", {}, {}, 405, "method_not_allowed"),
    ],
)
async def test_a_bad_request(
    url: str, line: str, headers: dict[str, str], body: Any, status: int, code: str
) -> None:
    method, path = line.split(" ")
    response = await request(url, path, method=method, headers=headers, body=body)
    assert (response.status, response.json["error"]["code"]) == (status, code)
