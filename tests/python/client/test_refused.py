"""A client that is refused stays away: it is told why, ends, and makes no further attempt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from ringcast import Actor, Client, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.client import ClientConfig
from ringcast.errors import ConnectionRefused, Forbidden, RingcastError, Unauthorized, UserError
from ringcast.server.serve import serving
from ringcast.testing import NetworkProxy

TIMEOUT_S: Final = 30
IMPATIENT: Final = ClientConfig(reconnect_first_s=0.0, reconnect_base_s=0.0, reconnect_max_s=0.0)

ERRORS: Final[dict[str, RingcastError]] = {
    "unauthorized": Unauthorized("sign in first"),
    "forbidden": Forbidden("not you"),
    "paid_up": UserError("pay first", code="paid_up"),
}


class Gate(Actor):
    """Lets in who has the right token, and counts who has tried."""

    def __init__(self) -> None:
        self.tries = 0

    def on_before_connect(self, c: Context, params: dict[str, str]) -> None:
        self.tries += 1
        if params["token"] in ERRORS:
            raise ERRORS[params["token"]]

    @action
    def tried(self, c: Context) -> int:
        return self.tries

    @action
    def enter(self, c: Context, token: str) -> None:
        raise ERRORS[token]


@asynccontextmanager
async def gate() -> AsyncIterator[tuple[Client, Any]]:
    async with serving(Registry(Gate, store=MemoryStore())) as url, Client(url, config=IMPATIENT) as client:
        yield client, client.gate.get_or_create("k")


@pytest.mark.parametrize("code", list(ERRORS))
async def test_by_a_hook(code: str) -> None:
    async with gate() as (client, handle):
        asked = 0

        def params() -> dict[str, str]:
            nonlocal asked
            asked += 1
            return {"token": code}

        looking = client.gate.get_or_create("k", params={"token": "looks on"})
        assert await looking.tried() == 1
        connection = handle.connect(params=params)
        with pytest.raises(ConnectionRefused, match=ERRORS[code].message) as refused:
            await connection.ready()
        assert refused.value.code == code
        assert connection.status == "closed"
        # Of no delay between attempts, there would have been many by the time that this is answered.
        for looked in range(1, 11):
            assert await looking.tried() == 2 + looked
        assert asked == 1


async def test_a_token_that_is_renewed_for_each_attempt_until_there_is_none() -> None:
    # The session goes with its network, so that whoever comes back is looked at anew.
    registry = Registry(Gate, store=MemoryStore(), config=ServerConfig(session_window_s=0))
    async with serving(registry) as url:
        address = urlsplit(url)
        async with (
            NetworkProxy(address.hostname or "", address.port or 0) as network,
            Client(network.url, config=IMPATIENT) as far,
            Client(url) as near,
        ):
            tokens = iter(["first", "second", "unauthorized"])
            connection = far.gate.get_or_create("k").connect(params=lambda: {"token": next(tokens)})
            heard: asyncio.Queue[Any] = asyncio.Queue()
            connection.on("reconnected", lambda: heard.put_nowait("reconnected"))
            connection.on("error", heard.put_nowait)
            await connection.ready()
            async with asyncio.timeout(TIMEOUT_S):
                network.cut()
                network.restore()
                assert await heard.get() == "reconnected"
                network.cut()
                network.restore()
                assert (await heard.get()).code == "unauthorized"
            assert connection.status == "closed"
            # And this call, which meets the hook as well.
            assert await near.gate.get_or_create("k", params={"token": "fourth"}).tried() == 4


@pytest.mark.parametrize(("code", "kind"), [("unauthorized", Unauthorized), ("forbidden", Forbidden)])
async def test_a_call_over_http(code: str, kind: type[RingcastError]) -> None:
    async with gate() as (client, _):
        with pytest.raises(kind):
            await client.gate.get_or_create("k", params={"token": "of ann"}).enter(code)
        refused = client.gate.get_or_create("k", params={"token": code})
        with pytest.raises(kind):
            await refused.tried()


@pytest.mark.parametrize(
    ("status", "code"), [("401 Unauthorized", "unauthorized"), ("403 Forbidden", "forbidden")]
)
@pytest.mark.parametrize("transport", ["auto", "websocket", "sse"])
async def test_before_the_connection(status: str, code: str, transport: Any) -> None:
    tries = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        head = await reader.readuntil(b"\r\n\r\n")
        tries += not head.startswith(b"GET /health ")  # whether WebSockets alone are meant
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nno".encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        async with Client(f"http://127.0.0.1:{port}", config=IMPATIENT, transport=transport) as client:
            connection = client.gate.get_or_create("k").connect()
            async with asyncio.timeout(TIMEOUT_S):
                with pytest.raises(ConnectionRefused) as refused:
                    await connection.ready()
            assert refused.value.code == code
            assert connection.status == "closed"
            assert tries == 1


async def test_other_answers_are_worth_another_attempt() -> None:
    tries = 0
    often = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        await reader.readuntil(b"\r\n\r\n")
        tries += 1
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno")
        writer.close()
        if tries == 3:
            often.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        async with Client(f"http://127.0.0.1:{port}", config=IMPATIENT) as client:
            connection = client.gate.get_or_create("k").connect()
            async with asyncio.timeout(TIMEOUT_S):
                await often.wait()
            assert connection.status == "connecting"
