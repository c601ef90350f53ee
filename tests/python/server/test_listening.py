"""What the server's sockets are like: those it listens on, of whatever family, and those that it accepts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
import uuid
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from descriptors import option_at_other_end, used_up
from loops import Run

from certificates import Certificates
from ringcast import Actor, MemoryStore, Registry, ServerConfig
from ringcast.server.serve import serving
from ringcast.server.tls import server_context

TIMEOUT_S: Final = 25
HEALTH: Final = b"GET /health HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n"
UPGRADE: Final = (
    b"GET /connect HTTP/1.1\r\nhost: here\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-protocol: ringcast.v1.json\r\n\r\n"
)

speaking_tls = pytest.mark.parametrize("speaks_tls", [False, True], ids=["plain", "tls"])


class Room(Actor):
    """Whom nobody asks for."""


def contexts(certificates: Certificates, speaks_tls: bool) -> tuple[ssl.SSLContext | None, dict[str, object]]:
    """Return what a server is given, and a client."""
    if not speaks_tls:
        return None, {}
    tls = server_context(str(certificates.certificate), str(certificates.key))
    return tls, {"ssl": certificates.client_context(), "server_hostname": "localhost"}


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):  # it may have been reset: closed as well
        await writer.wait_closed()


@speaking_tls
def test_with_the_last_descriptor_used_requests_are_answered(
    run: Run, certificates: Certificates, speaks_tls: bool
) -> None:
    async def scenario() -> None:
        tls, trust = contexts(certificates, speaks_tls)
        config = ServerConfig(dead_peer_timeout_s=77)
        async with (
            asyncio.timeout(TIMEOUT_S),
            serving(Registry(Room, store=MemoryStore(), config=config), tls=tls) as url,
        ):
            port = urlsplit(url).port
            reader, writer = await asyncio.open_connection("127.0.0.1", port, **trust)
            # Once a later one is answered, this one has been accepted.
            later, later_writer = await asyncio.open_connection("127.0.0.1", port, **trust)
            later_writer.write(HEALTH)
            assert (await later.read()).startswith(b"HTTP/1.1 200 ")
            await closed(later_writer)
            with used_up():
                writer.write(HEALTH.replace(b"connection: close\r\n", b""))
                assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
            if sys.platform == "linux":
                name = writer.get_extra_info("sockname")
                timeout_ms = option_at_other_end(name, socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
                assert timeout_ms == 77_000
            await closed(writer)

    run(scenario())


@speaking_tls
@pytest.mark.parametrize("is_passed", [False, True], ids=["its own", "passed"])
def test_nothing_waits_for_more_to_fill_a_packet(
    run: Run, certificates: Certificates, speaks_tls: bool, is_passed: bool
) -> None:
    async def scenario() -> None:
        tls, trust = contexts(certificates, speaks_tls)
        passed = None
        if is_passed:
            passed = [socket.socket(socket.AF_INET, socket.SOCK_STREAM)]
            passed[0].bind(("127.0.0.1", 0))
            passed[0].setblocking(False)
        registry = Registry(Room, store=MemoryStore())
        async with asyncio.timeout(TIMEOUT_S), serving(registry, sockets=passed, tls=tls) as url:
            reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port, **trust)
            writer.write(UPGRADE)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            name = writer.get_extra_info("sockname")
            assert option_at_other_end(name, socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            await closed(writer)

    run(scenario())


@speaking_tls
@pytest.mark.parametrize("is_abstract", [False, True], ids=["a path", "abstract"])
def test_a_unix_socket_is_served_and_its_address_says_which(
    run: Run, certificates: Certificates, tmp_path: Path, speaks_tls: bool, is_abstract: bool
) -> None:
    if is_abstract and sys.platform != "linux":
        pytest.skip("only Linux has abstract ones")
    name = uuid.uuid4().hex
    path = f"\0{name}" if is_abstract else str(tmp_path / "socket")

    async def scenario() -> None:
        tls, trust = contexts(certificates, speaks_tls)
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
        sock.setblocking(False)
        registry = Registry(Room, store=MemoryStore())
        async with asyncio.timeout(TIMEOUT_S), serving(registry, sockets=[sock], tls=tls) as address:
            assert address == (f"unix:@{name}" if is_abstract else f"unix:{path}")
            for request, status in ((HEALTH, b"200"), (UPGRADE, b"101")):
                client = socket.socket(socket.AF_UNIX)
                client.connect(path)  # uvloop itself does not connect to an abstract one
                client.setblocking(False)
                reader, writer = await asyncio.open_unix_connection(sock=client, **trust)
                writer.write(request)
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 " + status)
                await closed(writer)

    run(scenario())
