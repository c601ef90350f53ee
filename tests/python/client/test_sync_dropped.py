"""A `SyncClient` that nobody closes lives while somebody has a part of it, and no longer; what it keeps."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from queue import Queue
from typing import Any

import pytest

from ringcast import Actor, Context, SyncClient, action
from ringcast.client import ClientConfig, SyncConnection, background

from .threaded import TIMEOUT_S, served


class Room(Actor[None, None]):
    @action
    def say(self, c: Context[None, None], text: str) -> None:
        c.broadcast("said", text)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(Room) as url:
        yield url


@pytest.fixture
def before() -> set[threading.Thread]:
    gc.collect()
    return set(threading.enumerate())


def wait_for_the_end_of_new_threads(before: set[threading.Thread]) -> None:
    # A function that runs is kept by its thread: the one for parameters has given them, and just ends.
    for wanted in ("ringcast parameters", ""):
        for thread in set(threading.enumerate()) - before:
            if wanted in thread.name:
                thread.join(TIMEOUT_S)
                assert not thread.is_alive(), thread.name
        gc.collect()


def listen(connection: SyncConnection, handler: Callable[[str], Any]) -> None:
    """Wait until a first event has been handled."""
    heard: Queue[str] = Queue()
    connection.on("said", handler)
    # Runs when the other has ended, and knows nothing of the connection.
    connection.on("said", heard.put)
    connection.say("x")
    assert heard.get(timeout=TIMEOUT_S) == "x"


class Page:
    """What a user may make of a connection."""

    def __init__(self, url: str) -> None:
        self.client = SyncClient(url)
        self.connection = self.client.room.get_or_create("page").connect(self.params)
        self.heard: list[str] = []
        self.connection.on("disconnected", self.on_disconnected)
        listen(self.connection, self.on_said)

    def params(self) -> str:
        return self.client.room.get_or_create("other").resolve()

    def on_said(self, text: str) -> None:
        self.heard.append(text)

    async def on_disconnected(self) -> None:
        self.heard.clear()


def of_calls_alone(url: str) -> None:
    SyncClient(url).room.get_or_create("dropped").say("x")


def with_a_handler(url: str) -> None:
    listen(SyncClient(url).room.get_or_create("dropped").connect(), lambda text: None)


def with_a_handler_that_uses_its_connection(url: str) -> None:
    connection = SyncClient(url).room.get_or_create("dropped").connect()
    listen(connection, lambda text: connection.status)


def with_an_async_handler_that_uses_its_connection(url: str) -> None:
    connection = SyncClient(url).room.get_or_create("dropped").connect()

    async def on_said(text: str) -> None:
        assert connection.status

    connection.on("said", on_said)
    connection.ready(TIMEOUT_S)


def with_parameters_that_use_it(url: str) -> None:
    client = SyncClient(url)
    room = client.room.get_or_create("dropped", params=lambda: client.room.get_or_create("other").resolve())
    room.connect().ready(TIMEOUT_S)


def with_a_stream(url: str) -> None:
    connection = SyncClient(url).room.get_or_create("dropped").connect()
    stream = connection.stream("said")
    listen(connection, lambda text: stream.next())


@pytest.mark.parametrize(
    "use",
    [
        of_calls_alone,
        with_a_handler,
        with_a_handler_that_uses_its_connection,
        with_an_async_handler_that_uses_its_connection,
        with_parameters_that_use_it,
        with_a_stream,
        Page,
    ],
)
def test_one_that_is_dropped_ends_its_threads(
    url: str, before: set[threading.Thread], use: Callable[[str], Any]
) -> None:
    use(url)
    wait_for_the_end_of_new_threads(before)


def test_dropping_it_waits_for_nothing(
    url: str, before: set[threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "_AT_EXIT_S", TIMEOUT_S)
    going_on = threading.Event()
    begun = threading.Event()

    def on_said(text: str) -> None:
        begun.set()
        going_on.wait()

    # Its end waits for the handler.
    client = SyncClient(url, config=ClientConfig(close_timeout_s=TIMEOUT_S / 2))
    connection = client.room.get_or_create("dropped").connect()
    connection.on("said", on_said)
    connection.say("x")
    begun.wait(TIMEOUT_S)
    del client, connection
    gc.collect()
    names = [thread.name for thread in set(threading.enumerate()) - before]
    assert sorted(names) == ["ringcast client", "ringcast handlers"]
    going_on.set()
    wait_for_the_end_of_new_threads(before)


@pytest.mark.parametrize("part", ["client", "handle", "connection", "stream"])
def test_it_lives_while_somebody_has_a_part_of_it(url: str, part: str) -> None:
    heard: Queue[str] = Queue()

    def begin() -> Any:
        client = SyncClient(url)
        handle = client.room.get_or_create(part)
        connection = handle.connect()

        def on_said(text: str) -> None:
            heard.put(f"{text} {connection.status}")

        connection.on("said", on_said)
        connection.ready(TIMEOUT_S)
        parts = {"client": client, "handle": handle, "connection": connection}
        return parts.get(part) or connection.stream("said")

    held = begin()
    gc.collect()
    with SyncClient(url) as other:
        other.room.get(part).say("hello")
    assert heard.get(timeout=TIMEOUT_S) == "hello connected"
    del held


class Handler:
    def __init__(self, uses: Any) -> None:
        self.uses = uses

    def __call__(self, *args: Any) -> None:
        pass


def test_handlers_that_are_removed_are_let_go(url: str) -> None:
    with SyncClient(url) as client, client.room.get_or_create("removed").connect() as connection:
        stays, removed, once, ended = (Handler(connection) for _ in range(4))
        connection.on("said", stays)
        connection.on("said", removed)
        connection.once("said", once)
        end = connection.on("said", ended)
        kept = [weakref.ref(each) for each in (stays, removed, once, ended)]
        connection.off("said", removed)
        end()
        heard = connection.stream("said")
        connection.say("x")
        next(heard)
        # Handlers run one after the other: all of that event have ended.
        done = threading.Event()
        connection.once("said", lambda _: done.set())
        connection.say("y")
        assert done.wait(TIMEOUT_S)
        del stays, removed, once, ended, end
        gc.collect()
        assert [each() is not None for each in kept] == [True, False, False, False]


def test_handlers_of_a_connection_that_has_ended_are_let_go(url: str) -> None:
    with SyncClient(url) as client:
        connection = client.room.get_or_create("ended").connect()
        handler = Handler(connection)
        connection.on("said", handler)
        connection.ready(TIMEOUT_S)
        kept = weakref.ref(handler)
        connection.close()
        del connection, handler
        gc.collect()
        assert kept() is None


def test_one_that_is_closed_in_a_handler_ends_its_threads(url: str, before: set[threading.Thread]) -> None:
    client = SyncClient(url)
    connection = client.room.get_or_create("closed").connect()
    connection.ready(TIMEOUT_S)
    closed = threading.Event()

    def on_said(text: str) -> None:
        client.close()
        closed.set()

    connection.on("said", on_said)
    with SyncClient(url) as other:
        other.room.get("closed").say("x")
    assert closed.wait(TIMEOUT_S)
    wait_for_the_end_of_new_threads(before)
