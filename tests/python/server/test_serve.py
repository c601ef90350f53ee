"""A server's life, in a process of its own: its address, its signals, its shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import uvloop
from server_process import Server
from websockets.exceptions import ConnectionClosed

from ringcast import Actor, Client, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.errors import OutcomeUnknown
from ringcast.server.serve import run, serving


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_it_in_order(server: Server, tmp_path: Path, number: signal.Signals) -> None:
    server.call("write", "before")
    with server.connected() as client:
        server.call("write", "last words")
        assert server.stop(number) == 0
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                client.recv(timeout=30)
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 4500
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url + "/health")
    again = Server(tmp_path / "store.db")
    try:
        assert again.call("read") == ["before", "last words", "stopped"]
        assert again.stop() == 0
    finally:
        again.end()


def test_client_that_never_answers_does_not_keep_the_server(server: Server) -> None:
    with socket.create_connection(server.host_and_port, 5) as silent:
        silent.sendall(server.upgrade_request())
        assert silent.recv(1000).startswith(b"HTTP/1.1 101 ")
        assert server.stop() == 0


def test_request_in_progress_is_answered(server: Server) -> None:
    async def scenario() -> httpx.Response:
        async with httpx.AsyncClient() as client:
            url = f"{server.url}/actors/diary/actions/write_slowly"
            request = asyncio.create_task(client.post(url, json={"key": ["k"], "args": ["slow"]}))
            while not await asyncio.to_thread(server.call, "writing"):
                pass
            assert await asyncio.to_thread(server.stop) == 0
            return await request

    response = asyncio.run(asyncio.wait_for(scenario(), 30))
    assert (response.status_code, response.json()) == (200, {"value": "slow"})


def test_second_signal_ends_it_at_once(server: Server) -> None:
    with contextlib.suppress(httpx.TimeoutException):
        httpx.post(f"{server.url}/actors/diary/actions/hang", json={"key": ["k"], "args": []}, timeout=0.3)
    server.process.send_signal(signal.SIGTERM)
    # The first signal is known to have been taken when no new connection is.
    with pytest.raises(httpx.HTTPError):
        while True:
            httpx.get(server.url + "/health")
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == -signal.SIGTERM


class Plain(Actor[None, None]):
    """Answers."""

    @action
    def ping(self, c: Context[None, None]) -> str:
        """Answer."""
        return "pong"


def test_taken_address_is_an_error_before_anything_starts() -> None:
    registry = Registry(Plain, store=MemoryStore())
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        run(registry, port=taken.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "there", "not_there"), [("0.0.0.0", "127.0.0.1", "::1"), ("::", "::1", "127.0.0.1")]
)
async def test_all_addresses_are_those_of_one_family(host: str, there: str, not_there: str) -> None:
    for _ in range(4):
        if not await _answers_at(host, there, not_there):
            return
    # Somebody else may have the same number at an address of the other family, but hardly every time.
    pytest.fail(f"{not_there} answers too")


async def _answers_at(host: str, there: str, not_there: str) -> bool:
    """Serve at `host`, and return whether somebody is at the same port of `not_there`."""
    async with serving(Registry(Plain, store=MemoryStore()), host) as url:
        port = urlsplit(url).port
        await _connect(there, port)
        try:
            await _connect(not_there, port)
        except ConnectionRefusedError:
            return False
        return True


async def _connect(host: str, port: int | None) -> None:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("for_metrics", [False, True])
def test_a_port_that_is_taken_while_it_starts_is_an_error(for_metrics: bool) -> None:
    class Late(MemoryStore):
        """Lets somebody else have the port before the server listens on it."""

        is_open = False

        async def open(self) -> None:
            taken.listen()
            self.is_open = True
            await super().open()

        async def close(self) -> None:
            self.is_open = False
            await super().close()

    async def scenario() -> None:
        store, (address, port) = Late(), taken.getsockname()
        config = ServerConfig(metrics=True, metrics_port=port) if for_metrics else ServerConfig()
        registry = Registry(Plain, store=store, config=config)
        with pytest.raises(OSError, match="in use") as refused:
            async with serving(registry, address, 0 if for_metrics else port):
                raise AssertionError("it started")
        assert (" for metrics: " in str(refused.value)) is for_metrics
        assert not store.is_open

    with socket.socket() as taken:
        # As a server's own: of two that are bound, the first to listen has the port.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        uvloop.run(asyncio.wait_for(scenario(), 30))


def test_unknown_host_is_an_error() -> None:
    with pytest.raises(OSError, match=r"."):
        run(Registry(Plain, store=MemoryStore()), host="256.0.0.1")


def test_failing_announcement_stops_the_server() -> None:
    def fail(address: str) -> None:
        raise BrokenPipeError("nobody reads our output")

    with pytest.raises(BrokenPipeError):
        run(Registry(Plain, store=MemoryStore()), port=0, on_listening=fail)


def test_registry_can_be_served_again() -> None:
    async def scenario() -> None:
        registry = Registry(Plain, store=MemoryStore(), config=ServerConfig(close_timeout_s=0.5))
        for _ in range(2):
            async with serving(registry) as url, httpx.AsyncClient(base_url=url) as client:
                response = await client.post("/actors/plain/actions/ping", json={})
                assert response.json() == {"value": "pong"}

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_store_that_does_not_open_keeps_the_server_from_starting() -> None:
    class Broken(MemoryStore):
        async def open(self) -> None:
            raise OSError("no space left on device")

    async def scenario() -> None:
        with pytest.raises(OSError, match="no space"):
            async with serving(Registry(Plain, store=Broken())):
                raise AssertionError("it started")

    asyncio.run(asyncio.wait_for(scenario(), 30))


class Slow(Actor[None, None]):
    """Takes its time to say who may listen."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.decide = asyncio.Event()

    async def can_subscribe(self, c: Context[None, None], event: str) -> bool:
        """Allow it, once the test says so."""
        self.asked.set()
        await self.decide.wait()
        return True

    @action
    def size(self, c: Context[None, None], text: str) -> int:
        """Return the length."""
        return len(text)


