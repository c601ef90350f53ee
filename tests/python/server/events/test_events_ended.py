"""How a stream of server-sent events ends: silence, a server that stops, clients that are gone or slow."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest
from streamed import CONFIG, connected, room, target

from event_source import EventSource, request
from ringcast import Registry
from ringcast.server.event_socket import bound_silence
from ringcast.server.serve import serving
from ringcast.testing import NetworkProxy, eventually
from ringcast.wire.protocol import Connect

LONGEST_S = 1e9
"""The longest time that a `ServerConfig` takes."""


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="a system without the option")
@pytest.mark.parametrize(("timeout_s", "timeout_ms"), [(5.0, 5000), (LONGEST_S, 2**31 - 1)])
async def test_the_system_gives_up_a_client_that_acknowledges_nothing(
    timeout_s: float, timeout_ms: int
) -> None:
    with socket.socket() as sock:
        bound_silence(sock.fileno(), timeout_s)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == timeout_ms


async def test_a_client_may_be_given_the_longest_time(registry: Registry) -> None:
    registry.config = replace(CONFIG, heartbeat_s=LONGEST_S / 10, dead_peer_timeout_s=LONGEST_S)
    async with serving(registry) as url:
        source = EventSource(url, target())
        await connected(source)
        source.lose()


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
