"""Answers that nobody can read, or need not: what a status says counts, and no caller waits for the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ringcast import Client
from ringcast.errors import (
    ConnectionRefused,
    Forbidden,
    InternalError,
    MessageTooBig,
    OutcomeUnknown,
    ReplyTooLarge,
    RingcastError,
    Unauthorized,
)
from ringcast.testing import eventually

from .refusing import IMPATIENT, Proxy, Refuse, desk, posted, refused

MARK = "Ringcast-Error: true"
STATUSES: list[tuple[str, type[RingcastError]]] = [
    ("400 X", InternalError),
    ("401 X", Unauthorized),
    ("403 X", Forbidden),
    ("413 X", MessageTooBig),
]
of_statuses = pytest.mark.parametrize(("status", "kind"), STATUSES)
SAID: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "page": (b"<html>", ()),
    "no code": (b'{"error":{"code":["a"]}}', ()),
    "empty code": (b'{"error":{"code":"","message":"m"}}', ()),
    "no object": (b"[]", ()),
    "compressed": (b"no gzip", ("Content-Encoding: gzip",)),
    "cut off": (b'{"error":', ("Content-Length: 1000",)),
    "closed for good": (b"<html>", ("Ringcast-Close: 4000",)),
}
WHOLE = {name: said for name, said in SAID.items() if name != "cut off"}
"""A call without a connection that is cut off is sent again, as it is where the network is lost."""
replaced = pytest.mark.parametrize(("page", "headers"), SAID.values(), ids=list(SAID))
replaced_whole = pytest.mark.parametrize(("page", "headers"), WHOLE.values(), ids=list(WHOLE))


def called(status: str) -> Refuse:
    return lambda line, _body: status if "/actions/" in line else None


def opened(status: str) -> Refuse:
    return lambda line, _body: status if "/events " in line else None


@of_statuses
@replaced
async def test_a_posted_call_fails_once(
    status: str, kind: type[RingcastError], page: bytes, headers: tuple[str, ...]
) -> None:
    async with desk() as (handle, proxy), handle.connect() as connection:
        id = connection.id
        proxy.refuse, proxy.page, proxy.headers = posted(status), page, (MARK, *headers)
        error = await refused(connection.note("a"))
        assert type(error) is kind and f"status {status[:3]}" in error.message
        assert len(proxy.refused) == 1
        proxy.refuse = lambda _line, _body: None
        assert await connection.noted() == 0
        assert (connection.status, connection.id) == ("connected", id)


@of_statuses
@replaced_whole
async def test_so_does_one_that_needs_no_connection(
    status: str, kind: type[RingcastError], page: bytes, headers: tuple[str, ...]
) -> None:
    async with desk() as (handle, proxy):
        proxy.refuse, proxy.page, proxy.headers = called(status), page, (MARK, *headers)
        error = await refused(handle.note("a"))
        assert type(error) is kind and f"status {status[:3]}" in error.message
        assert len(proxy.refused) == 1


async def test_one_that_is_cut_off_is_sent_again() -> None:
    async with desk() as (handle, proxy):
        page, headers = SAID["cut off"]
        proxy.refuse, proxy.page, proxy.headers = called("400 X"), page, (MARK, *headers)
        assert type(await refused(handle.note("a"))) is OutcomeUnknown
        assert len(proxy.refused) == IMPATIENT.max_call_attempts


@pytest.mark.parametrize(
    ("status", "code"), [("401 X", "unauthorized"), ("403 X", "forbidden"), ("413 X", "message_too_big")]
)
@replaced
async def test_a_connect_is_refused_for_good(
    status: str, code: str, page: bytes, headers: tuple[str, ...]
) -> None:
    async with desk() as (handle, proxy):
        proxy.refuse, proxy.page, proxy.headers = opened(status), page, (MARK, *headers)
        connection = handle.connect()
        with pytest.raises(ConnectionRefused, match=f"status {status[:3]}") as ended:
            await connection.ready()
        assert (ended.value.code, len(proxy.refused)) == (code, 1)


@replaced
async def test_or_it_is_tried_again(page: bytes, headers: tuple[str, ...]) -> None:
    async with desk() as (handle, proxy):
        proxy.refuse, proxy.page, proxy.headers = opened("400 X"), page, (MARK, *headers)
        connection = handle.connect()
        await eventually(lambda: len(proxy.refused) > 1)
        proxy.refuse = lambda _line, _body: None
        await connection.ready()
        await connection.close()


def slow(proxy: Proxy) -> None:
    """For longer than anybody waits."""
    proxy.page, proxy.pause_s = b" ", 0.02


def endless(proxy: Proxy) -> None:
    proxy.page, proxy.pause_s = b" " * 100_000, 0.0


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("say", [slow, endless])
async def test_no_end_of_a_refusal_is_waited_for(say: Callable[[Proxy], None], marked: bool) -> None:
    # Of the two, only one bounds what is marked.
    config = replace(IMPATIENT, http_timeout_s=0.5 if say is slow else 60.0, max_message_bytes=1_000_000)
    async with desk(config) as (handle, proxy), handle.connect() as connection:
        say(proxy)
        proxy.headers = (MARK,) if marked else ()
        proxy.refuse = posted("403 X")
        assert type(await refused(connection.note("a"))) is Forbidden
        assert connection.status == "connected"
        proxy.refuse = called("413 X")
        assert type(await refused(handle.note("a"))) is MessageTooBig
        proxy.refuse = opened("403 X")
        with pytest.raises(ConnectionRefused) as ended:
            await handle.connect().ready()
        assert ended.value.code == "forbidden"
        assert len(proxy.refused) == 3
        proxy.pause_s = None


async def test_nor_is_it_for_longer_than_connecting_may_take() -> None:
    config = replace(IMPATIENT, connect_timeout_s=4.0)
    assert config.http_timeout_s > config.connect_timeout_s
    async with desk(config) as (handle, proxy):
        slow(proxy)
        proxy.refuse, proxy.headers = opened("403 X"), (MARK,)
        with pytest.raises(ConnectionRefused) as ended:
            await handle.connect().ready()
        assert ended.value.code == "forbidden"
        proxy.pause_s = None


async def test_an_unmarked_one_in_no_coding_is_not_decoded() -> None:
    async with desk() as (handle, proxy), handle.connect() as connection:
        proxy.headers = ("Content-Encoding: gzip",)
        proxy.refuse = posted("413 X")
        assert type(await refused(connection.note("a"))) is MessageTooBig
        proxy.refuse = called("413 X")
        assert type(await refused(handle.note("a"))) is MessageTooBig
        assert len(proxy.refused) == 2


NO_ANSWERS = [
    b"{}",
    b"[]",
    b'{"actor_id":5,"key":null}',
    b'{"actor_id":"a","key":"k"}',
    b'{"actor_id":"a","key":[1]}',
    b'{"value":1,"actor_id":"a","key":[],"error":{"code":"a","message":"m"}}',
]


@pytest.mark.parametrize("page", NO_ANSWERS)
async def test_an_object_is_not_an_answer_yet(page: bytes) -> None:
    async with desk() as (handle, proxy):
        proxy.refuse, proxy.page = (lambda _line, _body: "200 OK"), page
        for call in (handle.note("a"), handle.resolve()):
            error = await refused(call)
            assert type(error) is InternalError and "status 200, not as Ringcast does" in error.message


@pytest.mark.parametrize("page", [b"<html>", b'{"value":1}', b'{"actor_id":"a","key":[]}'])
async def test_nor_is_what_says_that_it_is_an_error(page: bytes) -> None:
    async with desk() as (handle, proxy):
        proxy.refuse, proxy.page, proxy.headers = (lambda _line, _body: "200 OK"), page, (MARK,)
        for call in (handle.note("a"), handle.resolve()):
            error = await refused(call)
            assert type(error) is InternalError and "status 200, not as Ringcast does" in error.message
        connection = handle._client.desk.create("new").connect()
        errors: list[Exception] = []
        connection.on("error", errors.append)
        await eventually(lambda: type(connection.last_error) is InternalError)
        proxy.refuse = lambda _line, _body: None
        await connection.ready()
        assert errors == []


async def test_one_that_is_too_long_is_not_read_to_its_end() -> None:
    async with desk(replace(IMPATIENT, max_message_bytes=1000)) as (handle, proxy):
        proxy.refuse, proxy.page = (lambda _line, _body: "200 OK"), b'{"value":"%s"}' % (b"x" * 988)
        assert await handle.note("a") == "x" * 988
        endless(proxy)
        for call in (handle.note("a"), handle.resolve()):
            error = await refused(call)
            assert type(error) is ReplyTooLarge and "1000 bytes" in error.message
        assert len(proxy.refused) == 3
        proxy.pause_s = None


async def test_nor_is_one_in_no_coding() -> None:
    async with desk() as (handle, proxy):
        proxy.refuse, proxy.headers = (lambda _line, _body: "200 OK"), ("Content-Encoding: gzip",)
        assert type(await refused(handle.note("a"))) is InternalError


@pytest.mark.parametrize(
    "status", ["302 Found", "403 Forbidden", "405 Method Not Allowed", "502 Bad Gateway"]
)
async def test_a_close_that_a_proxy_refuses_is_not_waited_for(status: str) -> None:
    config = replace(IMPATIENT, close_timeout_s=1_000.0)
    async with desk(config) as (handle, proxy):
        connection: Any = handle.connect()
        await connection.ready()
        proxy.refuse = lambda line, _body: status if line.startswith("DELETE ") else None
        await connection.close()
        assert (connection.status, len(proxy.refused)) == ("closed", 1)


async def test_nor_is_what_it_says_of_it() -> None:
    config = replace(IMPATIENT, close_timeout_s=1_000.0)
    async with desk(config) as (handle, proxy):
        connection: Any = handle.connect()
        await connection.ready()
        slow(proxy)
        proxy.refuse = lambda line, _body: "405 X" if line.startswith("DELETE ") else None
        await connection.close()
        assert connection.status == "closed"
        proxy.pause_s = None


async def test_nor_is_what_stands_where_a_server_says_that_it_is_there() -> None:
    config = replace(IMPATIENT, connect_timeout_s=4.0)
    async with desk() as (handle, proxy), Client(handle._endpoint._base_url, config=config) as client:
        slow(proxy)
        proxy.refuse = lambda line, _body: "200 OK" if "/health" in line else "403 Forbidden"
        connection = client.desk.get_or_create("k").connect()
        # It is not taken for one behind a proxy that refuses WebSockets alone.
        with pytest.raises(ConnectionRefused, match="403") as ended:
            await connection.ready()
        assert ended.value.code == "forbidden"
        proxy.pause_s = None
