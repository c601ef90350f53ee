"""Sockets before their handshake of TLS: each has a place, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import httpx
import pytest
from descriptors import used_up
from loops import Run

from certificates import Certificates
from ringcast import Actor, MemoryStore, Registry, ServerConfig
from ringcast.server import head
from ringcast.server.guard import Guard
from ringcast.server.head import HeadProtocol
from ringcast.server.serve import serving
from ringcast.server.tls import server_context
from ringcast.server.tls_accepting import TlsServer
from ringcast.testing import eventually as soon

EVERYONE_COUNTS: dict[str, Any] = {"uncounted_networks": ()}
PATIENT: dict[str, Any] = {"connect_timeout_s": 60.0, "close_timeout_s": 60.0}
"""For longer than `run` lets a test last."""
ANYBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
# A thousand sockets take the kernel seconds where most ports still wait for the packets of earlier tests.
eventually = partial(soon, timeout_s=60.0)


class Nothing(Actor):
    pass


class Served:
    """A server that speaks TLS, and sockets to it that do not, or not for long."""

    def __init__(self, registry: Registry, url: str, trust: ssl.SSLContext) -> None:
        self.registry, self.url, self.trust = registry, url, trust
        self._open = ExitStack()

    @property
    def hit(self) -> dict[str, int]:
        return {limit: count for limit, count in self.registry.router.limits_hit.items() if count}

    @property
    def guard(self) -> Guard:
        found = (each for each in gc.get_objects() if type(each) is Guard)
        [guard] = (each for each in found if each.limits_hit is self.registry.router.limits_hit)
        return guard

    async def opened(self, address: str = "127.0.0.1") -> socket.socket:
        """Open a socket from an address, over which nothing is said."""
        sock = self._open.enter_context(socket.socket())
        sock.setblocking(False)
        sock.bind((address, 0))
        port = int(self.url.rpartition(":")[2])
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return sock

    async def ready(self, address: str = "127.0.0.1") -> httpx.Response:
        """Ask something, over a socket of its own."""
        transport = httpx.AsyncHTTPTransport(verify=self.trust, local_address=address)
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.get(f"{self.url}/ready")

    def close(self) -> None:
        self._open.close()


@asynccontextmanager
async def served(certificates: Certificates, **limits: Any) -> AsyncIterator[Served]:
    registry = Registry(Nothing, store=MemoryStore(), config=ServerConfig(**limits))
    tls = server_context(str(certificates.certificate), str(certificates.key))
    async with serving(registry, tls=tls) as url:
        server = Served(registry, url, certificates.client_context())
        try:
            yield server
        finally:
            server.close()


async def end_of(sock: socket.socket) -> bytes:
    """Read to the end of a socket, and close it."""
    data = b""
    with sock:
        try:
            while more := await asyncio.get_running_loop().sock_recv(sock, 10_000):
                data += more
        except ConnectionError:
            pass
    return data


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def hello() -> bytes:
    """Return the first message of a handshake."""
    sent = ssl.MemoryBIO()
    shaking = ANYBODY.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        shaking.do_handshake()
    return sent.read()


def test_silent_sockets_take_places_of_their_address(run: Run, certificates: Certificates) -> None:
    async def scenario() -> None:
        limits = {"max_connections_per_address": 3, **EVERYONE_COUNTS, **PATIENT}
        async with served(certificates, **limits) as server:
            silent = [await server.opened() for _ in range(3)]
            refused = await server.ready()
            assert refused.status_code == HTTPStatus.TOO_MANY_REQUESTS
            assert refused.json()["error"]["code"] == "too_many_connections"
            assert server.hit == {"max_connections_per_address": 1}
            # Somebody else is not hurt.
            assert (await server.ready("127.0.0.2")).status_code == HTTPStatus.OK
            silent.pop().close()
            guard = server.guard
            await eventually(lambda: guard.places.taken == 2)
            assert (await server.ready()).status_code == HTTPStatus.OK

    run(scenario())


def test_silent_sockets_take_places_of_all(run: Run, certificates: Certificates) -> None:
    async def scenario() -> None:
        async with served(certificates, max_connections=3, **PATIENT) as server:
            for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
                await server.opened(address)
            refused = await server.ready("127.0.0.4")
            assert refused.status_code == HTTPStatus.SERVICE_UNAVAILABLE
            assert refused.json()["error"]["code"] == "server_full"
            assert server.hit == {"max_connections": 1}

    run(scenario())


def test_those_of_a_proxy_take_none_of_its_address(run: Run, certificates: Certificates) -> None:
    async def scenario() -> None:
        limits = {"max_connections_per_address": 1, "trusted_proxies": ("127.0.0.1",), **EVERYONE_COUNTS}
        async with served(certificates, **limits, **PATIENT) as server:
            for _ in range(3):
                await server.opened()
            assert (await server.ready()).status_code == HTTPStatus.OK
            assert server.hit == {} and server.guard.places.taken >= 3

    run(scenario())


def test_a_flood_from_one_address_holds_no_more_than_its_places_and_hurts_nobody_else(
    run: Run, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(head, "MOST_TURNED_AWAY", 5)

    async def scenario() -> None:
        limits = {"max_connections_per_address": 10, **EVERYONE_COUNTS, **PATIENT}
        async with served(certificates, **limits) as server:
            # The first socket has the loop open a descriptor of its own.
            assert (await server.ready()).status_code == HTTPStatus.OK
            before = descriptors()
            staying = [await server.opened("127.0.0.66") for _ in range(10 + 5)]
            for _ in range(10):
                flood = [await server.opened("127.0.0.66") for _ in range(30)]
                assert (await server.ready()).status_code == HTTPStatus.OK
                assert await asyncio.gather(*map(end_of, flood)) == [b""] * 30
            assert server.hit == {"max_connections_per_address": 5 + 300}
            assert server.guard.turned_away == 5
            # Both ends of what stays: of a client that was answered, one end may still be there.
            await eventually(lambda: descriptors() <= before + 2 * len(staying))

    run(scenario())
    (message,) = {record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING}
    assert message.startswith("connections are turned away: there are too many connections from this address")


async def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def go(sock: socket.socket) -> None:
    sock.close()


async def speak_plainly(sock: socket.socket) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, b"GET /ready HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert b"HTTP" not in await end_of(sock)


async def begin_and_go(sock: socket.socket) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, hello()[:100])
    sock.close()


async def begin_and_reset(sock: socket.socket) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, hello())
    await asyncio.get_running_loop().sock_recv(sock, 1)  # the server's part of the handshake
    await reset(sock)


async def end_sending(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)
    await end_of(sock)


@pytest.mark.parametrize(
    "fail",
    [reset, go, speak_plainly, begin_and_go, begin_and_reset, end_sending],
    ids=lambda way: way.__name__,
)
def test_a_thousand_handshakes_that_fail_leave_nothing(
    run: Run,
    certificates: Certificates,
    fail: Callable[[socket.socket], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        # Room for half of each round: the others learn that there is none, or do not wait for it.
        async with served(certificates, max_connections=50, **PATIENT) as server:
            assert (await server.ready()).status_code == HTTPStatus.OK
            guard = server.guard
            await eventually(lambda: guard.places.taken == 0)
            before = descriptors()
            for _ in range(10):
                sockets = [await server.opened() for _ in range(100)]
                await asyncio.gather(*map(fail, sockets))

            async def is_free() -> bool:
                return (await server.ready()).status_code == HTTPStatus.OK

            # It was behind all of them in the queue: none is still to come.
            await eventually(is_free)
            await eventually(lambda: (guard.places.taken, guard.turned_away) == (0, 0))
            # Fewer where something of another test has been collected meanwhile.
            await eventually(lambda: descriptors() <= before)
            assert set(server.hit) <= {"max_connections"}

    run(scenario())
    assert {record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING} <= {
        "connections are turned away: the server has as many connections as it takes (max_connections)"
    }


def test_handshakes_that_time_out_are_counted_and_leave_nothing(
    run: Run, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with served(certificates, connect_timeout_s=0.1) as server:
            guard = server.guard
            # The first socket has the loop open a descriptor of its own.
            assert await end_of(await server.opened()) == b""
            await eventually(lambda: guard.places.taken == 0)
            before = descriptors()
            for _ in range(5):
                silent = [await server.opened() for _ in range(200)]
                assert await asyncio.gather(*map(end_of, silent)) == [b""] * 200
            await eventually(lambda: guard.places.taken == 0)
            await eventually(lambda: descriptors() <= before)
            assert server.hit == {"connect_timeout_s": 1001}

    run(scenario())
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_handshakes_under_way_are_dropped_when_the_server_stops(run: Run, certificates: Certificates) -> None:
    async def scenario() -> None:
        async with served(certificates, max_connections=10, **PATIENT) as server:
            guard = server.guard
            sockets = [socket.socket() for _ in range(20)]
            for sock in sockets:
                sock.setblocking(False)
                port = int(server.url.rpartition(":")[2])
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
            await eventually(lambda: guard.places.taken + guard.turned_away == 20)
        assert (guard.places.taken, guard.turned_away) == (0, 0)
        assert await asyncio.gather(*map(end_of, sockets)) == [b""] * 20

    run(scenario())


def test_a_handshake_that_is_dropped_before_it_begins(run: Run, certificates: Certificates) -> None:
    class Placed:
        """What has a place and no socket yet."""

        is_connected, taken = False, 0

        def take_place(self, address: str | None) -> bool:
            assert address == "127.0.0.1"
            self.taken += 1
            return True

        def leave_place(self) -> None:
            self.taken -= 1

    async def scenario() -> None:
        placed = Placed()
        registry = Registry(Nothing, store=MemoryStore())
        limits_hit = registry.router.limits_hit
        listening = socket.create_server(("127.0.0.1", 0))
        server = TlsServer(
            lambda: cast(HeadProtocol, placed),
            listening,
            server_context(str(certificates.certificate), str(certificates.key)),
            registry.config,
            limits_hit,
        )
        with socket.create_connection(listening.getsockname()) as sock:
            sock.setblocking(False)
            server.start(1)
            server._accept()  # before the loop has looked
            assert placed.taken == 1
            server.close()
            server.close()
            await server.wait_closed()
            assert placed.taken == 0
            assert await end_of(sock) == b""
        await server.wait_closed()

    run(scenario())


def test_where_descriptors_have_run_out_clients_wait_for_them(
    run: Run, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    failed = asyncio.Event()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            failed.set()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with served(certificates, **PATIENT) as server:
            assert (await server.ready()).status_code == HTTPStatus.OK
            with socket.socket() as sock:
                sock.setblocking(False)
                with used_up():
                    port = int(server.url.rpartition(":")[2])
                    await loop.sock_connect(sock, ("127.0.0.1", port))
                    await failed.wait()
                await loop.sock_sendall(sock, hello())
                assert await loop.sock_recv(sock, 1) == b"\x16", "the server's part of the handshake"
            assert (await server.ready()).status_code == HTTPStatus.OK

    heard = Heard(logging.WARNING)
    logger = logging.getLogger("ringcast.server")
    logger.addHandler(heard)
    try:
        run(scenario())
    finally:
        logger.removeHandler(heard)
    (record,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert record.getMessage() == f"connections have to wait: [Errno 24] {os.strerror(errno.EMFILE)}"