@pytest.mark.parametrize(("calls", "length"), [(3000, 1), (60, 60_000)], ids=["many", "large"])
def test_client_that_calls_while_a_hook_runs_is_held_up_and_not_closed(calls: int, length: int) -> None:
    async def scenario() -> None:
        registry = Registry(Slow, store=MemoryStore())
        async with (
            serving(registry) as url,
            Client(url) as client,
            client.slow.get_or_create("k").connect() as connection,
        ):
            connection.on("x", print)
            (instance,) = registry.router._directory
            await instance.actor.asked.wait()
            burst = [asyncio.ensure_future(connection.size("x" * length)) for _ in range(calls)]
            await asyncio.sleep(0)  # they are sent
            # As much as comes through has come: then the server has stopped reading.
            (link,) = registry.router._gateway.links  # type: ignore[union-attr]
            while not link.is_behind:  # noqa: ASYNC110  # inner state, which nothing announces
                await asyncio.sleep(0)
            for _ in range(200):
                await asyncio.sleep(0)
            instance.actor.decide.set()
            assert await asyncio.gather(*burst) == [length] * calls
            assert connection.status == "connected"

    asyncio.run(asyncio.wait_for(scenario(), 30))


@dataclass
class Words:
    last: str = ""


class Stubborn(Actor[Words, None]):
    """Hangs wherever it can."""

    @action
    async def hang(self, c: Context[Words, None]) -> None:
        """Never return."""
        c.state.last = "hang"
        await asyncio.Event().wait()

    async def on_disconnect(self, c: Context[Words, None]) -> None:
        """Never return."""
        await asyncio.Event().wait()

    async def on_stop(self, c: Context[Words, None]) -> None:
        """Never return, but leave something."""
        try:
            await asyncio.Event().wait()
        finally:
            c.state.last = "goodbye"


class NeverReady(Actor[None, None]):
    """Hangs before anybody can use it."""

    async def on_start(self, c: Context[None, None]) -> None:
        """Never return."""
        await asyncio.Event().wait()


def test_whatever_hangs_actors_are_saved_and_clients_told_in_time(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        store = MemoryStore()
        # The whole time is one and a half seconds; each part of the stop may take that long by itself.
        config = ServerConfig(
            shutdown_timeout_s=1.5, hook_timeout_s=60.0, close_timeout_s=0.1, save_interval_s=1000.0
        )
        registry = Registry(Stubborn, NeverReady, store=store, config=config)
        async with serving(registry) as url:
            client = Client(url)
            connection = client.stubborn.get_or_create("k").connect()
            hanging = asyncio.ensure_future(connection.hang())
            starting = client.neverReady.get_or_create("k").connect()
            await connection.ready()
            while not (registry.router._directory._starting and registry.router.actors):  # noqa: ASYNC110
                await asyncio.sleep(0)
        with pytest.raises(OutcomeUnknown):
            await hanging
        await client.close()
        assert starting.status == "closed"
        stored = await store.find("Stubborn", ("k",))
        assert stored is not None and stored.state == b'{"last":"goodbye"}'

    asyncio.run(asyncio.wait_for(scenario(), 30))
    assert "stopping took longer" not in caplog.text


def test_ipv6_address_is_written_in_brackets() -> None:
    async def scenario() -> None:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("no IPv6 on this machine")
        async with serving(Registry(Plain, store=MemoryStore()), host="::1") as url:
            assert url.startswith("http://[::1]:")
            async with httpx.AsyncClient(base_url=url) as client:
                assert (await client.get("/health")).status_code == 200

    asyncio.run(asyncio.wait_for(scenario(), 30))
