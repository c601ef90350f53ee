"""What a proxy does not pass on to the server fails by itself, and is not sent again and again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from ringcast.errors import (
    ConnectionRefused,
    Forbidden,
    InternalError,
    MessageTooBig,
    RingcastError,
    SubscriptionRefused,
    Unauthorized,
)
from ringcast.testing import eventually

from .refusing import IMPATIENT, LIMIT, Refuse, come_back, desk, longer_than, posted, refused


async def test_a_call_that_is_too_long_for_a_proxy_fails_alone() -> None:
    async with desk() as (handle, proxy), handle.connect() as connection:
        id, events = connection.id, asyncio.Queue[int]()
        connection.on("noted", events.put_nowait)
        assert await connection.note("before") == 6
        proxy.refuse = longer_than(LIMIT)
        long, short = "x" * LIMIT, "y" * (LIMIT // 2)
        # In one request, of which the proxy does not say what is wrong with it.
        answers = await asyncio.gather(
            *map(connection.note, [short, long, short, "last"]), return_exceptions=True
        )
        error = answers.pop(1)
        assert answers == [LIMIT // 2, LIMIT // 2, 4]
        assert isinstance(error, MessageTooBig) and "413" in error.message
        assert [long.encode() in body for body in proxy.refused] == [True, True]
        assert [await events.get() for _ in range(4)] == [6, LIMIT // 2, LIMIT // 2, 4]
        assert (connection.status, connection.id, connection.last_error) == ("connected", id, None)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400 Bad Request", InternalError),
        ("401 Unauthorized", Unauthorized),
        ("403 Forbidden", Forbidden),
        ("413 Content Too Large", MessageTooBig),
        ("431 Headers Too Large", InternalError),
    ],
)
async def test_a_call_that_a_proxy_refuses_is_not_repeated(status: str, kind: type[RingcastError]) -> None:
    async with desk() as (handle, proxy), handle.connect() as connection:
        id = connection.id
        proxy.refuse = posted(status)
        error = await refused(connection.note("a"))
        assert type(error) is kind and status[:3] in error.message
        assert len(proxy.refused) == 1
        proxy.refuse = longer_than(LIMIT)
        assert await connection.noted() == 0
        assert (connection.status, connection.id) == ("connected", id)


@pytest.mark.parametrize(
    "page",
    [
        b'{"error":{"code":"unknown_session","message":"m"}}',
        b'{"error":{"code":"AccessDenied","message":"m"}}',
        b'{"error":{"code":403,"message":"m"}}',
        b'{"error":{"code":["a"],"message":"m"}}',
        b'{"error":"m"}',
        b"[]",
        b"",
    ],
)
@pytest.mark.parametrize(
    ("status", "kind"), [("400 X", InternalError), ("403 X", Forbidden), ("413 X", MessageTooBig)]
)
async def test_a_proxy_may_say_it_in_any_words(status: str, kind: type[RingcastError], page: bytes) -> None:
    async with desk() as (handle, proxy), handle.connect() as connection:
        id = connection.id
        proxy.refuse, proxy.page = posted(status), page
        error = await refused(connection.note("a"))
        assert type(error) is kind and status[:3] in error.message
        proxy.refuse = longer_than(LIMIT)
        assert await connection.noted() == 0
        assert (connection.status, connection.id) == ("connected", id)


async def test_one_that_was_refused_is_none_that_was_answered() -> None:
    """A server that is told of an answer that it has not given begins the session anew."""
    async with desk() as (handle, proxy), handle.connect() as connection:
        id, gaps = connection.id, list[Any]()
        connection.on("gap", gaps.append)
        proxy.refuse = posted("413 Content Too Large")
        assert isinstance(await refused(connection.note("a")), MessageTooBig)
        for _ in range(2):
            await come_back(connection, proxy)
        proxy.refuse = longer_than(LIMIT)
        assert await connection.note("b") == 1
        assert (connection.id, gaps) == (id, [])


@pytest.mark.parametrize(
    "status",
    [
        "404 Not Found",
        "408 Request Timeout",
        "421 Misdirected Request",
        "425 Too Early",
        "429 Too Many Requests",
        "502 Bad Gateway",
    ],
)
async def test_what_may_pass_is_sent_again(status: str) -> None:
    async with desk() as (handle, proxy), handle.connect() as connection:
        id = connection.id
        proxy.refuse = posted(status)
        calling = asyncio.ensure_future(connection.note("a"))
        await eventually(lambda: len(proxy.refused) > 2)
        proxy.refuse = longer_than(LIMIT)
        assert await calling == 1
        assert await connection.noted() == 1
        assert connection.id == id


def says_drop_table(_line: str, body: bytes) -> str | None:
    return "403 Forbidden" if b"drop table" in body else None


@pytest.mark.parametrize(
    ("text", "refuse", "code"),
    [("x" * LIMIT, longer_than(LIMIT), "message_too_big"), ("drop table", says_drop_table, "forbidden")],
    ids=["too long", "forbidden"],
)
async def test_a_subscription_that_a_proxy_refuses_is_in_no_connect_message(
    text: str, refuse: Refuse, code: str
) -> None:
    """Which would be refused like it, and for good."""
    async with desk() as (handle, proxy), handle.connect() as connection:
        id, errors = connection.id, asyncio.Queue[Any]()
        connection.on("error", errors.put_nowait)
        proxy.refuse = refuse
        connection.on("noted", lambda _length: None, where={"text": text})
        for _ in range(2):
            error = await errors.get()
            assert isinstance(error, SubscriptionRefused) and error.code == code
            assert await connection.note("a") == 1
            await come_back(connection, proxy)
        assert connection.id == id


async def test_a_call_that_waits_for_room_goes_when_one_is_refused() -> None:
    config = replace(IMPATIENT, max_unanswered_calls=1)
    async with desk(config) as (handle, proxy), handle.connect() as connection:
        proxy.refuse = longer_than(LIMIT)
        calls = [asyncio.ensure_future(connection.note(text)) for text in ("x" * LIMIT, "a")]
        assert isinstance(await refused(calls[0]), MessageTooBig)
        assert await calls[1] == 1


async def test_a_connect_that_is_too_long_for_a_proxy_is_refused_for_good() -> None:
    async with desk() as (handle, proxy):
        proxy.refuse = longer_than(LIMIT)
        connection = handle.connect(params={"token": "x" * LIMIT})
        with pytest.raises(ConnectionRefused, match="413") as refused:
            await connection.ready()
        assert refused.value.code == "message_too_big"
        assert len(proxy.refused) == 1


async def test_so_it_is_with_a_call_that_needs_no_connection() -> None:
    async with desk() as (handle, proxy):
        proxy.refuse = longer_than(LIMIT)
        assert isinstance(await refused(handle.note("x" * LIMIT)), MessageTooBig)
        assert len(proxy.refused) == 1
        proxy.refused.clear()
        kinds = {
            "400": InternalError,
            "401": Unauthorized,
            "403": Forbidden,
            "404": InternalError,
            "413": MessageTooBig,
        }
        for page in (
            proxy.page,
            b'{"error":{"code":403}}',
            b'{"error":{"code":"not_found"}}',
            b'{"error":"m"}',
        ):
            proxy.page = page
            for status, kind in kinds.items():
                proxy.refuse = longer_than(0, f"{status} X")
                error = await refused(handle.note("a"))
                assert type(error) is kind and status in error.message
        assert len(proxy.refused) == 4 * len(kinds)
