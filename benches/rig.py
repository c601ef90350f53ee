"""What every benchmark with a server and a load needs: both processes, each on a core of its own.

What is asked of them is the benchmarks'; the server is `server.py`, the load the program in `load/`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import httpx

__all__ = [
    "Cores",
    "Disturbed",
    "Failed",
    "Load",
    "Server",
    "build_load",
    "faultless",
    "progress",
    "require_release",
    "running",
    "waited",
]

_HERE: Final = Path(__file__).resolve().parent
_TARGET: Final = _HERE.parent / "target" / "load"
_PROGRAM: Final = _TARGET / "release" / "ringcast-load"
_STOP_TIMEOUT_S: Final = 20.0

_SLOW_READER: Final = "4502"

MAX_OPENING: Final = 4000
"""Sockets on their way at a time: with more than its backlog, 4096, the system would drop connects, and those
come again a second later, which would be a figure about TCP."""


class Failed(Exception):  # noqa: N818 - what it says follows
    """A run went wrong, so that its figures do not count."""


class Disturbed(Failed):
    """The load fell behind: something else runs on its core, or it is no match for the server."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the two sides run."""

    server: int
    load: int


def progress(line: str) -> None:
    """Tell the one who waits how far it is."""
    print(line, file=sys.stderr, flush=True)


def require_release() -> None:
    """Raise `Failed` for a native module that was built for debugging: it says nothing about speed."""
    from ringcast import _core  # noqa: PLC0415 - so that `--help` needs no native module

    if _core.BUILD_PROFILE != "release":
        raise Failed(f"the native module is a {_core.BUILD_PROFILE} build; make setup builds a release")


def build_load() -> None:
    """Bring the load's program up to date. Raises `Failed`."""
    progress("building the load")
    build = ["cargo", "build", "--release", "--quiet", "--locked"]
    place = ["--manifest-path", str(_HERE / "load" / "Cargo.toml"), "--target-dir", str(_TARGET)]
    if subprocess.run([*build, *place], check=False).returncode:
        raise Failed("the load could not be built")


def waited(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    """Look at `condition` until it is true. Raises `Failed` when that takes too long."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.02)


class Server:
    """`server.py` on a core of its own, with what a benchmark asks of it."""

    def __init__(self, core: int, *arguments: str) -> None:
        command = [*_pinned(core), sys.executable, str(_HERE / "server.py"), *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline().split()
        if len(line) != 2:
            self._process.wait()
            raise Failed("the server did not start")
        self.address, self._pid = line[0], int(line[1])
        self.port = int(self.address.rpartition(":")[2])
        self._http = httpx.Client(base_url=self.address, timeout=90.0)

    def call(self, actor: str, key: str, action: str, *args: Any) -> Any:
        """Call an action over HTTP. Raises `Failed` for an error."""
        answer = self._http.post(f"/actors/{actor}/actions/{action}", json={"key": [key], "args": args})
        if answer.status_code != httpx.codes.OK:
            raise Failed(f"{action}: {answer.text}")
        return answer.json()["value"]

    def status(self, actor: str, key: str) -> dict[str, Any]:
        """Return what `Feed.status` tells."""
        status: dict[str, Any] = self.call(actor, key, "status")
        return status

    def memory_bytes(self) -> tuple[int, int]:
        """Return the resident memory now, and its peak since `forget_peak`."""
        lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        found = {name: line for name, _, line in (line.partition(":") for line in lines)}
        return tuple(int(found[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]

    def forget_peak(self) -> None:
        """Count the peak of memory from now on."""
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self._process.send_signal(signal.SIGTERM)
        _stopped(self._process)


class Load:
    """One process of the load, with its commands. Each raises `Failed` if it goes wrong."""

    def __init__(self, core: int) -> None:
        self._process = subprocess.Popen(
            [*_pinned(core), str(_PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._read().get("profile") != "release":
            raise Failed("the load is a debug build")

    def do(self, command: str, group: str, **arguments: Any) -> dict[str, Any]:
        """Give one command (`load/src/command.rs`) and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command, "group": group, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        if "failed" in answer:
            figures = answer.get("figures", {})
            if _SLOW_READER in figures.get("closed", {}):
                raise Disturbed(f"the load fell behind; it had {figures['cpu_share']:.2f} of its core")
            raise Failed(f"{command} {group}: {answer['failed']} {figures}")
        return answer

    def open(
        self, group: str, count: int, server: Server, connect: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        """Open connections as a new group."""
        place = {"port": server.port, "connect": connect}
        return self.do("open", group, count=count, **place, max_opening=MAX_OPENING, timeout_s=60, **more)

    def come_back(self, group: str) -> dict[str, Any]:
        """Come back with all of a group, and wait until each has got what it missed."""
        return self.do("return", group, max_opening=MAX_OPENING, timeout_s=90)

    def receive(self, group: str, name: str, counter: int, **more: Any) -> dict[str, Any]:
        """Wait until each connection of the group has this event; return what was counted."""
        return self.do("receive", group, name=name, counter=counter, timeout_s=90, **more)

    def figures(self, group: str) -> dict[str, Any]:
        """Return what was counted since the last `measure`."""
        figures: dict[str, Any] = self.do("report", group)["figures"]
        return figures

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Failed("the load ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Load:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        if kind is not None:
            # It may be in the middle of a command that waits for something.
            self._process.kill()
        _stopped(self._process)


@contextlib.contextmanager
def running(cores: Cores, *arguments: str) -> Iterator[tuple[Server, Load]]:
    """Give a server, started with `arguments`, and a load."""
    with Server(cores.server, *arguments) as server, Load(cores.load) as load:
        yield server, load


def faultless(figures: dict[str, Any]) -> dict[str, Any]:
    """Return the figures if every event was there, once and in order. Raises `Failed` if not."""
    if any(figures["faults"].values()):
        raise Failed(f"events were lost, repeated or out of order: {figures['faults']} {figures['error']}")
    return figures


def _pinned(core: int) -> list[str]:
    if shutil.which("taskset") is None:
        raise Failed("taskset is needed to keep the server and the load on cores of their own")
    if core not in os.sched_getaffinity(0):
        raise Failed(f"there is no core {core} here; see --server-core and --load-core")
    return ["taskset", "--cpu-list", str(core)]


def _stopped(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
