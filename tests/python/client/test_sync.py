"""The client for code that is not async, against a real server in another thread; and as programs end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

import pytest

from ringcast import Actor, Context, SyncClient, UserError, action
from ringcast.errors import (
    ActorNotFound,
    ConnectionClosed,
    ConnectionFailure,
    NotConnected,
    Unauthorized,
    UnknownAction,
)

from .threaded import TIMEOUT_S, served


@dataclass
class Chat:
    lines: list[str] = field(default_factory=list)


class Room(Actor[Chat, None]):
    def on_before_connect(self, c: Context[Chat, None], params: Any) -> None:
        if params == "mallory":
            raise Unauthorized("sign in first")

    @action
    def say(self, c: Context[Chat, None], text: str) -> int:
        c.state.lines.append(text)
        c.broadcast("said", text)
        return len(c.state.lines)

    def on_disconnect(self, c: Context[Chat, None]) -> None:
        c.broadcast("left")

    @action
    def refuse(self, c: Context[Chat, None]) -> None:
        raise UserError("not today", code="closed", metadata={"until": 7})

    @action
    async def never(self, c: Context[Chat, None]) -> None:
        c.broadcast("waiting")
        await asyncio.Event().wait()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(Room) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[SyncClient]:
    with SyncClient(url) as client:
        yield client


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ringcast")]


def test_calls_without_a_connection(client: SyncClient, request: pytest.FixtureRequest) -> None:
    key = request.node.name
    room = client.room.get_or_create(key)
    assert room.say("hello") == 1
    assert client.get(Room, [key]).call("say", "again", timeout_s=TIMEOUT_S) == 2
    assert (room.actor_name, room.key, room.actor_id) == ("room", (key,), None)
    assert room.resolve() == room.actor_id
    assert client.get_for_id(Room, room.resolve()).say("by id") == 3
    assert client.create(Room, [key, "new"]).say("first") == 1


def test_errors_come_as_they_are(client: SyncClient) -> None:
    room = client.room.get_or_create("errors")
    with pytest.raises(UserError) as refused:
        room.refuse()
    assert (refused.value.code, refused.value.metadata) == ("closed", {"until": 7})
    with pytest.raises(UnknownAction):
        room.shout()
    with pytest.raises(ActorNotFound):
        client.room.get("never made").say("x")
    with pytest.raises(NotConnected):
        room.on("said", print)
    with pytest.raises(Unauthorized):
        client.room.get_or_create("errors", params="mallory").say("x")
    with pytest.raises(ValueError, match="128 characters"):
        client.get_or_create("x" * 200)
    with pytest.raises(ValueError, match="http"):
        SyncClient("ftp://here")
    with SyncClient("http://127.0.0.1:9") as nowhere, pytest.raises(ConnectionFailure):
        nowhere.room.get_or_create("errors").say("x")


def test_handlers_run_in_order_in_one_thread_and_may_call(client: SyncClient) -> None:
    heard: Queue[Any] = Queue()
    once: Queue[Any] = Queue()
    with client.room.get_or_create("handlers").connect() as connection:

        def on_said(text: str) -> None:
            heard.put((text, threading.current_thread().name))
            if text == "0":
                # It waits for the answer, which comes behind no other event.
                heard.put(connection.say("from the handler"))

        connection.on("said", on_said)
        connection.once("said", once.put)
        assert connection.status == "connected"
        assert [connection.say(str(number)) for number in range(3)]
        found = [heard.get(timeout=TIMEOUT_S) for _ in range(5)]
        texts = [each[0] for each in found if isinstance(each, tuple)]
        assert texts[0] == "0" and sorted(texts[1:]) == ["1", "2", "from the handler"]
        assert {each[1] for each in found if isinstance(each, tuple)} == {"ringcast handlers"}
        connection.off("said", on_said)
        end = connection.on("said", lambda text: heard.put(text.upper()))
        connection.say("a")
        assert heard.get(timeout=TIMEOUT_S) == "A"
        end()
        stream = connection.stream("said", timeout_s=TIMEOUT_S)
        connection.say("b")
        assert next(stream) == "b"
        assert heard.empty()
        assert (once.get(timeout=TIMEOUT_S), once.empty()) == ("0", True)


def test_a_handler_that_fails_is_told_to_those_who_listen(client: SyncClient) -> None:
    errors: Queue[BaseException] = Queue()

    def fail(text: str) -> None:
        if text == "exit":
            sys.exit(3)
        raise ValueError(text)

    with client.room.get_or_create("failing").connect() as connection:
        connection.on("error", errors.put)
        connection.on("said", fail)
        connection.say("oh")
        assert str(errors.get(timeout=TIMEOUT_S)) == "oh"
        connection.say("exit")
        assert isinstance(errors.get(timeout=TIMEOUT_S).__cause__, SystemExit)
        assert connection.say("it goes on") == 3


def test_iteration_over_events_with_a_timeout(client: SyncClient) -> None:
    with client.room.get_or_create("streams").connect() as connection:
        stream = connection.stream("said", timeout_s=0.05)
        with pytest.raises(TimeoutError):
            next(stream)
        connection.say("a")
        connection.say("b")
        assert stream.next(timeout_s=TIMEOUT_S) == "a"
        for text in stream:
            assert text == "b"
            break
        with pytest.raises(TimeoutError):
            for text in stream:
                pytest.fail(text)
        with connection.stream("said") as other:
            connection.say("c")
            assert next(other) == "c"
        with pytest.raises(StopIteration):
            next(other)
        assert stream.next() == "c"
    assert [*stream] == []


def test_the_life_of_a_connection(client: SyncClient) -> None:
    room = client.room.get_or_create("life")
    told: Queue[str] = Queue()
    given: list[str] = []

    def params() -> str:
        given.append(threading.current_thread().name)
        return room.call("say", "a function may use the client") and "ann"

    connection = room.connect(params)
    connection.on("connected", lambda: told.put("connected"))
    connection.ready(TIMEOUT_S)
    assert told.get(timeout=TIMEOUT_S) == "connected"
    assert connection.actor_id == room.resolve()
    assert connection.id and connection.position[0] and connection.snapshot is None
    assert (connection.duplicates, connection.last_error, given) == (0, None, ["ringcast parameters"])
    connection.close()
    connection.close()
    assert connection.status == "closed"
    with pytest.raises(ConnectionClosed):
        connection.say("x")
    with pytest.raises(Exception, match="sign in first"):
        room.connect("mallory").ready()
    with SyncClient("http://127.0.0.1:9") as nowhere, pytest.raises(TimeoutError):
        nowhere.room.get_or_create("life").connect().ready(0.05)


def test_from_several_threads(client: SyncClient) -> None:
    room = client.room.get_or_create("threads")
    results: Queue[int] = Queue()
    with room.connect() as connection:

        def work() -> None:
            for _ in range(20):
                results.put(room.say("x"))
                results.put(connection.say("x"))

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(TIMEOUT_S)
    assert sorted(results.queue) == list(range(1, 161))


async def test_where_a_loop_runs_already(url: str) -> None:
    with SyncClient(url) as client, client.room.get_or_create("notebook").connect() as connection:
        assert connection.say("from a notebook") == 1
        assert client.room.get("notebook").say("again") == 2


def test_it_is_closed_with_what_waits(url: str) -> None:
    before = len(threads())
    client = SyncClient(url)
    room = client.room.get_or_create("closed")
    connection = room.connect()
    connection.on("said", print)
    waiting = connection.stream("waiting")
    outcome: Queue[BaseException | str] = Queue()

    def work() -> None:
        try:
            connection.never()
        except Exception as error:
            outcome.put(error)

    worker = threading.Thread(target=work)
    worker.start()
    next(waiting)
    client.close()
    client.close()
    worker.join(TIMEOUT_S)
    assert getattr(outcome.get(timeout=TIMEOUT_S), "code", "") in ("outcome_unknown", "connection_closed")
    for use in (room.say, connection.say):
        with pytest.raises(ConnectionClosed):
            use("x")
    with pytest.raises(ConnectionClosed):
        room.connect()
    connection.close()
    assert len(threads()) == before


def test_where_waiting_would_never_end(client: SyncClient) -> None:
    errors: Queue[BaseException] = Queue()
    with client.room.get_or_create("async").connect() as connection:

        async def on_said(text: str) -> None:
            connection.say(text)

        connection.on("said", on_said)
        connection.on("error", errors.put)
        connection.say("x")
        assert isinstance(errors.get(timeout=TIMEOUT_S), RuntimeError)


# --- programs ---------------------------------------------------------------------------------------------

HEAD = """
import os, signal, sys, threading
from ringcast import SyncClient
client = SyncClient(sys.argv[1])
room = client.room.get_or_create("programs")
connection = room.connect()
connection.ready()
"""


def run(url: str, program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HEAD + program, url]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("program", "out"),
    [
        ("print('open')", "open"),
        ("client.close(); print('closed')", "closed"),
        ("connection.on('said', lambda _: threading.Event().wait()); room.say('x'); print('held')", "held"),
        (
            "def work():\n"
            "    try:\n"
            "        connection.never()\n"
            "    except Exception as error:\n"
            "        pass\n"
            "threading.Thread(target=work, daemon=True).start()\n"
            "print('waits')",
            "waits",
        ),
        ("threading.Thread(target=lambda: print(room.say('x') > 0)).start()", "True"),
    ],
)
def test_a_program_ends(url: str, program: str, out: str) -> None:
    done = run(url, program)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, out, "")


@pytest.mark.parametrize("last", ["pass", "del client, room, connection, leaving"])
def test_the_end_of_a_program_waits_until_it_is_closed(url: str, client: SyncClient, last: str) -> None:
    with client.room.get_or_create("leaving").connect() as watching:
        # A connection that is lost without a word leaves later than this: it might come back.
        left = watching.stream("left", timeout_s=TIMEOUT_S)
        done = run(
            url,
            f"""
from ringcast.client import background
background._AT_EXIT_S = {TIMEOUT_S}
leaving = client.room.get("leaving").connect()
leaving.ready()
{last}
""",
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert left.next() == ()


def test_ctrl_c_ends_a_wait(url: str) -> None:
    done = run(
        url,
        """
waiting = connection.stream("waiting")
def interrupt():
    next(waiting)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    connection.never()
except KeyboardInterrupt:
    print("interrupted", room.say("x") > 0)
""",
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "interrupted True", "")


def test_a_fork_is_told_to_make_its_own(url: str) -> None:
    done = run(
        url,
        """
child = os.fork()
if not child:
    try:
        room.say("x")
    except RuntimeError as error:
        print(error, flush=True)
    connection.close()
    client.close()
    with SyncClient(sys.argv[1]) as own:
        print(own.room.get_or_create("programs").say("x") > 0, flush=True)
    sys.exit(0)
_, status = os.waitpid(child, 0)
print(status, room.say("x") > 0)
""",
    )
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert "fork" in first
    assert (second, third) == ("True", "0 True")
