"""Actors in an application of FastAPI's, run by servers of others and by ours: a client gets what it always
gets."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Literal

import httpx
import orjson
import pytest
import websockets
from hosting import SERVERS, Hosted, complaints, running
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from ringcast import Client
from ringcast.client import ClientConfig, EventStream
from ringcast.errors import may_come_back
from ringcast.testing import NetworkProxy, eventually
from ringcast.wire.protocol import Gap

JSON = "ringcast.v1.json"
SOON = ClientConfig(reconnect_first_s=0.01, reconnect_base_s=0.01, reconnect_max_s=0.05)


Carrier = Literal["websocket", "sse"]
Encoding = Literal["json", "msgpack"]
CARRIED: list[tuple[Carrier, Encoding]] = [("websocket", "json"), ("websocket", "msgpack"), ("sse", "json")]


@contextlib.asynccontextmanager
async def _within(seconds: float = 30) -> Any:
    async with asyncio.timeout(seconds):
        yield


async def numbers(heard: EventStream, end: int) -> list[int]:
    """Return what is heard up to a number."""
    found: list[int] = []
    async for number in heard:
        found.append(number)
        if number == end:
            return found
    raise AssertionError(f"the connection ended after {found}")


@contextlib.asynccontextmanager
async def raw(hosted: Hosted, *subprotocols: str, key: str = "main") -> Any:
    """Open a WebSocket, and connect to the room as a client of another make would."""
    url = hosted.url.replace("http", "ws") + "/connect"
    offered = [Subprotocol(name) for name in subprotocols]
    async with connect(url, subprotocols=offered, compression=None) as socket:
        message = ["connect", {"actor": "room", "key": [key], "subscriptions": ["number", "said"]}]
        await socket.send(orjson.dumps(message).decode())
        assert orjson.loads(await socket.recv())[0] == "connected"
        yield socket


async def closed_with(socket: ClientConnection) -> int | None:
    """Read until the server closes; return the code."""
    with contextlib.suppress(websockets.ConnectionClosed):
        while True:
            await socket.recv()
    return socket.close_code


@pytest.mark.parametrize(("carrier", "encoding"), CARRIED)
async def test_calls_events_and_routes_of_the_host(
    hosted: Hosted, carrier: Carrier, encoding: Encoding
) -> None:
    async with (
        _within(),
        Client(hosted.url, encoding=encoding, transport=carrier) as client,
        httpx.AsyncClient() as http,
    ):
        room = client.get_or_create("room", ["main"])
        assert await room.say("without a connection") == "without a connection"
        async with room.connect() as connection:
            said = connection.stream("said")
            await connection.ready()
            assert await connection.say("größe 😀") == "größe 😀"
            assert await anext(said) == "größe 😀"
            answer = await http.post(f"{hosted.host_url}/announce", params={"text": "from a route"})
            assert answer.json() == {"said": "from a route"}
            assert await anext(said) == "from a route"
            health = (await http.get(f"{hosted.url}/health")).json()
            assert health["status"] == "ok" and health["connections"] >= 1


@pytest.mark.parametrize("carrier", ["websocket", "sse"])
async def test_many_events_are_few_messages(hosted: Hosted, carrier: Carrier) -> None:
    async with _within(), Client(hosted.url, transport=carrier) as client:
        room = client.get_or_create("room", ["main"])
        async with room.connect() as connection:
            heard = connection.stream("number")
            before = await room.sends()
            await connection.count_to(5000, 100)
            assert await numbers(heard, 5000) == list(range(1, 5001))
            # One for each sweep, which has more than one event. Our own server sends none: the core writes.
            assert await room.sends() - before <= (0 if hosted.name == "ringcast" else 2500)


async def test_a_client_that_takes_one_message_at_a_time(hosted: Hosted) -> None:
    async with _within(), raw(hosted, JSON) as socket:
        assert socket.subprotocol == JSON
        await socket.send('["call",1,"countTo",[200,200]]')
        messages = [orjson.loads(await socket.recv()) for _ in range(201)]
        assert [message[4] for message in messages[:-1]] == [[number] for number in range(1, 201)]
        assert messages[-1] == ["reply", 1, None]


async def test_a_client_that_takes_lines(hosted: Hosted) -> None:
    async with _within(), raw(hosted, JSON, f"{JSON}.batched") as socket:
        # Frames of our own server's are written together, and need no lines.
        assert socket.subprotocol == (JSON if hosted.name == "ringcast" else f"{JSON}.batched")
        await socket.send('["call",1,"countTo",[200,200]]')
        lines: list[Any] = []
        while len(lines) < 201:
            text = await socket.recv()
            assert isinstance(text, str)
            lines.extend(orjson.loads(line) for line in text.split("\n"))
        assert [line[4] for line in lines[:-1]] == [[number] for number in range(1, 201)]


@pytest.mark.parametrize("carrier", ["websocket", "sse"])
async def test_a_lost_network_and_the_replay(hosted: Hosted, carrier: Carrier) -> None:
    async with (
        _within(),
        NetworkProxy("127.0.0.1", hosted.port) as network,
        Client(f"{network.url}/realtime", config=SOON, transport=carrier) as client,
        Client(hosted.url) as other,
    ):
        room = client.get_or_create("room", ["main"])
        async with room.connect() as connection:
            replayed: asyncio.Queue[int] = asyncio.Queue()
            connection.on("replayed", replayed.put_nowait)
            heard = connection.stream("number")
            await connection.say("behind the subscription")
            first = connection.id
            network.cut()
            await other.get_or_create("room", ["main"]).count_to(100, 10)
            network.restore()
            assert await numbers(heard, 100) == list(range(1, 101))
            assert await replayed.get() == 100
            assert connection.id == first


@pytest.mark.parametrize("carrier", ["websocket", "sse"])
async def test_a_reader_that_is_too_slow_is_told_what_it_lost(hosted: Hosted, carrier: Carrier) -> None:
    async with (
        _within(60),
        NetworkProxy("127.0.0.1", hosted.port, buffer_bytes=65_536) as network,
        Client(f"{network.url}/realtime", config=SOON, transport=carrier) as client,
        Client(hosted.url) as other,
    ):
        # Of its own, so that numbers are offsets.
        hall = other.get_or_create("hall", [carrier])
        async with client.get_or_create("hall", [carrier]).connect() as connection:
            gaps: asyncio.Queue[Gap] = asyncio.Queue()
            heard: list[int] = []
            last = asyncio.Event()

            def on_filled(number: int, _text: str) -> None:
                heard.append(number)
                if number == 301:
                    last.set()

            connection.on("filled", on_filled)
            connection.on("gap", gaps.put_nowait)
            await connection.fill(0, 0)
            network.stop_reading()
            await hall.fill(1, 301)
            network.restore()
            gap = await gaps.get()
            await hall.fill(301, 302)
            await last.wait()
            # Each event once and in order, but for those that the gap names.
            assert sorted(set(heard)) == heard
            assert gap.first is not None and gap.last is not None
            assert set(range(1, 302)) - set(heard) <= set(range(gap.first, gap.last + 1))


@pytest.mark.parametrize("name", SERVERS)
async def test_a_server_that_stops_tells_clients_to_come_back(name: str) -> None:
    with running(name) as hosted:
        async with _within(60), raw(hosted, JSON) as socket:
            closing = asyncio.create_task(closed_with(socket))
            ended = await asyncio.to_thread(hosted.stop)
            # Those servers have codes of their own: 1012, 1011, or no close frame at all.
            assert may_come_back(await closing)
        assert not complaints(ended), ended
        assert "the registry has stopped" in ended.out


async def test_what_is_refused_before_a_websocket_is_open(hosted: Hosted) -> None:
    url = hosted.url.replace("http", "ws")
    for path, subprotocol, statuses in [
        ("/connect", "chat", {400, 403}),
        ("/elsewhere", JSON, {404, 403}),
    ]:
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with connect(url + path, subprotocols=[Subprotocol(subprotocol)]):
                pass
        assert refused.value.response.status_code in statuses


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('["call"]', 4001),
        ("no JSON", 4001),
        ('["subscribe",1,"' + "x" * 65_536 + '"]', 1009),
        (b'["received",[]]', 1003),
    ],
    ids=["malformed", "no JSON", "too long", "bytes"],
)
async def test_bad_input_is_closed_with_the_code_that_says_why(
    hosted: Hosted, message: str | bytes, code: int
) -> None:
    async with _within(), raw(hosted, JSON) as socket:
        await socket.send(message)
        assert await closed_with(socket) == code


async def test_a_client_that_does_not_connect_in_time(hosted: Hosted) -> None:
    async with (
        _within(),
        connect(hosted.url.replace("http", "ws") + "/connect", subprotocols=[Subprotocol(JSON)]) as socket,
    ):
        assert await closed_with(socket) == 4501


async def test_bad_requests(hosted: Hosted) -> None:
    async with _within(), httpx.AsyncClient(base_url=hosted.url) as http:
        found = await http.post("/actors/nobody/actions/say", json={})
        assert (found.status_code, found.json()["error"]["code"]) == (404, "unknown_actor")
        unread = await http.post("/actors/room/actions/say", content="text")
        assert (unread.status_code, unread.json()["error"]["code"]) == (415, "unsupported_media_type")
        long = await http.post("/actors/room/actions/say", json={"args": ["x" * 70_000]})
        assert (long.status_code, long.json()["error"]["code"]) == (413, "message_too_big")
        upgrade = await http.get("/connect")
        assert upgrade.status_code == 426
        assert (await http.get("/elsewhere")).status_code == 404


async def test_a_client_that_says_goodbye_is_gone_at_once(hosted: Hosted) -> None:
    async with _within(), httpx.AsyncClient(base_url=hosted.url) as http:

        async def connections() -> int:
            return int((await http.get("/health")).json()["connections"])

        before = await connections()
        async with raw(hosted, JSON):
            assert await connections() == before + 1

        # Hypercorn says that the network was lost, whatever the client has said: its session waits.
        waiting = 1 if hosted.name == "hypercorn" else 0

        async def is_gone() -> bool:
            return await connections() == before + waiting

        await eventually(is_gone)


async def test_the_documents_name_the_path_below_which_the_actors_are(hosted: Hosted) -> None:
    below = httpx.URL(hosted.url).path
    assert below != "/"
    async with httpx.AsyncClient() as client:
        calls = (await client.get(f"{hosted.url}/openapi.json")).json()
        messages = (await client.get(f"{hosted.url}/asyncapi.json")).json()
    assert calls["servers"] == [{"url": below}]
    assert messages["channels"]["room"]["address"] == f"{below}/connect"
