"""The stream of server-sent events: its head and its format, as others' programs read it, and through TLS."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from streamed import connected, post, room, target

from certificates import Certificates
from event_source import EventSource, Parser, request
from ringcast import Registry
from ringcast.server.serve import serving
from ringcast.server.tls import server_context
from ringcast.testing import NetworkProxy, eventually
from ringcast.wire.protocol import Connect


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
