"""Servers, those of others and ours, each a process of its own, that run the application of `host_app.py`."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import programs

SERVERS = ["uvicorn", "hypercorn", "granian", "ringcast"]
HERE = Path(__file__).parent


@dataclass
class Hosted:
    """A server that runs."""

    name: str
    program: programs.Program
    port: int

    @property
    def host_url(self) -> str:
        """Where the application is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where its actors are."""
        return f"{self.host_url}/realtime"

    def stop(self) -> programs.Finished:
        """Stop it as an operator does, and return what it said that nobody has read."""
        return self.program.finish(signal.SIGTERM)


def command(name: str, port: int, app: str, *, patient: bool = False) -> tuple[list[str], str]:
    """Return how a server is started, and what it says when it is ready.

    One that is `patient` waits for requests at its end for as long as it does by default.
    """
    if name == "uvicorn":
        options = [] if patient else ["--timeout-graceful-shutdown", "3"]
        return ["uvicorn", app, "--port", str(port), *options], "Uvicorn running on"
    if name == "hypercorn":
        options = [] if patient else ["--graceful-timeout", "1"]
        return ["hypercorn", app, "--bind", f"127.0.0.1:{port}", *options], "Running on"
    if name == "ringcast":
        registry = f"{app.partition(':')[0]}:registry"
        return ["ringcast", "serve", registry, "--app", app, "--port", str(port)], "serving "
    granian = ["granian", app, "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port)]
    return granian, "Started worker-1"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def start(name: str, app: str = "host_app:app", *options: str, patient: bool = False) -> Hosted:
    """Start a server, with more options if it is to have some, and wait until it is ready. Stop it."""
    port = free_port()
    arguments, ready = command(name, port, app, patient=patient)
    program = programs.start(sys.executable, "-m", *arguments, *options, cwd=HERE)
    # All of them write their log to one of the two.
    output = program.out if name == "granian" else program.err
    try:
        output.until(ready)
    except AssertionError:
        raise AssertionError(f"{name} did not start: {program.finish(signal.SIGTERM)}") from None
    # Granian says so a moment before it listens.
    deadline = time.monotonic() + programs.TIMEOUT_S
    while not accepts(port):
        assert time.monotonic() < deadline, f"{name} does not listen: {program.finish(signal.SIGTERM)}"
    return Hosted(name, program, port)


@contextlib.contextmanager
def running(name: str, app: str = "host_app:app", *options: str, patient: bool = False) -> Iterator[Hosted]:
    """Run a server; it may be stopped before the end."""
    hosted = start(name, app, *options, patient=patient)
    try:
        yield hosted
    finally:
        if hosted.program.process.poll() is None:
            hosted.stop()


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def complaints(ended: programs.Finished) -> list[str]:
    """Return what was logged of code of ours that has failed; the servers' own is their business."""
    return [line for line in [*ended.out, *ended.err] if "ringcast/" in line or "RuntimeError" in line]
