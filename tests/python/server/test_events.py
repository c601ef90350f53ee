"""Server-sent events over real sockets: the stream and its format, coming back, messages into the session."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from certificates import Certificates
from event_source import EventSource, Parser, Response, request
from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, UserError, action
from ringcast.server.event_socket import bound_silence
from ringcast.server.events import COOKIE
from ringcast.server.serve import serving
from ringcast.server.tls import server_context
from ringcast.testing import NetworkProxy, eventually
from ringcast.wire.protocol import Connect

CONFIG = ServerConfig(heartbeat_s=0.2, dead_peer_timeout_s=5.0, close_timeout_s=0.5, shutdown_timeout_s=2.0)


class Room(Actor[None, Any]):
    """Says what it is told, and counts what it does."""

    def __init__(self) -> None:
        self.connects = 0
        self.said = 0

    def on_before_connect(self, c: Context[None, Any], params: Any) -> None:
        if params == "refuse":
            raise UserError("not you", code="not_welcome", metadata={"why": "because"})

    def create_conn_state(self, c: Context[None, Any], params: Any) -> Any:
        return params

    def on_connect(self, c: Context[None, Any]) -> None:
        self.connects += 1

    def can_subscribe(self, c: Context[None, Any], event: str) -> bool:
        return event != "secret"

    @action
    def say(self, c: Context[None, Any], text: str) -> int:
        self.said += 1
        c.broadcast("said", text)
        return self.said

    @action
    def whoami(self, c: Context[None, Any]) -> list[Any]:
        return [c.conn.id, c.conn.state]

    @action
    def dismiss(self, c: Context[None, Any], reason: str) -> None:
        c.conn.disconnect(reason)

    @action
    def fill(self, c: Context[None, Any], count: int, size: int) -> None:
        for number in range(count):
            c.broadcast("filled", number, "x" * size)


class KeptRoom(Room):
    """Goes on after a restart, with its sessions."""

    durable = True


class ShortRoom(Room, max_ring_events=4):
    """Retains little."""


class SkippingRoom(Room, max_ring_events=64, slow_reader="skip"):
    """Lets its slow readers skip."""


@pytest.fixture
def registry() -> Registry:
    return Registry(Room, ShortRoom, SkippingRoom, store=MemoryStore(), config=CONFIG)


@pytest.fixture
async def url(registry: Registry) -> AsyncIterator[str]:
    async with serving(registry) as url:
        yield url


def room(registry: Registry, actor: str = "room") -> Any:
    return registry.client.get_or_create(actor, ["a"])


def target(actor: str = "room", *more: str) -> str:
    return f"/actors/{actor}/events?" + "&".join(("key=a", "subscribe=said", *more))


async def post(url: str, token: str, *messages: Any, **headers: str) -> Response:
    given = {"Ringcast-Session": token, **{name.replace("_", "-"): value for name, value in headers.items()}}
    body = list(messages) if len(messages) > 1 else messages[0]
    return await request(url, "/session/messages", method="POST", headers=given, body=body)


async def connected(source: EventSource) -> dict[str, Any]:
    message = await source.next("connected")
    body: dict[str, Any] = message.json[1]
    assert message.last_event_id == f"{body['epoch']}:{body['offset']}"
    return body


def by_token(url: str, answer: dict[str, Any], last_event_id: str, at: str | None = None) -> Any:
    headers = {"Ringcast-Session": answer["session"], "Last-Event-ID": last_event_id}
    return request(url, at or target(), headers=headers)


async def first_message(response: Response) -> Any:
    """Return the first message of a stream, and close it."""
    parser, messages = Parser(), []
    assert response.status == 200
    while not messages:
        data = await response.reader.read(65_536)
        assert data, "the stream has ended"
        messages += parser.feed(data)
    response.writer.close()
    return messages[0].json


# --- the stream -------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
async def test_curl_is_shown_the_events_as_they_come_and_goes_on_from_the_last_one(
    url: str, registry: Registry
) -> None:
    async def curl(*options: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *("curl", "-sN", url + target(), *options), stdout=asyncio.subprocess.PIPE
        )

    async def line(of: asyncio.subprocess.Process, prefix: bytes) -> bytes:
        assert of.stdout is not None
        async with asyncio.timeout(20):
            while not (line := await of.stdout.readline()).startswith(prefix):
                assert line, "curl has ended"
        return line.removeprefix(prefix).strip()

    process = await curl()
    answer = orjson.loads(await line(process, b"data: "))[1]
    await room(registry).say("one")
    last_event_id = await line(process, b"id: ")
    assert orjson.loads(await line(process, b"data: "))[3:] == ["said", ["one"]]
    process.kill()
    await process.communicate()
    await room(registry).say("two")
    session, position = f"Ringcast-Session: {answer['session']}", f"Last-Event-ID: {last_event_id.decode()}"
    process = await curl("-H", session, "-H", position)
    again = orjson.loads(await line(process, b"data: "))[1]
    assert (again["connection"], again["replayed"]) == (answer["connection"], 1)
    assert orjson.loads(await line(process, b"data: "))[3:] == ["said", ["two"]]
    process.kill()
    await process.communicate()


NODE = ("node", "--experimental-eventsource", "--no-warnings", "-e")
SCRIPT = """
const source = new EventSource(process.argv[1]);
const say = (...said) => console.log(JSON.stringify(said));
source.onmessage = ({ data, lastEventId }) => say(JSON.parse(data), lastEventId);
source.onerror = () => say("error", source.readyState);
setInterval(() => {}, 1000);  // it does not keep the process alive while it waits
"""


def node_has_event_source() -> bool:
    if shutil.which("node") is None:
        return False
    tried = subprocess.run([*NODE, "new EventSource('http://x').close()"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.mark.skipif(not node_has_event_source(), reason="there is no node with an EventSource")
async def test_an_event_source_that_is_not_ours_reads_comes_back_and_stays_away_when_refused(
    url: str, registry: Registry
) -> None:
    async def node(address: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(*NODE, SCRIPT, address, stdout=asyncio.subprocess.PIPE)

    async def said(by: asyncio.subprocess.Process) -> Any:
        assert by.stdout is not None
        async with asyncio.timeout(20):
            return orjson.loads(await by.stdout.readline())

    host, _, port = url.removeprefix("http://").partition(":")
    async with NetworkProxy(host, int(port)) as network:
        process = await node(network.url + target())
        [[kind, answer], last_event_id] = await said(process)
        assert (kind, last_event_id) == ("connected", f"{answer['epoch']}:0")
        await room(registry).say("größe")
        event = ["event", answer["stream"], 1, "said", ["größe"]]
        assert await said(process) == [event, f"{answer['epoch']}:1"]
        network.cut()
        network.restore()
        assert await said(process) == ["error", 0]  # it comes back
        message = await said(process)
        while message[0] == "error":
            message = await said(process)
        [[kind, again], _] = message
        # Its position came with it; a cookie, which it has none of, would have brought its session.
        assert (kind, again["gap"]) == ("connected", {"reason": "session_expired"})
        process.kill()
        await process.communicate()
    process = await node(url + target("room", "params=%22refuse%22"))
    assert await said(process) == ["error", 2]  # for good
    process.kill()
    await process.communicate()


async def test_the_head_says_that_nothing_is_to_be_kept_or_held_back(url: str) -> None:
    response = await request(url, target())
    assert response.status == 200
    number = response.headers.pop("ringcast-stream")
    assert number.isdigit()
    assert response.headers == {
        "content-type": "text/event-stream",
        "cache-control": "no-store",
        "x-accel-buffering": "no",
        "connection": "close",
    }
    response.writer.close()


async def test_the_stream_byte_by_byte(url: str, registry: Registry) -> None:
    response = await request(url, target())
    head = (await response.reader.readuntil(b"\n\n")).decode()
    assert head.startswith("retry: ") and 500 <= int(head[7:].strip()) <= 1000
    first = (await response.reader.readuntil(b"\n\n")).decode()
    position, data = first.split("\n", 1)
    answer = orjson.loads(data.removeprefix("data: "))[1]
    assert position == f"id: {answer['epoch']}:0"
    await room(registry).say("größe\r\n\u2028 😀")
    stream, epoch = answer["stream"], answer["epoch"]
    beat = f": heartbeat\nid: {epoch}:0\n\n".encode()
    event = await response.reader.readuntil(b"\n\n")
    while event == beat:
        event = await response.reader.readuntil(b"\n\n")
    assert event.decode() == (
        f'id: {epoch}:1\ndata: ["event",{stream},1,"said",["größe\\r\\n\u2028 😀"]]\n\n'
    )
    response.writer.close()


async def test_a_browser_gets_messages_with_their_positions(url: str, registry: Registry) -> None:
    source = EventSource(url, target("room", "params=" + quote('{"name":"ann"}'), "subscribe=secret"))
    answer = await connected(source)
    assert list(answer["refused_subscriptions"]) == ["secret"]
    for number, text in enumerate(("one", "two"), 1):
        await room(registry).say(text)
        message = await source.next()
        assert message.type == "message"
        assert message.json == ["event", answer["stream"], number, "said", [text]]
        assert message.last_event_id == f"{answer['epoch']}:{number}"
    response = await post(url, answer["session"], ["call", 1, "whoami", []])
    assert response.status == 204
    message = await source.next()
    assert message.json == ["reply", 1, [answer["connection"], {"name": "ann"}]]
    # A reply is no position.
    assert message.last_event_id == f"{answer['epoch']}:2"
    await source.close()


async def test_heartbeats_are_comments_and_move_the_position(url: str, registry: Registry) -> None:
    source = EventSource(url, target("room"))
    answer = await connected(source)
    await room(registry).fill(3, 1)  # nothing for this client

    async def until_there() -> None:
        async for message in source._iterator:
            raise AssertionError(f"{message} was dispatched")

    reading = asyncio.create_task(until_there())
    await eventually(lambda: source.last_event_id == f"{answer['epoch']}:3" or reading.done())
    assert not reading.done()
    assert " heartbeat" in source.comments
    reading.cancel()
    await asyncio.wait([reading])
    source.lose()


async def test_a_client_that_posts_its_connect_message_gets_heartbeats_as_messages(url: str) -> None:
    body = Connect("room", ("a",), subscriptions=("said",)).to_wire()[1]
    response = await request(url, "/actors/room/events", method="POST", body=body)
    assert response.status == 200
    parser, kinds = Parser(), []
    while "heartbeat" not in kinds:
        data = await response.reader.read(65_536)
        assert data
        kinds += [message.json[0] for message in parser.feed(data)]
    assert kinds == ["connected", "heartbeat"]
    assert parser.comments == []
    response.writer.close()


async def test_a_head_without_a_body_opens_nothing(url: str, registry: Registry) -> None:
    response = await request(url, target(), method="HEAD")
    assert (response.status, response.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    response.writer.close()
    assert registry.router.connections == 0


# --- coming back ------------------------------------------------------------------------------------------


async def test_nothing_missed_something_replayed_and_a_gap(url: str, registry: Registry) -> None:
    source = EventSource(url, target("shortRoom"))
    answer = await connected(source)
    at = target("shortRoom")
    start = f"{answer['epoch']}:0"
    await source.close()
    [kind, again] = await first_message(await by_token(url, answer, start, at))
    assert kind == "connected" and again["connection"] == answer["connection"]
    assert again["replayed"] == 0 and "gap" not in again
    for text in "abc":
        await room(registry, "short_room").say(text)
    [kind, again] = await first_message(await by_token(url, answer, start, at))
    assert again["replayed"] == 3 and "gap" not in again
    for text in "defg":
        await room(registry, "short_room").say(text)
    [kind, again] = await first_message(await by_token(url, answer, start, at))
    assert again["connection"] == answer["connection"]
    assert again["gap"] == {"reason": "ring_overflow", "first": 1, "last": 3}
    assert (again["offset"], again["replayed"]) == (3, 4)


async def test_a_browser_comes_back_to_its_session_by_itself(url: str, registry: Registry) -> None:
    source = EventSource(url, target("room", "session_name=first"))
    answer = await connected(source)
    assert list(source.cookies) == [COOKIE]
    await room(registry).say("one")
    await source.next("event")
    source.lose()
    await room(registry).say("two")
    again = await connected(source)
    assert (again["connection"], again["session"]) == (answer["connection"], answer["session"])
    assert again["replayed"] == 1 and "gap" not in again
    assert (await source.next()).json[4] == ["two"]
    await source.close()


async def test_what_was_subscribed_since_goes_on_when_a_browser_comes_back(
    url: str, registry: Registry
) -> None:
    source = EventSource(url, target("room", "session_name=first"))
    answer = await connected(source)
    await post(url, answer["session"], ["subscribe", 1, "filled"], ["unsubscribe", 2, "said"])
    assert [(await source.next("reply")).json for _ in range(2)] == [["reply", 1, None], ["reply", 2, None]]
    source.lose()
    await room(registry).say("nothing")
    await room(registry).fill(1, 1)
    again = await connected(source)
    assert again["replayed"] == 1
    assert (await source.next()).json[3:] == ["filled", [0, "x"]]
    await source.close()


async def test_a_durable_session_goes_on_after_a_restart_with_what_it_has_subscribed_since() -> None:
    store = MemoryStore()
    async with serving(Registry(KeptRoom, store=store, config=CONFIG)) as url:
        source = EventSource(url, target("keptRoom"))
        answer = await connected(source)
        await post(url, answer["session"], ["subscribe", 1, "filled"], ["call", 2, "fill", [1, 1]])
        await source.next("reply")
        await source.next("reply")
        await source.close()
    registry = Registry(KeptRoom, store=store, config=CONFIG)
    async with serving(registry) as url:
        position = f"{answer['epoch']}:0"
        [_, again] = await first_message(await by_token(url, answer, position, target("keptRoom")))
        assert (again["connection"], again["replayed"]) == (answer["connection"], 1)
        await room(registry, "kept_room").fill(1, 1)
        [_, again] = await first_message(await by_token(url, answer, position, target("keptRoom")))
        assert (again["connection"], again["replayed"]) == (answer["connection"], 2)


async def test_the_sessions_of_one_browser_are_told_apart_by_their_names(url: str) -> None:
    cookies: dict[str, str] = {}
    sources = [
        EventSource(url, target("room", f"session_name={name}"), cookies=cookies) for name in ("one", "two")
    ]
    answers = [await connected(source) for source in sources]
    assert len(cookies) == 1
    for source in sources:
        source.lose()
    again = [await connected(source) for source in sources]
    assert [each["connection"] for each in again] == [each["connection"] for each in answers]
    assert again[0]["connection"] != again[1]["connection"]
    # The name alone is nothing: without the cookie it is nobody's session.
    stranger = EventSource(url, target("room", "session_name=one"), last_event_id=sources[0].last_event_id)
    theirs = await connected(stranger)
    assert theirs["connection"] not in [each["connection"] for each in answers]
    assert theirs["gap"] == {"reason": "session_expired"}
    for source in (*sources, stranger):
        await source.close()


async def test_the_cookie_is_kept_from_scripts_and_other_sites(url: str) -> None:
    response = await request(url, target("room", "session_name=first"))
    name, *attributes = response.headers["set-cookie"].split("; ")
    assert name.startswith(f"{COOKIE}=") and len(name) > 32
    assert attributes == ["HttpOnly", "SameSite=Strict"]
    response.writer.close()
    response = await request(url, target("room", "session_name=next"), headers={"Cookie": name})
    assert response.status == 200 and "set-cookie" not in response.headers
    response.writer.close()


async def test_a_page_that_begins_again_leaves_nobody_behind(url: str, registry: Registry) -> None:
    cookies: dict[str, str] = {}
    first = EventSource(url, target("room", "session_name=first"), cookies=cookies)
    answer = await connected(first)
    again = EventSource(url, target("room", "session_name=first"), cookies=cookies)
    other = await connected(again)
    assert other["connection"] != answer["connection"] and "gap" not in other
    assert registry.router.connections == 1
    await first.close()
    await again.close()


async def test_without_a_session_a_position_begins_anew_and_says_what_is_lost(
    url: str, registry: Registry
) -> None:
    source = EventSource(url, target())
    answer = await connected(source)
    await room(registry).say("one")
    await source.next("event")
    source.lose()
    again = await connected(source)
    assert again["connection"] != answer["connection"]
    assert again["gap"] == {"reason": "session_expired"} and "replayed" not in again
    await source.close()
    elsewhere = EventSource(url, target("room", "last_event_id=another:7"))
    assert (await connected(elsewhere))["gap"] == {"reason": "epoch_changed"}
    await elsewhere.close()


async def test_the_header_says_more_than_the_address_about_the_position(url: str, registry: Registry) -> None:
    source = EventSource(url, target())
    answer = await connected(source)
    await room(registry).say("one")
    epoch = answer["epoch"]
    await source.close()
    session = {"Ringcast-Session": answer["session"]}
    at = target("room", f"last_event_id={epoch}:0")
    [_, again] = await first_message(await request(url, at, headers=session))
    assert (again["offset"], again["replayed"]) == (0, 1)
    response = await request(url, at, headers={**session, "Last-Event-ID": f"{epoch}:1"})
    [_, again] = await first_message(response)
    assert (again["offset"], again["replayed"]) == (1, 0)


async def test_a_session_goes_from_a_stream_to_a_websocket_and_back(url: str, registry: Registry) -> None:
    import websockets  # noqa: PLC0415

    source = EventSource(url, target())
    answer = await connected(source)
    await room(registry).say("one")
    await source.close()
    resume = {"session": answer["session"], "epoch": answer["epoch"], "offset": 0}
    body = {"actor": "room", "key": ["a"], "subscriptions": ["said"], "resume": resume}
    websocket_url = url.replace("http", "ws") + "/connect"
    async with websockets.connect(
        websocket_url, subprotocols=[websockets.Subprotocol("ringcast.v1.json")]
    ) as websocket:
        await websocket.send(orjson.dumps(["connect", body]).decode())
        again = orjson.loads(await websocket.recv())[1]
        assert (again["connection"], again["replayed"]) == (answer["connection"], 1)
        # Messages come over the socket that the session has.
        late = await post(url, answer["session"], ["call", 1, "say", ["no"]])
        assert (late.status, late.json["error"]["code"]) == (400, "not_connected")
        response = await by_token(url, answer, f"{answer['epoch']}:0")
        [_, again] = await first_message(response)
        assert (again["connection"], again["replayed"]) == (answer["connection"], 1)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await websocket.recv()
            await websocket.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4004
    assert room(registry) is not None


# --- messages into the session ----------------------------------------------------------------------------


async def test_what_is_sent_again_runs_once(url: str, registry: Registry) -> None:
    source = EventSource(url, target("room", "session_name=first"))
    answer = await connected(source)
    call = ["call", 1, "say", ["once"]]
    assert (await post(url, answer["session"], call)).status == 204
    assert (await source.next()).json[3:] == ["said", ["once"]]
    assert (await source.next()).json == ["reply", 1, 1]
    # Its client does not know whether it has arrived: over the same stream, and over the next.
    await post(url, answer["session"], call)
    assert (await source.next()).json == ["reply", 1, 1]
    source.lose()
    await connected(source)
    await post(url, answer["session"], call, ["call", 2, "say", ["twice"]])
    assert (await source.next()).json == ["reply", 1, 1]
    assert (await source.next()).json[3:] == ["said", ["twice"]]
    assert (await source.next()).json == ["reply", 2, 2]
    await source.close()


async def test_a_request_is_taken_whole_or_not_at_all(url: str, registry: Registry) -> None:
    source = EventSource(url, target())
    answer = await connected(source)
    call = ["call", 1, "say", ["no"]]
    refused = {
        "invalid_message": [["call", 2, "say"], ["connect", {"actor": "room"}], ["call", 0, "say", []], []],
        "unknown_message": [["shout", 1]],
    }
    for code, wrongs in refused.items():
        for wrong in wrongs:
            response = await post(url, answer["session"], call, wrong)
            assert (response.status, response.json["error"]["code"]) == (400, code), wrong
    # The stream goes on, and nothing has run.
    await post(url, answer["session"], ["call", 1, "say", ["yes"]])
    assert (await source.next()).json[3:] == ["said", ["yes"]]
    await source.close()


async def test_a_request_for_an_earlier_stream_comes_too_late(url: str) -> None:
    source = EventSource(url, target("room", "session_name=first"))
    answer = await connected(source)
    assert source.response is not None
    number = source.response.headers["ringcast-stream"]
    source.lose()
    await connected(source)
    late = await post(url, answer["session"], ["unsubscribe", 1, "said"], Ringcast_Stream=number)
    assert (late.status, late.json["error"]["code"]) == (400, "not_connected")
    number = source.response.headers["ringcast-stream"]
    assert (await post(url, answer["session"], ["received", []], Ringcast_Stream=number)).status == 204
    await source.close()


async def test_a_client_that_is_done_ends_its_session(url: str, registry: Registry) -> None:
    source = EventSource(url, target())
    answer = await connected(source)
    session = {"Ringcast-Session": answer["session"]}
    assert (await request(url, "/session", method="DELETE", headers=session)).status == 204
    assert (await source.next("close")).json == [1000, ""]
    assert registry.router.connections == 0
    response = await request(url, "/session", method="DELETE", headers=session)
    assert (response.status, response.json["error"]["code"]) == (404, "unknown_session")
    await source.close()


async def test_requests_wait_while_their_replies_are_not_read(registry: Registry) -> None:
    registry.config = replace(CONFIG, max_pending_messages=8)
    async with serving(registry) as url:
        source = EventSource(url, target())
        answer = await connected(source)
        calls = [["call", number, "say", [str(number)]] for number in range(1, 200)]
        parts = [calls[at : at + 20] for at in range(0, len(calls), 20)]
        responses = [await post(url, answer["session"], *part) for part in parts]
        assert [each.status for each in responses] == [204] * 10
        assert [(await source.next("reply")).json[2] for _ in calls] == list(range(1, 200))
        await source.close()


# --- what is refused --------------------------------------------------------------------------------------


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


# --- with TLS, and without a word -------------------------------------------------------------------------


async def test_the_same_through_tls(registry: Registry, certificates: Certificates) -> None:
    tls = server_context(str(certificates.certificate), str(certificates.key))
    async with serving(registry, tls=tls) as url:
        at = target("room", "session_name=first", "subscribe=filled")
        source = EventSource(url, at, tls=certificates.client_context())
        answer = await connected(source)
        assert source.response is not None
        assert source.response.headers["set-cookie"].endswith("; Secure")
        await room(registry).fill(200, 10_000)
        for number in range(200):
            assert (await source.next("event")).json[4] == [number, "x" * 10_000]
        source.lose()
        await room(registry).say("missed")
        again = await connected(source)
        assert (again["connection"], again["replayed"]) == (answer["connection"], 1)
        assert (await source.next("event")).json[4] == ["missed"]
        refused = EventSource(url, target("room", "params=%22refuse%22"), tls=source.tls)
        assert (await refused.failed()).status == 400
        closing = asyncio.create_task(source.next("close"))
        await asyncio.sleep(0)
    assert (await closing).json == [4500, ""]
    await source.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="a system without the option")
async def test_the_system_gives_up_a_client_that_acknowledges_nothing() -> None:
    with socket.socket() as sock:
        bound_silence(sock.fileno(), 5.0)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5000


async def test_who_speaks_the_protocol_has_to_say_something(registry: Registry) -> None:
    registry.config = replace(CONFIG, dead_peer_timeout_s=0.5)
    async with serving(registry) as url:
        source = EventSource(url, target())
        await connected(source)
        body = Connect("room", ("a",)).to_wire()[1]
        response = await request(url, "/actors/room/events", method="POST", body=body)
        await response.rest()  # it ends
        reading = asyncio.create_task(source.next("close"))
        await eventually(lambda: len(source.comments) > 5)
        assert source.opened == 1  # of a browser that is not asked
        reading.cancel()
        await asyncio.wait([reading])
        source.lose()


# --- ends -------------------------------------------------------------------------------------------------


async def test_a_client_that_is_gone_waits_its_window(registry: Registry) -> None:
    registry.config = replace(CONFIG, session_window_s=0.2)
    async with serving(registry) as url:
        source = EventSource(url, target())
        await connected(source)
        assert registry.router.connections == 1
        source.lose()
        await eventually(lambda: registry.router.connections == 0)
        await source.close()


async def test_a_server_that_stops_says_so_and_its_clients_come_back(registry: Registry) -> None:
    async with serving(registry) as url:
        source = EventSource(url, target())
        await connected(source)
        closing = asyncio.create_task(source.next("close"))
        await asyncio.sleep(0)
    assert (await closing).json == [4500, ""]
    assert source.ready_state == "open"  # at its end it would come back
    await source.close()


@pytest.mark.parametrize("actor", ["room", "skippingRoom"])
async def test_a_slow_reader_loses_its_stream_or_skips(url: str, registry: Registry, actor: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    async with NetworkProxy(host, int(port), buffer_bytes=4096) as network:
        source = EventSource(network.url, f"/actors/{actor}/events?key=a&subscribe=filled&session_name=slow")
        answer = await connected(source)
        network.stop_reading()
        for _ in range(4):
            await room(registry, actor).fill(64, 100_000)
        network.restore()
        if actor == "room":
            # If it takes too long until the socket takes anything, it ends without a word.
            message = await source.next()
            while message.json[0] == "event":
                message = await source.next()
            if message.type == "close":
                assert message.json == [4502, "slow_reader"]
                message = await source.next("connected")
            again = message.json[1]
            assert again["connection"] == answer["connection"]
            assert again["gap"]["reason"] == "ring_overflow"
        else:
            gap = await source.next("gap")
            assert gap.json[1]["reason"] == "ring_overflow"
            assert gap.last_event_id == f"{answer['epoch']}:{gap.json[1]['last']}"
        await source.close()
