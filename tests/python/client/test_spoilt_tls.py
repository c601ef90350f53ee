"""A network that spoils what TLS protects: to a client that is one that is lost."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from certificates import Certificates
from ringcast import Client
from ringcast.errors import OutcomeUnknown
from ringcast.testing import eventually

from .refusing import IMPATIENT
from .test_event_stream import CONNECTED, END, NO_CONTENT, OPEN, POST, ScriptedHttp, response, stream

TIMEOUT_S = 20
CALL = "POST /actors/room/actions/say"


class Wire:
    """Passes on what comes, to a server and back, and can add to it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._clients: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.append(writer)
        back, forth = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._pass_on(reader, forth), self._pass_on(back, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # one side has gone
        finally:
            writer.close()

    def spoil(self) -> None:
        """Send what is no TLS over the latest socket."""
        self._clients[-1].write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4)


@asynccontextmanager
async def spoilt(directory: Path) -> AsyncIterator[tuple[ScriptedHttp, Wire, Client]]:
    """Give a server, the way there, and a client that trusts it."""
    certificates = Certificates.make(directory)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates.certificate, certificates.key)
    http = ScriptedHttp({OPEN: stream(CONNECTED), POST: NO_CONTENT, END: b"", CALL: b""})
    async with (
        asyncio.timeout(TIMEOUT_S),
        await asyncio.start_server(http.serve, "127.0.0.1", 0, ssl=tls) as server,
    ):
        wire = Wire(server.sockets[0].getsockname()[1])
        async with await asyncio.start_server(wire.serve, "127.0.0.1", 0) as near:
            url = f"https://localhost:{near.sockets[0].getsockname()[1]}"
            config = replace(IMPATIENT, close_timeout_s=1_000.0, ssl_context=certificates.client_context())
            async with Client(url, transport="sse", config=config) as client:
                yield http, wire, client
            for writer in http.writers:
                writer.transport.abort()


async def test_a_call_is_sent_again(tmp_path: Path) -> None:
    async with spoilt(tmp_path) as (http, wire, client):
        calling = asyncio.ensure_future(client.room.get_or_create("a").say())
        await eventually(lambda: len(http.asked(CALL)) == 1)
        http.answers[CALL] = response("200 OK", b'{"value":1}')
        wire.spoil()
        assert await calling == 1
        first, second = (request.headers["idempotency-key"] for request in http.asked(CALL))
        assert first == second


async def test_until_it_is_given_up(tmp_path: Path) -> None:
    async with spoilt(tmp_path) as (http, wire, client):
        calling = asyncio.ensure_future(client.room.get_or_create("a").say())
        for attempt in range(1, IMPATIENT.max_call_attempts + 1):
            await eventually(lambda so_many=attempt: len(http.asked(CALL)) == so_many)
            wire.spoil()
        with pytest.raises(OutcomeUnknown, match="once or not at all") as unknown:
            await calling
        assert isinstance(unknown.value.__cause__, ssl.SSLError)


async def test_a_close_is_not_waited_for(tmp_path: Path) -> None:
    async with spoilt(tmp_path) as (http, wire, client):
        connection = client.room.get_or_create("a").connect()
        await connection.ready()
        closing = asyncio.ensure_future(connection.close())
        await eventually(lambda: http.asked(END))
        wire.spoil()
        await closing
        assert connection.status == "closed"
