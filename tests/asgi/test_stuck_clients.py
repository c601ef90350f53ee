"""A client that reads nothing while another server is told to stop: what was answered is kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from hosting import Hosted, complaints, running

from ringcast.testing import eventually

APP: Final = "kept_app:app"
MESSAGES: Final = 70
"""Of 100 KB each: more than sockets take, and less than an actor keeps."""
TIMEOUT_S: Final = 30.0

pytestmark = pytest.mark.parametrize("transport", ["websocket", "sse"])


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the application keeps its files."""
    monkeypatch.setenv("KEPT_APP_DIRECTORY", str(tmp_path))
    return tmp_path


def stored(directory: Path) -> int:
    """Return the count that would be there after a crash."""
    with contextlib.closing(sqlite3.connect(directory / "store.db")) as database:
        (state,) = database.execute("select state from actor").fetchone()
    count: int = json.loads(state)["count"]
    return count


class StuckClient:
    """Listens to the counter, and reads nothing once it is connected."""

    def __init__(self, hosted: Hosted, transport: str) -> None:
        self.sock = socket.socket()
        self.sock.settimeout(TIMEOUT_S)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.connect(("127.0.0.1", hosted.port))
        if transport == "sse":
            self._request("/realtime/actors/counter/events?key=main&subscribe=filled")
        else:
            self._request(
                "/realtime/connect",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Protocol: ringcast.v1.json",
            )
            self._read_until(b"\r\n\r\n")
            message = b'["connect",{"actor":"counter","key":["main"],"subscriptions":["filled"]}]'
            self.sock.sendall(bytes([0x81, 0x80 | len(message), 0, 0, 0, 0]) + message)
        self._read_until(b'"connected"')

    def _request(self, target: str, *headers: str) -> None:
        lines = [f"GET {target} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]
        self.sock.sendall("\r\n".join(lines).encode())

    def _read_until(self, wanted: bytes) -> None:
        read = b""
        while wanted not in read:
            part = self.sock.recv(1000)
            assert part, read
            read += part


@contextlib.contextmanager
def stuck(hosted: Hosted, transport: str) -> Iterator[StuckClient]:
    """Have a client that is far behind, and an answer about what no store has yet."""
    client = StuckClient(hosted, transport)
    try:
        assert call(hosted, "fill", MESSAGES) is None
        assert call(hosted, "add") == 1
        yield client
    finally:
        client.sock.close()


def call(hosted: Hosted, action: str, *args: Any) -> Any:
    at = f"{hosted.url}/actors/counter/actions/{action}"
    answer = httpx.post(at, json={"key": ["main"], "args": args}, timeout=TIMEOUT_S)
    assert answer.status_code == 200, answer.text
    return answer.json()["value"]


@pytest.mark.parametrize("name", ["uvicorn", "granian"])
async def test_state_is_saved_at_the_signal_and_the_host_goes_on_with_its_actors(
    name: str, transport: str, directory: Path
) -> None:
    with running(name, APP, patient=True) as hosted, stuck(hosted, transport) as client:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as http:
            later = asyncio.create_task(http.post(f"{hosted.host_url}/later"))
            await eventually((directory / "waiting").exists)
            assert stored(directory) == 0
            hosted.program.process.send_signal(signal.SIGTERM)
            # The request keeps the server from stopping the registry, which would save it as well.
            await eventually(lambda: stored(directory) == 1)
            (directory / "go").touch()
            assert (await later).json() == 2
        await eventually(lambda: stored(directory) >= 2)
        client.sock.close()
        ended = hosted.program.finish()
    assert "the counter has stopped" in ended.out and "the registry has stopped" in ended.out
    assert stored(directory) == 3  # with what the host's lifespan does at the end
    assert not complaints(ended), ended


async def test_hypercorn_without_a_worker_process_says_when_it_is_to_stop(
    transport: str, directory: Path
) -> None:
    with running("hypercorn", APP, "--workers", "0") as hosted, stuck(hosted, transport) as client:
        assert stored(directory) == 0
        hosted.program.process.send_signal(signal.SIGTERM)
        await eventually(lambda: stored(directory) == 1)
        client.sock.close()
        ended = hosted.program.finish()
    assert "the registry has stopped" in ended.out
    assert stored(directory) == 2


async def test_uvicorn_ends_when_it_is_given_a_time_for_that(transport: str, directory: Path) -> None:
    with running("uvicorn", APP, "--timeout-graceful-shutdown", "1") as hosted, stuck(hosted, transport):
        ended = await asyncio.to_thread(hosted.stop)
    assert any("timeout graceful shutdown exceeded" in line for line in ended.err)
    assert "the counter has stopped" in ended.out and "the registry has stopped" in ended.out
    assert stored(directory) == 2


async def test_granian_ends_a_websocket_and_kills_a_worker_that_has_to_wait_for_a_response(
    transport: str, directory: Path
) -> None:
    with (
        running("granian", APP, "--workers-kill-timeout", "5") as hosted,
        stuck(hosted, transport),
    ):
        ended = await asyncio.to_thread(hosted.stop)
    is_killed = any("Killing worker-1" in line for line in ended.out)
    assert is_killed == (transport == "sse")
    assert ("the registry has stopped" in ended.out) != is_killed
    assert stored(directory) == (1 if is_killed else 2)
    assert not any("panicked" in line for line in ended.err)
