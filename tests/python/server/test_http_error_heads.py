"""What the heads of responses say of errors, and what they say to those who ask for a head alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from event_source import EventSource, request
from ringcast import Actor, Context, MemoryStore, Registry, UserError, action
from ringcast.errors import TryAgainLater, Unauthorized
from ringcast.server.calls import KEY_HEADER, REPLAYED_HEADER
from ringcast.server.replies import CHALLENGE
from ringcast.server.serve import serving

PATH = "/actors/desk/actions/"


class Desk(Actor[None, None]):
    durable = True

    def on_before_connect(self, c: Context[None, None], params: Any) -> None:
        if params == "nobody":
            raise Unauthorized("sign in first")

    @action
    def later(self, c: Context[None, None], wait_ms: Any) -> None:
        raise TryAgainLater("not now", metadata={"retry_after_ms": wait_ms})

    @action
    def closed(self, c: Context[None, None]) -> None:
        raise UserError("at lunch", code="closed", metadata={"retry_after_ms": 1001})

    @action
    def who(self, c: Context[None, None]) -> None:
        raise Unauthorized("not you")


class Camera(Actor[None, None], msgpack_only=True):
    """Sends what is no text."""


@asynccontextmanager
async def served(store: MemoryStore | None = None) -> AsyncIterator[tuple[str, Registry]]:
    registry = Registry(Desk, Camera, store=store or MemoryStore())
    async with serving(registry) as url:
        yield url, registry


async def call(url: str, name: str, *args: Any, params: Any = None, **headers: str) -> httpx.Response:
    body = {"key": ["k"], "args": list(args), "params": params}
    async with httpx.AsyncClient(base_url=url) as client:
        return await client.post(PATH + name, json=body, headers=headers)


async def test_who_is_not_known_is_told_how_to_come() -> None:
    async with served() as (url, _):
        response = await call(url, "who", params="nobody")
        assert (response.status_code, response.headers["www-authenticate"]) == (401, CHALLENGE)
        stream = await request(url, "/actors/desk/events?key=k&params=%22nobody%22")
        assert (stream.status, stream.headers["www-authenticate"]) == (401, CHALLENGE)
    # A browser would ask its user for a password, for those that it knows.
    assert CHALLENGE.partition(" ")[0] not in ("Basic", "Digest", "Negotiate", "NTLM")


@pytest.mark.parametrize(
    ("wait_ms", "said"),
    [
        (0, "0"),
        (1, "1"),
        (1000, "1"),
        (1001, "2"),
        (1500.5, "2"),
        (-1, None),
        ("1", None),
        (True, None),
        (False, None),
    ],
)
async def test_when_to_try_again_is_said_in_whole_seconds(wait_ms: Any, said: str | None) -> None:
    async with served() as (url, _):
        response = await call(url, "later", wait_ms)
        assert (response.status_code, response.headers.get("retry-after")) == (503, said)
        assert response.json()["error"]["metadata"] == {"retry_after_ms": wait_ms}
        assert (await call(url, "closed")).headers["retry-after"] == "2"


async def test_errors_are_marked_as_those_of_this_server() -> None:
    """A proxy's may look the same."""
    async with served() as (url, _):
        failed = await call(url, "closed")
        unknown = await request(url, "/session/messages", method="POST", headers={"Ringcast-Session": "x"})
        lost = await request(url, "/nowhere")
        no_actor = await request(url, "/actors/nobody/events?key=k")
        foreign = await request(url, "/actors/desk/events?key=k", headers={"Origin": "http://other"})
        for response in (failed, unknown, lost, no_actor, foreign):
            assert response.headers["ringcast-error"] == "true"
        assert (foreign.status, unknown.status) == (403, 404)
        assert "ringcast-error" not in (await request(url, "/health")).headers


async def test_answers_to_calls_with_a_key_say_the_same_at_first_and_when_they_are_repeated() -> None:
    store = MemoryStore()
    for times in range(2):
        async with served(store) as (url, _):
            for again in range(2):
                waits = await call(url, "closed", **{KEY_HEADER: "one"})
                unknown = await call(url, "who", **{KEY_HEADER: "two"})
                for response in (waits, unknown):
                    assert (REPLAYED_HEADER in response.headers) == bool(times or again)
                    assert response.headers["ringcast-error"] == "true"
                assert (waits.status_code, waits.headers["retry-after"]) == (400, "2")
                assert (unknown.status_code, unknown.headers["www-authenticate"]) == (401, CHALLENGE)


async def test_an_actor_with_messagepack_only_has_no_event_streams() -> None:
    async with served() as (url, _):
        response = await EventSource(url, "/actors/camera/events?key=k").failed()
        assert (response.status, response.json["error"]["code"]) == (406, "encoding_refused")


async def test_a_head_is_that_of_a_get_as_far_as_nobody_is_asked() -> None:
    async with served() as (url, registry):
        for target, status in (
            ("/actors/desk/events?key=k", 200),
            ("/actors/nobody/events?key=k", 404),
            ("/actors/desk/events?key=k&params={", 400),
            ("/actors/camera/events?key=k", 406),
        ):
            head = await request(url, target, method="HEAD")
            got = await request(url, target)
            assert head.status == got.status == status
            assert head.headers["content-type"] == got.headers["content-type"]
            got.writer.close()
        # Not even to take up a session by its name.
        source = EventSource(url, "/actors/desk/events?key=k&session_name=page")
        [_, answer] = (await source.next("connected")).json
        cookie = "; ".join(f"{name}={value}" for name, value in source.cookies.items())
        await request(url, source.target, method="HEAD", headers={"Cookie": cookie})
        assert answer["session"] in registry.router.gateway.sessions
        await source.close()
