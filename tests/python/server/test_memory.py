"""What a connection does not keep once it is open: many thousands of them only listen."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import httpx
import pytest
from loops import Run
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from ringcast import Actor, Client, Context, MemoryStore, Registry, action
from ringcast.errors import ConnectionRefused, Unauthorized
from ringcast.gateway.session import Session
from ringcast.server.head import HeadProtocol
from ringcast.server.serve import serving

PLAIN = (
    b"GET /connect?token=secret HTTP/1.1\r\nhost: here\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-protocol: ringcast.v1.json\r\n\r\n"
)
CONNECT = b'["connect",{"actor":"quiet","subscriptions":["tick"]}]'


class Quiet(Actor):
    pass


async def connected(port: int, request: bytes) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    assert b" 101 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    writer.write(bytes([0x81, 0x80 | len(CONNECT)]) + bytes(4) + CONNECT)
    assert b"connected" in await asyncio.wait_for(reader.read(1024), 5)
    return writer


def alive(kind: type[Any], besides: list[Any] | None = None) -> list[Any]:
    # By type: a weak proxy of what is gone by now cannot be asked for its class.
    found = [each for each in gc.get_objects() if issubclass(type(each), kind)]
    return [each for each in found if all(each is not other for other in besides or ())]


@pytest.mark.parametrize(
    "request_", [PLAIN, PLAIN.replace(b"GET /", b"GET http://here/")], ids=["plain", "by uvicorn's parser"]
)
def test_nothing_of_the_handshake_is_kept(run: Run, request_: bytes) -> None:
    # What other tests have left is not of interest.
    before = [each for kind in (HeadProtocol, WSProtocol, Session) for each in alive(kind)]

    async def scenario() -> None:
        async with serving(Registry(Quiet, store=MemoryStore())) as address:
            writers = [await connected(int(address.rpartition(":")[2]), request_) for _ in range(3)]
            gc.collect()
            assert alive(HeadProtocol, before) == []
            assert len(alive(WSProtocol, before)) == 3
            for protocol in alive(WSProtocol, before):
                request = protocol.transport.request
                assert (
                    len(request.headers) + len(request.path) + len(protocol.transport.response.headers) == 0
                )
            # Names that many listen for are there once; what only callers need is not there.
            sessions = alive(Session, before)
            assert len({id(session.subscriptions[0]) for session in sessions}) == 1
            assert [session._record for session in sessions] == [None] * 3
            for writer in writers:
                writer.close()

    run(scenario())


SIGN_IN = Unauthorized("sign in first")


class Strict(Actor):
    """Raises an error that is there all the time."""

    def on_before_connect(self, c: Context, params: Any) -> None:
        if params == "refuse":
            raise SIGN_IN

    @action
    def refuse(self, c: Context) -> None:
        raise SIGN_IN

    @action
    async def refuse_later(self, c: Context) -> None:
        await asyncio.sleep(0)
        raise SIGN_IN


async def test_an_error_that_its_author_keeps_holds_nothing() -> None:
    """Each raise adds the frames that it went through, with the request in them, to those before."""
    before = alive(HeadProtocol)
    async with serving(Registry(Strict, store=MemoryStore())) as url, Client(url) as client:
        for transport in ("websocket", "sse"):
            async with Client(url, transport=transport) as other:
                connection = other.strict.get_or_create().connect()
                for name in ("refuse", "refuse_later"):
                    with pytest.raises(Unauthorized):
                        await connection.call(name)
                    assert SIGN_IN.__traceback__ is None
                with pytest.raises(ConnectionRefused):
                    await other.strict.get_or_create().connect(params="refuse").ready()
                assert SIGN_IN.__traceback__ is None
        with pytest.raises(Unauthorized):
            await client.strict.get_or_create().refuse()
        async with httpx.AsyncClient(base_url=url) as asking:
            for name in ("refuse", "refuseLater"):
                assert (await asking.post(f"/actors/strict/actions/{name}", json={})).status_code == 401
        assert SIGN_IN.__traceback__ is None
    gc.collect()
    assert alive(HeadProtocol, before) == []
