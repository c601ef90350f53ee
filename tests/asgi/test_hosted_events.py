"""Server-sent events of actors in an application of FastAPI's, run by servers of others and by ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
import websockets
from hosting import SERVERS, Hosted, complaints, running
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from blocking_proxy import BlockingProxy
from event_source import EventSource, Response, request
from ringcast import Client
from ringcast.errors import may_come_back
from ringcast.testing import eventually

PAGE = {"Origin": "https://app.example.com"}
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
async def room(hosted: Hosted, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """Give each test a room of its own, to call without a connection."""
    async with asyncio.timeout(60), Client(hosted.url) as client:
        yield client.get_or_create("room", [request.node.name[:60]])


def target(room: Any, *more: str, actor: str = "room") -> str:
    query = "&".join((f"key={quote(room.key[0])}", "subscribe=said", *more))
    return f"/realtime/actors/{actor}/events?{query}"


async def connected(source: EventSource) -> dict[str, Any]:
    answer: dict[str, Any] = (await source.next("connected")).json[1]
    return answer


async def post(hosted: Hosted, token: str, *messages: Any) -> Response:
    headers = {"Ringcast-Session": token}
    return await request(
        hosted.host_url, "/realtime/session/messages", method="POST", headers=headers, body=list(messages)
    )


async def test_the_head_says_that_nothing_is_to_be_kept_or_held_back(hosted: Hosted, room: Any) -> None:
    response = await request(hosted.host_url, target(room), headers=STREAM)
    assert response.status == 200
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["ringcast-stream"].isdigit()
    assert (await response.part()).startswith(b"retry: ")
    response.writer.close()


async def test_messages_have_positions_and_calls_go_into_the_same_session(hosted: Hosted, room: Any) -> None:
    source = EventSource(hosted.host_url, target(room))
    answer = await connected(source)
    await room.say("größe 😀")
    message = await source.next()
    assert message.json == ["event", answer["stream"], 1, "said", ["größe 😀"]]
    assert message.last_event_id == f"{answer['epoch']}:1"
    messages = (["subscribe", 1, "number"], ["call", 2, "countTo", [2, 1]])
    assert (await post(hosted, answer["session"], *messages)).status == 204
    assert [(await source.next()).json[0] for _ in range(4)] == ["reply", "event", "event", "reply"]
    await source.close()


async def test_heartbeats_are_comments_and_move_the_position(hosted: Hosted, room: Any) -> None:
    source = EventSource(hosted.host_url, target(room))
    answer = await connected(source)
    await room.count_to(3, 3)  # nothing for this client
    reading = asyncio.create_task(anext(source._iterator))  # type: ignore[arg-type]
    await eventually(lambda: source.last_event_id == f"{answer['epoch']}:3" or reading.done())
    assert not reading.done()
    assert " heartbeat" in source.comments
    reading.cancel()
    await asyncio.wait([reading])
    source.lose()


async def test_nothing_missed_something_replayed_and_a_gap(hosted: Hosted, room: Any) -> None:
    source = EventSource(hosted.host_url, target(room))
    answer = await connected(source)
    start = f"{answer['epoch']}:0"
    await source.close()

    async def come_back(position: str) -> dict[str, Any]:
        headers = {"Ringcast-Session": answer["session"], "Last-Event-ID": position}
        response = await request(hosted.host_url, target(room), headers=headers)
        stream = EventSource(hosted.host_url, "", response=response, ready_state="open")
        async for message in stream._read():
            response.writer.close()
            again: dict[str, Any] = message.json[1]
            return again
        raise AssertionError("the stream has ended")

    again = await come_back(start)
    assert again["connection"] == answer["connection"]
    assert again["replayed"] == 0 and "gap" not in again
    for text in "abc":
        await room.say(text)
    again = await come_back(start)
    assert again["replayed"] == 3 and "gap" not in again
    again = await come_back("another:7")
    assert again["gap"] == {"reason": "epoch_changed"}


async def test_a_browser_comes_back_to_its_session_by_itself(hosted: Hosted, room: Any) -> None:
    source = EventSource(hosted.host_url, target(room, "session_name=first"))
    answer = await connected(source)
    await room.say("one")
    await source.next("event")
    source.lose()
    await room.say("two")
    again = await connected(source)
    assert (again["connection"], again["replayed"]) == (answer["connection"], 1)
    assert (await source.next()).json[4] == ["two"]
    await source.close()


async def test_a_filter_in_the_query(hosted: Hosted, room: Any) -> None:
    async with Client(hosted.url) as client:
        zone = client.get_or_create("zone", ["a"])
        asked = quote(orjson.dumps([["moved", {"zone": 2}]]).decode())
        source = EventSource(
            hosted.host_url, f"/realtime/actors/zone/events?key=a&subscriptions={asked}", hurry=False
        )
        answer = await connected(source)
        assert "refused_subscriptions" not in answer
        await zone.move(1, 1)
        await zone.move(2, 2)
        assert (await source.next("event")).json[4] == [{"number": 2, "zone": 2}]
        await source.close()


async def test_a_client_that_is_gone_is_noticed(hosted: Hosted, room: Any) -> None:
    sources = [EventSource(hosted.host_url, target(room)) for _ in range(3)]
    for source in sources:
        await connected(source)
    assert await room.listeners() == 3
    sources[0].lose()
    await sources[1].close()

    async def is_alone() -> bool:
        return bool(await room.listeners() == 1)

    await eventually(is_alone)
    await room.say("still here")
    assert (await sources[2].next()).json[4] == ["still here"]
    await sources[2].close()


async def test_a_session_that_is_ended_closes_its_stream_for_good(hosted: Hosted, room: Any) -> None:
    source = EventSource(hosted.host_url, target(room))
    answer = await connected(source)
    headers = {"Ringcast-Session": answer["session"]}
    ended = await request(hosted.host_url, "/realtime/session", method="DELETE", headers=headers)
    assert ended.status == 204
    assert (await source.next("close")).json[0] == 1000
    assert source.response is not None
    assert await source.response.part() == b""
    await source.close()


async def test_refusals_have_a_status_and_a_code(hosted: Hosted, room: Any) -> None:
    cases = [
        (target(room, actor="nobody"), {}, 404, "unknown_actor"),
        (target(room, "params={"), {}, 400, "invalid_message"),
        (target(room), {"Last-Event-ID": "7"}, 400, "invalid_message"),
        (target(room), {"Ringcast-Session": "x"}, 400, "invalid_message"),
        (target(room, actor="lobby"), {}, 401, "unauthorized"),
        (target(room), {"Origin": "https://evil.example"}, 403, "origin_not_allowed"),
        (target(room), {"Sec-Fetch-Site": "cross-site"}, 403, "origin_not_allowed"),
    ]
    for at, headers, status, code in cases:
        refused = await request(hosted.host_url, at, headers={**STREAM, **headers})
        assert (refused.status, refused.json["error"]["code"]) == (status, code), at
    refused = await request(hosted.host_url, target(room, actor="lobby"), headers=STREAM)
    assert 4000 <= int(refused.headers["ringcast-close"]) < 4500
    lost = await post(hosted, "nobody's", ["subscribe", 1, "said"])
    assert (lost.status, lost.json["error"]["code"]) == (404, "unknown_session")


async def test_a_page_of_a_listed_origin_may_read_a_stream_and_a_refusal(hosted: Hosted, room: Any) -> None:
    for at, status in ((target(room), 200), (target(room, actor="nobody"), 404)):
        response = await request(hosted.host_url, at, headers=PAGE)
        assert response.status == status
        assert response.headers["access-control-allow-origin"] == PAGE["Origin"]
        assert "ringcast-stream" in response.headers["access-control-expose-headers"]
        response.writer.close()


async def test_a_ticket_is_good_once(hosted: Hosted, room: Any) -> None:
    async with Client(hosted.url) as client:
        ticket = await client.get_or_create("till", "one").ticket("ann")
    at = target(room, f"ticket={ticket}", actor="lobby")
    statuses = []
    for _ in range(2):
        response = await request(hosted.host_url, at, headers=STREAM)
        statuses.append(response.status)
        response.writer.close()
    assert statuses == [200, 401]


async def test_the_client_falls_back_where_websockets_are_blocked(hosted: Hosted, room: Any) -> None:
    async with (
        BlockingProxy("127.0.0.1", hosted.port, "refuse") as proxy,
        Client(f"{proxy.url}/realtime") as client,
        client.get_or_create("room", room.key).connect() as connection,
    ):
        heard = connection.stream("said")
        await connection.ready()
        assert await connection.say("by another way") == "by another way"
        assert await anext(heard) == "by another way"
        assert proxy.upgrades > 0


@pytest.mark.parametrize("name", SERVERS)
async def test_where_there_is_no_place_a_client_is_told_when_to_come_back(name: str) -> None:
    with running(name, "crowded_app:app") as hosted:
        at = "/realtime/actors/room/events?key=a"
        first = EventSource(hosted.host_url, at)
        await connected(first)
        second = await request(hosted.host_url, at, headers=STREAM)
        body = await second.rest()
        assert second.status == 200 and b"server_full" in body and b"retry: 5000" in body
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with connect(
                f"{hosted.url.replace('http', 'ws')}/connect", subprotocols=[Subprotocol("ringcast.v1.json")]
            ):
                pass
        said = refused.value.response
        assert (said.status_code, said.headers["retry-after"]) == (503, "5")
        assert orjson.loads(said.body)["error"]["code"] == "server_full"
        await first.close()

        async def has_left() -> bool:
            async with httpx.AsyncClient() as http:
                probe = await http.post(f"{hosted.url}/actors/room/actions/listeners", json={"key": ["a"]})
                return bool(probe.json()["value"] == 0)

        await eventually(has_left)
        third = EventSource(hosted.host_url, at)
        await connected(third)
        await third.close()


async def test_a_stream_with_another_request_behind_it_ends_with_its_client(
    hosted: Hosted, room: Any
) -> None:
    if hosted.name == "uvicorn":
        pytest.skip("it tells only the last of several requests that their client is gone")
    reader, writer = await asyncio.open_connection("127.0.0.1", hosted.port)
    writer.write(f"GET {target(room)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    await reader.readuntil(b'"connected"')
    writer.write(b"GET /realtime/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert await room.listeners() == 1
    writer.transport.abort()

    async def is_gone() -> bool:
        return await room.listeners() == 0

    await eventually(is_gone)


@pytest.mark.parametrize("name", SERVERS)
async def test_a_server_that_stops_does_not_wait_for_a_stream_to_end(name: str) -> None:
    with running(name, patient=True) as hosted:
        source = EventSource(hosted.host_url, "/realtime/actors/room/events?key=a")
        await connected(source)
        stopping = asyncio.create_task(asyncio.to_thread(hosted.stop))
        if name in ("uvicorn", "granian", "ringcast"):  # hypercorn breaks it off
            code, _ = (await source.next("close")).json
            assert code == 4500 and may_come_back(code)
        ended = await stopping
        with contextlib.suppress(OSError):
            assert source.response is not None
            while await source.response.part():
                pass
        await source.close()
    assert not complaints(ended), ended
    assert "the registry has stopped" in ended.out
