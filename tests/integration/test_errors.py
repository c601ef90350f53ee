"""What goes wrong in one place stays there: handlers, actions, hooks, and clients that send nonsense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from heard import Heard, eventually
from served import HERE, OPTIONS, Carrier, Encoding

import programs
from conformance.raw_client import BINARY, TEXT, RawClient, frame
from ringcast import Client, UserError
from ringcast.errors import (
    ActorAlreadyExists,
    ActorNotFound,
    ConnectionRefused,
    EventNotJson,
    InternalError,
    InvalidEvent,
    ReservedName,
    SubscriptionRefused,
    UnknownAction,
    UnknownActor,
    UnknownEvent,
    ValidationError,
)

# --- handlers ---------------------------------------------------------------------------------------------


async def test_a_handler_that_raises_is_told_of_and_stops_nothing(client: Client, key: list[str]) -> None:
    connection = client.feed.get_or_create(key).connect()

    def fail_on_two(number: int) -> None:
        if number == 2:
            raise ValueError("two is too much")

    async def fail_on_three(number: int) -> None:
        await asyncio.sleep(0)
        if number == 3:
            raise LookupError("no three")

    connection.on("item", fail_on_two)
    connection.on("item", fail_on_three)
    heard = Heard(connection, "item", "error")
    async with connection:
        await connection.emit(4)
        await heard.until("item", 4)
        assert connection.status == "connected"
        assert heard.names == ["item", "item", "error", "item", "error", "item"]
        assert heard.of("item") == [1, 2, 3, 4]
        assert [str(error) for error in heard.of("error")] == ["two is too much", "no three"]


async def test_an_error_listener_that_raises_stops_nothing(client: Client, key: list[str]) -> None:
    connection = client.feed.get_or_create(key).connect()

    def fail(*_: object) -> None:
        raise RuntimeError("also broken")

    connection.on("error", fail)
    connection.on("item", fail)
    heard = Heard(connection, "item")
    async with connection:
        await connection.emit(3)
    assert heard.of("item") == [1, 2, 3]


# --- actions ----------------------------------------------------------------------------------------------


async def test_an_error_of_an_action_reaches_its_caller_as_it_is(client: Client, key: list[str]) -> None:
    room = client.chat_room.get_or_create(key)
    async with room.connect() as connection:
        for call in (connection.delete_message, room.delete_message):
            with pytest.raises(UserError, match="no such message") as caught:
                await call("9")
            assert (caught.value.code, caught.value.metadata) == ("no_such_message", {"id": "9"})


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (["send_message"], ValidationError, "user_id"),
        (["send_message", "ann"], ValidationError, "text"),
        (["send_message", "ann", {"not": "text"}], ValidationError, "text"),
        (["send_message", "ann", "hi", "more"], ValidationError, "takes"),
        (["shout", "hi"], UnknownAction, "shout"),
        (["on_connect"], UnknownAction, "on_connect"),
        (["__init__"], UnknownAction, "__init__"),
    ],
    ids=str,
)
async def test_a_call_that_cannot_be_made(
    client: Client, key: list[str], call: list[Any], error: type[Exception], named: str
) -> None:
    room = client.chat_room.get_or_create(key)
    async with room.connect() as connection:
        for caller in (connection, room):
            with pytest.raises(error, match=named):
                await caller.call(*call)
        assert await connection.history() == []


async def test_actors_that_cannot_be_had(client: Client, key: list[str]) -> None:
    await client.feed.create(key)
    with pytest.raises(ActorAlreadyExists):
        await client.feed.create(key)
    missing = {
        ActorNotFound: client.feed.get([*key, "missing"]),
        UnknownActor: client.nobody.get_or_create(key),
    }
    for error, handle in missing.items():
        with pytest.raises(error):
            await handle.add(1)
        with pytest.raises(ConnectionRefused) as refused:
            await handle.connect().ready()
        assert isinstance(refused.value.__cause__, error)
    assert await client.feed.get(key).add(1) == 1


# --- actors that raise ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tried() -> Iterator[programs.Server]:
    """Give a server whose actors raise; it still has to stop in order."""
    with programs.serve("actors:registry", *OPTIONS, cwd=HERE, faults=True) as server:
        yield server


@pytest.fixture
async def clumsy(tried: programs.Server, carrier: Carrier, encoding: Encoding) -> AsyncIterator[Client]:
    """Give a client of it; whatever the test did, neighbours of the actor were not disturbed."""
    async with Client(tried.url, encoding=encoding, transport=carrier) as client:
        neighbour = client.feed.get_or_create(["neighbour", carrier, encoding]).connect()
        heard = Heard(neighbour, "item", "disconnected", "gap")
        async with neighbour:
            await neighbour.emit(1)
            yield client
            await neighbour.emit(1)
            first, second = heard.of("item")
            assert second == first + 1
            assert heard.names == ["item", "item"]
        async with httpx.AsyncClient() as web:
            assert (await web.get(f"{tried.url}/health")).status_code == 200


@pytest.mark.parametrize(
    "call",
    [
        ["fail"],
        ["fail_later"],
        ["give_nonsense"],
        ["echo", "on_before_action_response"],
    ],
    ids=" ".join,
)
async def test_an_action_that_breaks(clumsy: Client, key: list[str], call: list[str]) -> None:
    handle = clumsy.clumsy.get_or_create(key, params={})
    async with handle.connect() as connection, handle.connect() as other:
        for caller in (connection, handle):
            with pytest.raises(InternalError) as caught:
                await caller.call(*call)
            assert caught.value.message == "internal error"
            assert caught.value.metadata is None
        assert await connection.echo(1) == 1
        assert await other.echo(2) == 2


async def test_a_background_task_that_breaks(clumsy: Client, key: list[str]) -> None:
    async with clumsy.clumsy.get_or_create(key).connect({}) as connection:
        await connection.fail_in_background()
        assert await connection.echo(1) == 1


async def test_a_broadcast_of_a_reserved_name(clumsy: Client, key: list[str]) -> None:
    async with clumsy.clumsy.get_or_create(key).connect({}) as connection:
        with pytest.raises(ReservedName, match="disconnected"):
            await connection.broadcast_reserved()
        assert connection.status == "connected"


async def test_an_event_that_cannot_be_written(clumsy: Client, key: list[str]) -> None:
    handle = clumsy.clumsy.get_or_create(key, params={})
    async with handle.connect() as connection, handle.connect() as other:
        for caller in (connection, handle):
            with pytest.raises(EventNotJson, match="nonsense"):
                await caller.broadcast_nonsense()
        assert await connection.echo(1) == 1
        assert await other.echo(2) == 2


async def test_an_event_that_its_actor_does_not_declare(clumsy: Client, key: list[str]) -> None:
    handle = clumsy.strict.get_or_create(key)
    connection = handle.connect()
    heard = Heard(connection, "placed")
    async with connection:
        for caller in (connection, handle):
            with pytest.raises(
                InvalidEvent, match=r"'placed' of Strict takes \(data: Place\); data\.x: "
            ) as caught:
                await caller.place("a secret")
            assert "a secret" not in caught.value.message
            with pytest.raises(UnknownEvent, match=r"no event 'plaecd' \(did you mean 'placed'\?\)"):
                await caller.misplace()
        await connection.place(1)
    assert heard.all == [("placed", {"x": 1})]


async def test_a_subscription_to_what_is_never_sent_is_refused(clumsy: Client, key: list[str]) -> None:
    connection = clumsy.strict.get_or_create(key).connect()
    heard = Heard(connection, "placed", "plaecd", "error")
    async with connection:
        connection.on("removed", pytest.fail)
        await heard.until("error", 2)
        assert connection.status == "connected"
        await connection.place(1)
        await heard.until("placed")
    early, late = heard.of("error")
    assert isinstance(early, SubscriptionRefused) and isinstance(early.__cause__, UnknownEvent)
    assert (early.code, late.code) == ("unknown_event", "unknown_event")
    assert "did you mean 'placed'" in early.message and "'removed'" in late.message
    assert heard.of("placed") == [{"x": 1}]


@pytest.mark.parametrize("hook", ["on_before_connect", "create_conn_state", "on_connect"])
async def test_a_hook_before_the_connection_that_breaks(clumsy: Client, key: list[str], hook: str) -> None:
    handle = clumsy.clumsy.get_or_create(key)
    async with handle.connect({}) as other:
        with pytest.raises(ConnectionRefused) as refused:
            await handle.connect({"break_in": hook}).ready()
        assert (refused.value.code, refused.value.message) == ("internal_error", "internal error")
        assert await other.echo(1) == 1
    async with handle.connect({}) as again:
        assert await again.echo(2) == 2


async def test_a_hook_behind_the_connection_that_breaks(clumsy: Client, key: list[str]) -> None:
    handle = clumsy.clumsy.get_or_create(key)
    async with handle.connect({}) as other:
        async with handle.connect({"break_in": "on_disconnect"}) as connection:
            assert await connection.echo(1) == 1
        assert await other.echo(2) == 2
        assert await other.change("on_state_change") is None
        assert await other.change("nowhere") is None
        assert await other.echo(3) == 3


async def test_a_hook_that_breaks_refuses_its_subscription_only(clumsy: Client, key: list[str]) -> None:
    connection = clumsy.clumsy.get_or_create(key).connect({})
    heard = Heard(connection, "error", "can_subscribe")
    async with connection:
        (error,) = await heard.until("error")
        assert isinstance(error, SubscriptionRefused)
        assert "secret" not in str(error)
        assert await connection.echo(1) == 1


async def test_an_actor_that_cannot_be_made(clumsy: Client, key: list[str]) -> None:
    for _ in range(2):
        broken = clumsy.clumsy.get_or_create(key, input="create_state", params={})
        with pytest.raises(InternalError):
            await broken.echo(1)
        with pytest.raises(ConnectionRefused) as refused:
            await broken.connect().ready()
        assert refused.value.code == "internal_error"
    assert await clumsy.clumsy.get_or_create(key, params={}).echo(1) == 1


# --- clients that send nonsense ---------------------------------------------------------------------------

Misdeed = Callable[[RawClient], int | None]
"""Does something wrong, and returns the close code that it gets; None when it leaves by itself."""


def _sends(code: int, payload: Any) -> Misdeed:
    def send(raw: RawClient) -> int:
        data = payload(raw) if callable(payload) else payload
        raw.send(frame(raw.data_opcode, data if isinstance(data, bytes) else raw.encode(data)))
        return code

    return send


def _sends_frame(code: int, make: Callable[[RawClient], bytes]) -> Misdeed:
    def send(raw: RawClient) -> int:
        raw.send(make(raw))
        return code

    return send


def _leaves_in_a_frame(raw: RawClient) -> None:
    raw.send(frame(raw.data_opcode, b"x" * 1000)[:500])
    raw.reset()


MISDEEDS: dict[str, Misdeed] = {
    "no message": _sends(4001, b"{"),
    "unknown kind": _sends(4001, ["dance", 1]),
    "call without arguments": _sends(4001, ["call", 1, "emit"]),
    "id of a wrong type": _sends(4001, ["call", "1", "emit", [1]]),
    "second connect": _sends(4001, ["connect", {"actor": "feed", "key": []}]),
    "oversized message": _sends(1009, ["call", 1, "emit", ["x" * 70_000]]),
    "wrong kind of frame": _sends_frame(1003, lambda raw: frame(TEXT + BINARY - raw.data_opcode, b"[]")),
    "unmasked frame": _sends_frame(1002, lambda raw: frame(raw.data_opcode, b"[]", mask=None)),
    "reserved bits": _sends_frame(1002, lambda raw: frame(raw.data_opcode, b"[]", rsv=4)),
    "unknown opcode": _sends_frame(1002, lambda raw: frame(5, b"[]")),
    "leaves inside a frame": _leaves_in_a_frame,
}


def _misbehave(url: str, encoding: Encoding, key: list[str], misdeed: Misdeed) -> None:
    """Connect to the same actor as everyone else, and do it."""
    address = urlsplit(url)
    with RawClient((address.hostname or "", address.port or 0), encoding) as raw:
        assert raw.upgrade().status == 101
        raw.send_message(["connect", {"actor": "feed", "key": key, "subscriptions": ["item"]}])
        assert raw.read_message()[0] == "connected"
        code = misdeed(raw)
        if code is None:
            return
        while (got := raw.read_frame()).opcode == raw.data_opcode:
            pass
        assert got.close_code == code, got


@pytest.mark.parametrize("name", MISDEEDS)
async def test_bad_input_harms_no_other_client(
    server: programs.Server, client: Client, encoding: Encoding, key: list[str], name: str
) -> None:
    feed = client.feed.get_or_create(key)
    good = [feed.connect() for _ in range(3)]
    heard = [Heard(each, "item", "disconnected", "gap", "error") for each in good]
    async with good[0], good[1], good[2]:
        sending = asyncio.create_task(feed.emit(300))
        await asyncio.gather(
            *(asyncio.to_thread(_misbehave, server.url, encoding, key, MISDEEDS[name]) for _ in range(3))
        )
        await sending
        await good[0].emit(1)
        for each in heard:
            assert await each.until("item", 301) == list(range(1, 302))
            assert set(each.names) == {"item"}
        assert await good[0].connects_so_far() == 6


async def test_invalid_utf8_harms_no_other_client(
    server: programs.Server, client: Client, key: list[str]
) -> None:
    feed = client.feed.get_or_create(key)
    async with feed.connect() as good:
        heard = Heard(good, "item", "disconnected")
        await asyncio.to_thread(
            _misbehave, server.url, "json", key, _sends_frame(1007, lambda raw: frame(TEXT, b'["\xff"]'))
        )
        await good.emit(2)
        assert heard.all == [("item", 1), ("item", 2)]


async def test_clients_that_vanish_leave_their_sessions_and_nothing_else(
    server: programs.Server, client: Client, encoding: Encoding, key: list[str]
) -> None:
    feed = client.feed.get_or_create(key)
    async with feed.connect() as good:
        await asyncio.gather(
            *(asyncio.to_thread(_misbehave, server.url, encoding, key, _leaves_in_a_frame) for _ in range(20))
        )

        async def here() -> list[bool]:
            return sorted(connected for _, connected in await feed.presence())

        await eventually(here, [False] * 20 + [True])
        assert await good.add(1) == 1
