"""SIGTERM: nobody new is let in, state is saved, clients come back to the next server, the exit code is 0."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from heard import TIMEOUT_S, Heard
from served import HERE, IMPATIENT, OPTIONS, Carrier, Encoding

import programs
from conformance.raw_client import RawClient
from ringcast import Client
from ringcast.errors import ConnectionFailure
from ringcast.wire.protocol import Gap


@contextlib.contextmanager
def serving(store: Path, port: int = 0) -> Iterator[programs.Server]:
    options = (*OPTIONS, "--store", str(store), "--port", str(port))
    with programs.serve("actors:registry", *options, cwd=HERE) as server:
        yield server


async def stop(server: programs.Server) -> None:
    """Ask the server to end, and wait until it has, in order."""
    server.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(server.process.wait, TIMEOUT_S) == 0


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


class Gate:
    """A port that holds up whoever connects to it until it is opened."""

    def __init__(self) -> None:
        self.port = 0
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reached.set()
        await self.opened.wait()
        writer.close()


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    gate = Gate()
    server = await asyncio.start_server(gate.hold, "127.0.0.1", 0)
    gate.port = server.sockets[0].getsockname()[1]
    yield gate
    gate.opened.set()
    server.close()
    await server.wait_closed()


async def test_state_is_saved_and_back_after_a_restart(
    store: Path, carrier: Carrier, encoding: Encoding
) -> None:
    with serving(store) as server:
        async with Client(server.url, encoding=encoding, transport=carrier) as client:
            ledgers = [client.ledger.get_or_create([name]) for name in ("a", "b")]
            async with ledgers[0].connect() as connection:
                await connection.write("over a connection")
                await ledgers[1].write("over HTTP")
                actor_id = connection.actor_id
                await stop(server)
    with serving(store) as server:
        async with Client(server.url, encoding=encoding, transport=carrier) as client:
            # With `get`: they are still there.
            assert await client.ledger.get(["a"]).read() == ["over a connection", "stopped"]
            assert await client.ledger.get(["b"]).read() == ["over HTTP", "stopped"]
            assert await client.ledger.get(["a"]).resolve() == actor_id


async def test_every_client_is_sent_the_last_events_and_the_code_that_says_come_back(
    store: Path, encoding: Encoding
) -> None:
    with serving(store) as server, contextlib.ExitStack() as stack:
        address = urlsplit(server.url)
        clients = []
        for _ in range(20):
            raw = stack.enter_context(RawClient((address.hostname or "", address.port or 0), encoding))
            assert raw.upgrade().status == 101
            raw.send_message(["connect", {"actor": "ledger", "key": ["a"], "subscriptions": ["written"]}])
            assert raw.read_message()[0] == "connected"
            clients.append(raw)
        newcomer = stack.enter_context(RawClient((address.hostname or "", address.port or 0), encoding))
        assert newcomer.upgrade().status == 101  # and its connect message does not come
        server.process.send_signal(signal.SIGTERM)
        for raw in clients:
            assert raw.read_message()[3:] == ["written", ["stopped"]]
        for raw in (*clients, newcomer):
            assert raw.expect_close(4500).payload[2:] == b""
            raw.sock.close()
        assert await asyncio.to_thread(server.process.wait, TIMEOUT_S) == 0


async def test_clients_come_back_to_the_server_that_is_started_again(
    store: Path, carrier: Carrier, encoding: Encoding
) -> None:
    with serving(store) as server:
        port = urlsplit(server.url).port or 0
        client = Client(server.url, encoding=encoding, transport=carrier, config=IMPATIENT)
        connections = [client.ledger.get_or_create(["a"]).connect() for _ in range(5)]
        heard = [Heard(each, "written", "disconnected", "reconnected", "gap") for each in connections]
        await asyncio.gather(*(each.ready() for each in connections))
        await connections[0].write("before")
        await stop(server)
    async with client:
        for each in heard:
            await each.until("disconnected")
        assert {each.status for each in connections} == {"reconnecting"}
        waiting = asyncio.create_task(connections[0].write("meanwhile"))
        with pytest.raises(ConnectionFailure):
            await client.ledger.get_or_create(["a"]).read()
        with serving(store, port):
            for each in heard:
                await each.until("reconnected")
                # What the server had retained went with it, and the client is told.
                assert await each.until("gap") == [Gap("epoch_changed")]
            async with asyncio.timeout(TIMEOUT_S):
                await waiting
            await connections[1].write("after")
            for each in heard:
                # Who was back by then has heard what was written meanwhile as well.
                while each.of("written")[-1] != "after":
                    await each.until("written", len(each.of("written")) + 1)
            assert await connections[2].read() == ["before", "stopped", "meanwhile", "after"]
            await client.close()
    for each in heard:
        assert each.of("written")[:2] == ["before", "stopped"]
        assert each.of("written")[-1] == "after"


async def test_nobody_new_is_let_in_while_running_actions_end(
    store: Path, carrier: Carrier, encoding: Encoding, gate: Gate
) -> None:
    with serving(store) as server:
        address = urlsplit(server.url)
        async with (
            Client(server.url, encoding=encoding, transport=carrier) as client,
            asyncio.timeout(TIMEOUT_S),
        ):
            connection = client.ledger.get_or_create(["a"]).connect()
            heard = Heard(connection, "written")
            await connection.ready()
            running = asyncio.create_task(connection.write_when_told(gate.port, "at the last moment"))
            await gate.reached.wait()
            server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(wait_until_refused, address.hostname or "", address.port or 0)
            assert server.process.poll() is None, "it did not wait for the action"
            assert not running.done()
            gate.opened.set()
            # The caller gets the answer, and the listener the event, before the goodbye.
            assert await running == "at the last moment"
            assert await heard.until("written", 2) == ["at the last moment", "stopped"]
            assert await asyncio.to_thread(server.process.wait, TIMEOUT_S) == 0
    with serving(store) as server:
        async with Client(server.url) as client:
            assert await client.ledger.get(["a"]).read() == ["at the last moment", "stopped"]


def wait_until_refused(host: str, port: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, port), TIMEOUT_S).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:  # it was waiting to be accepted when the port was closed
            continue
    raise AssertionError("new connections are still let in")
