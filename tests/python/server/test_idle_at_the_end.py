"""Idle connections of HTTP, kept alive by clients that do not look at them: the end of the server waits for
none."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any, cast

import httpx
import pytest
from loops import Run

from certificates import Certificates
from ringcast import Actor, MemoryStore, Registry, ServerConfig
from ringcast.server.head import HeadProtocol
from ringcast.server.serve import serving
from ringcast.server.tls import server_context

REQUEST = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Nothing(Actor):
    pass


@pytest.mark.parametrize("speaks_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("has_asked", [False, True], ids=["new", "kept_alive"])
def test_is_closed_at_once(run: Run, certificates: Certificates, speaks_tls: bool, has_asked: bool) -> None:
    def opened(url: str) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), 20)
        if not speaks_tls:
            return sock
        trust = certificates.client_context()
        return trust.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)

    def asked(sock: socket.socket) -> None:
        sock.sendall(REQUEST)
        answer = b""
        while not answer.endswith(b"}"):
            answer += sock.recv(1000)
        assert answer.startswith(b"HTTP/1.1 200 ")

    async def scenario() -> None:
        # Whoever waits for the client waits for longer than `run` lets it.
        config = ServerConfig(close_timeout_s=40.0)
        tls: ssl.SSLContext | None = None
        if speaks_tls:
            tls = server_context(str(certificates.certificate), str(certificates.key))
        async with serving(Registry(Nothing, store=MemoryStore(), config=config), tls=tls) as url:
            sock = await asyncio.to_thread(opened, url)
            if has_asked:
                await asyncio.to_thread(asked, sock)
        with sock:
            # A clean end, also of TLS.
            assert await asyncio.to_thread(sock.recv, 1000) == b""

    run(scenario())


class GoneBeneath:
    """What a transport with TLS is for one turn of the loop, before it says that the connection is lost."""

    def close(self) -> None:
        pass

    def is_closing(self) -> bool:
        return True

    def get_extra_info(self, name: str) -> object:
        return object() if name == "sslcontext" else None

    def get_write_buffer_size(self) -> int:
        raise AttributeError("'NoneType' object has no attribute 'get_write_buffer_size'")


def test_one_whose_client_goes_at_that_moment_is_no_fault() -> None:
    protocol = HeadProtocol.__new__(HeadProtocol)
    protocol._parts, protocol.transport = cast(Any, object()), cast(Any, GoneBeneath())
    protocol.shutdown()


async def test_a_registry_is_ready_again_when_it_is_served_again() -> None:
    registry = Registry(Nothing, store=MemoryStore())
    for _ in range(2):
        async with serving(registry) as url, httpx.AsyncClient(base_url=url) as asking:
            assert (await asking.get("/ready")).status_code == 200
