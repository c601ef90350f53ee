"""A server in a process of its own, and a client of it that waits for nothing without a limit."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

__all__ = ["Server"]

HERE = Path(__file__).parent


class Server:
    """The process of `saving_server.py`."""

    def __init__(self, store: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, HERE / "saving_server.py", store],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        first_line = self.process.stdout.readline().strip()
        assert first_line.startswith("listening on "), first_line
        self.url = first_line.removeprefix("listening on ")

    def call(self, name: str, *args: Any) -> Any:
        """Run an action of the one actor that matters here."""
        body = {"key": ["k"], "args": list(args)}
        response = httpx.post(f"{self.url}/actors/diary/actions/{name}", json=body)
        assert response.status_code == 200, response.text
        return response.json()["value"]

    @contextlib.contextmanager
    def connected(self) -> Iterator[ClientConnection]:
        """Open a WebSocket and connect to that actor."""
        url = self.url.replace("http", "ws") + "/connect"
        protocol = Subprotocol("ringcast.v1.json")
        with connect(url, subprotocols=[protocol], compression=None) as opened:
            opened.send(orjson.dumps(["connect", {"actor": "diary", "key": ["k"]}]).decode())
            assert orjson.loads(opened.recv(timeout=30))[0] == "connected"
            yield opened

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code; nothing may have been logged."""
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=60)
        assert (output, errors) == ("", "")
        return self.process.returncode

    @property
    def host_and_port(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def upgrade_request(self) -> bytes:
        """Return the bytes of a valid upgrade request."""
        return (
            b"GET /connect HTTP/1.1\r\nhost: here\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
            b"sec-websocket-protocol: ringcast.v1.json\r\n\r\n"
        )

    def settles(self, condition: Callable[[], bool]) -> bool:
        """Wait until `condition` holds, asking the server something between looks."""
        deadline = time.monotonic() + 10
        while not (held := condition()) and time.monotonic() < deadline:
            httpx.get(f"{self.url}/health")
        return held

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
