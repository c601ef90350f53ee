"""What sending an event costs in Python: counted in steps and encodings, in the server's own process.

How long things take is for `benches/` to measure.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
from heard import Heard, eventually
from served import Carrier, Encoding

import programs
from conformance.raw_client import RawClient
from ringcast import Client

FEW, MANY = 10, 1000
TIMEOUT_S = 30.0
ROUNDS = 5


@contextmanager
def listeners(url: str, encoding: Encoding, key: list[str], count: int) -> Iterator[list[RawClient]]:
    """Connect so many sockets, each with a subscription, which cost this process nothing while they wait."""
    address = urlsplit(url)
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            raw = stack.enter_context(RawClient((address.hostname or "", address.port or 0), encoding))
            raw.send(raw.request_bytes())
            found.append(raw)
        for raw in found:
            assert raw.read_response().status == 101
            raw.send_message(["connect", {"actor": "meter", "key": key, "subscriptions": ["counted"]}])
        for raw in found:
            assert raw.read_message()[0] == "connected"
        yield found


class EventReader:
    """A client that reads server-sent events from a socket, no faster than it is asked to."""

    def __init__(self, url: str, key: list[str]) -> None:
        address = urlsplit(url)
        self._socket = socket.create_connection(
            (address.hostname or "", address.port or 0), timeout=TIMEOUT_S
        )
        self._file = self._socket.makefile("rb")
        query = urlencode([("subscribe", "counted"), *(("key", part) for part in key)])
        request = f"GET /actors/meter/events?{query} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n"
        self._socket.sendall(request.encode())

    def read_message(self) -> list[Any]:
        while not (line := self._file.readline()).startswith(b"data: "):
            assert line, "the stream has ended"
        message: list[Any] = orjson.loads(line.removeprefix(b"data: "))
        return message

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@contextmanager
def readers(url: str, encoding: Encoding, key: list[str], count: int) -> Iterator[list[EventReader]]:
    """Do as `listeners`, over server-sent events."""
    with ExitStack() as stack:
        found = [stack.enter_context(closing(EventReader(url, key))) for _ in range(count)]
        for reader in found:
            assert reader.read_message()[0] == "connected"
        yield found


CROWDS = {"websocket": listeners, "sse": readers}


async def work_of_broadcast(
    url: str, carrier: Carrier, encoding: Encoding, key: list[str], count: int
) -> list[int]:
    """Return the steps until `broadcast` returned, and until all `count` connections had been served.

    The fewest of some rounds: other work of the server's loop may fall into one of them.
    """
    async with Client(url) as client:
        meter = client.meter.get_or_create(key)
        with CROWDS[carrier](url, encoding, key, count) as found:
            rounds = [await meter.work_of_broadcast() for _ in range(ROUNDS)]
            for raw in found:
                for offset in range(1, ROUNDS + 1):
                    kind, _, *event = raw.read_message()
                    assert (kind, event) == ("event", [offset, "counted", [1]])
            # The measure does see a single step for each connection.
            assert await meter.work_of_selection() > count
    return [min(each) for each in zip(*rounds, strict=True)]


async def test_broadcast_adds_no_python_work_per_connection(
    server: programs.Server, carrier: Carrier, encoding: Encoding, key: list[str]
) -> None:
    few = await work_of_broadcast(server.url, carrier, encoding, [*key, "few"], FEW)
    many = await work_of_broadcast(server.url, carrier, encoding, [*key, "many"], MANY)
    assert many[0] == few[0] > 0
    # Waiting for the sweep takes some turns of the loop, more or fewer: less than a step for each connection.
    assert many[1] < few[1] + MANY


async def test_an_event_is_encoded_once_per_encoding_in_use(server: programs.Server, key: list[str]) -> None:
    async with Client(server.url) as text, Client(server.url, encoding="msgpack") as binary:
        meter = text.meter.get_or_create(key)
        assert await meter.encodings_of_broadcast(1) == 0, "nobody is there"

        readers = [text.meter.get_or_create(key).connect() for _ in range(10)]
        await asyncio.gather(*(each.ready() for each in readers))
        assert await meter.encodings_of_broadcast(2) == 1
        assert await meter.encodings_of_selection(3) == 1

        packed = [binary.meter.get_or_create(key).connect() for _ in range(10)]
        heard = [Heard(each, "weighed") for each in (*readers, *packed)]
        await asyncio.gather(*(each.ready() for each in packed))
        # Replies come behind subscriptions: from here on, all of them listen.
        await asyncio.gather(*(each.encodings_of_broadcast(4) for each in readers[1:] + packed))
        assert await meter.encodings_of_broadcast(5) == 2
        assert await meter.encodings_of_selection(6) == 2
        for each in heard:
            await each.until("weighed", 21)
            assert each.of("weighed")[-2:] == [{"number": 5}, {"number": 6}]

        await asyncio.gather(*(each.close() for each in readers))
        # Also where all clients take MessagePack it is written as JSON, which has to be able to carry it.
        assert await meter.encodings_of_broadcast(7) == 2
        await asyncio.gather(*(each.close() for each in packed))
        await eventually(lambda: meter.encodings_of_broadcast(8), 0)
