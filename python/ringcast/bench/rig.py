"""What every benchmark with a server and a load needs: both processes, each on a core of its own.

What is asked of them is the benchmarks'; the server is `server.py`, the load and the limit are `load.py`.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self

import httpx

from .actors import LATE_S
from .cores import Cores, on_core
from .failures import Disturbed, Failed
from .load import BUILD_PROFILE
from .resident import forget_peak, resident

__all__ = [
    "Bare",
    "Limit",
    "Load",
    "Server",
    "complete",
    "disorder",
    "faultless",
    "require_descriptors",
    "require_release",
    "require_sent",
    "running",
    "waited",
]

_STOP_TIMEOUT_S: Final = 20.0
_HTTP_TIMEOUT_S: Final = 90.0
_WAIT_S: Final = 90.0

_SLOW_READER: Final = "4502"

_SPARE_DESCRIPTORS: Final = 200
"""What a process has open beside its sockets, generously."""

MAX_OPENING: Final = 4000
"""Sockets on their way at a time: with more than its backlog, 4096, the system would drop connects, and those
come again a second later, which would be a figure about TCP."""


def require_release() -> None:
    """Raise `Failed` for a native module that was built for debugging: it says nothing about speed."""
    if BUILD_PROFILE != "release":
        raise Failed(
            f"the native module is a {BUILD_PROFILE} build, which says nothing about speed: build a release"
        )


def require_descriptors(connections: int) -> None:
    """Raise `Failed` if a process may not open so many sockets."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # A server has two for each.
    if most != resource.RLIM_INFINITY and 2 * connections + _SPARE_DESCRIPTORS > most:
        raise Failed(
            f"{connections} connections need more open files than a process may have here, {most} (ulimit -n)"
        )


def require_sent(sent: int, count: int, per_s: float) -> None:
    """Raise `Failed` if not all events were sent: the latency of those that were is not that of the rate."""
    if sent != count:
        raise Failed(
            f"{sent} of {count} events were sent: "
            f"the server fell more than {LATE_S:g} s behind {per_s:g} a second"
        )


def waited(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    """Look at `condition` until it is true. Raises `Failed` when that takes too long."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.02)


class Server:
    """A server on a core of its own, with what a benchmark asks of it."""

    def __init__(self, core: int | None, *arguments: str, module: str = "ringcast.bench.server") -> None:
        with on_core(core):
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().split()
        if len(line) != 2:
            self._process.wait()
            raise Failed("the server did not start")
        self.address, self.pid = line[0], int(line[1])
        self.port = int(self.address.rpartition(":")[2])
        self._http = httpx.Client(base_url=self.address, timeout=_HTTP_TIMEOUT_S)

    def call(self, actor: str, key: str, action: str, *args: Any, timeout_s: float = _HTTP_TIMEOUT_S) -> Any:
        """Call an action over HTTP. Raises `Failed` for an error, and when there is no answer in time."""
        place, what = f"/actors/{actor}/actions/{action}", {"key": [key], "args": args}
        try:
            answer = self._http.post(place, json=what, timeout=timeout_s)
        except httpx.TimeoutException as error:
            raise Failed(f"{action}: the server did not answer within {timeout_s:.0f} s") from error
        if answer.status_code != httpx.codes.OK:
            raise Failed(f"{action}: {answer.text}")
        return answer.json()["value"]

    def pace(self, actor: str, key: str, per_s: float, count: int) -> dict[str, Any]:
        """Have exactly so many paces sent, so many a second; return the status then. Raises `Failed`."""
        first = self.status(actor, key)["sent"]["pace"]
        self.call(actor, key, "pace", per_s, count, timeout_s=count / per_s + LATE_S + _HTTP_TIMEOUT_S)
        status = self.status(actor, key)
        require_sent(status["sent"]["pace"] - first, count, per_s)
        return status

    def status(self, actor: str, key: str) -> dict[str, Any]:
        """Return what `Feed.status` tells."""
        status: dict[str, Any] = self.call(actor, key, "status")
        return status

    def memory_bytes(self) -> tuple[int, int]:
        """Return the resident memory now, and its peak since `forget_peak`; Linux alone tells the peak."""
        return resident(self.pid)

    def forget_peak(self) -> None:
        """Count the peak of memory from now on."""
        forget_peak(self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()
        self._process.send_signal(signal.SIGTERM)
        _stopped(self._process)


class _Program:
    """A program on a core of its own that answers a line of JSON with another."""

    def __init__(self, core: int | None, *arguments: str, module: str = "ringcast.bench.load") -> None:
        command = [sys.executable, "-m", module, *arguments]
        with on_core(core):
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        self.about = self._read()
        if self.about.get("profile") != "release":
            raise Failed("the load is a debug build")

    def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Give one command and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Failed("the load ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
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


class Limit(_Program):
    """The least that can be done: ready-made frames, sent to every connection (`load/src/limit.rs`)."""

    def __init__(self, core: int | None) -> None:
        super().__init__(core, "limit")
        self.port: int = self.about["port"]

    def flood(self, **flood: Any) -> dict[str, Any]:
        """Send events to every connection; return how that went. Raises `Failed`."""
        sent = self.ask(flood)
        if "failed" in sent:
            raise Failed(f"the limit: {sent['failed']}")
        return sent


class Bare(_Program):
    """A bare picows server (`bare.py`)."""

    def __init__(self, core: int | None, payload: int, *, lean: bool = False) -> None:
        more = ("--lean",) if lean else ()
        super().__init__(core, str(payload), *more, module="ringcast.bench.bare")
        self.port: int = self.about["port"]
        self.pid = self._process.pid

    def used(self) -> dict[str, Any]:
        """Return the last counter so far, and the processor time used."""
        return self.ask({})

    def pace(self, per_s: float, count: int) -> dict[str, Any]:
        """Have exactly so many events sent, so many a second; return the same as `used`. Raises `Failed`."""
        first = self.used()["last"]
        ended = self.ask({"pace": per_s, "count": count})
        require_sent(ended["last"] - first, count, per_s)
        return ended

    def collect(self) -> None:
        """Have it let go of what nobody refers to any more."""
        self.ask({"collect": True})


class Load(_Program):
    """One process of the load, with its commands. Each raises `Failed` if it goes wrong."""

    def do(self, command: str, group: str, **arguments: Any) -> dict[str, Any]:
        """Give one command (`load/src/command.rs`) and return its answer."""
        answer = self.ask({"do": command, "group": group, **arguments})
        if "failed" in answer:
            figures = answer.get("figures", {})
            if _SLOW_READER in figures.get("closed", {}):
                raise Disturbed(f"the load fell behind; it had {figures['cpu_share']:.2f} of its core")
            raise Failed(f"{command} {group}: {answer['failed']}{told(figures)}")
        return answer

    def open(
        self, group: str, count: int, server: Server | Limit | Bare, connect: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        """Open connections as a new group."""
        place = {"port": server.port, "connect": connect}
        return self.do("open", group, count=count, **place, max_opening=MAX_OPENING, timeout_s=60, **more)

    def come_back(self, group: str) -> dict[str, Any]:
        """Come back with all of a group, and wait until each has got what it missed."""
        return self.do("return", group, max_opening=MAX_OPENING, timeout_s=_WAIT_S)

    def receive(self, group: str, name: str, counter: int, **more: Any) -> dict[str, Any]:
        """Wait until each connection of the group has this event; return what was counted."""
        return self.do("receive", group, name=name, counter=counter, timeout_s=_WAIT_S, **more)

    def figures(self, group: str) -> dict[str, Any]:
        """Return what was counted since the last `measure`."""
        figures: dict[str, Any] = self.do("report", group)["figures"]
        return figures


@contextlib.contextmanager
def running(cores: Cores, *arguments: str) -> Iterator[tuple[Server, Load]]:
    """Give a server, started with `arguments`, and a load."""
    with Server(cores.server, *arguments) as server, Load(cores.load) as load:
        yield server, load


@contextlib.contextmanager
def running_or_bare(
    cores: Cores, bare: bool, payload: int | None = None, *, lean: bool = False
) -> Iterator[tuple[Server | Bare, Load]]:
    """Start a server, ours or the bare one, and a load; an event's arguments take `payload` bytes.

    `lean` has the bare one take as little memory as it can, and not as little time.
    """
    if bare:
        with Bare(cores.server, payload or 0, lean=lean) as place, Load(cores.load) as load:
            yield place, load
    else:
        with running(cores, *(() if payload is None else ("--payload", str(payload)))) as (server, load):
            yield server, load


def told(figures: dict[str, Any]) -> str:
    """Return what went wrong with some connections as the end of a sentence; nothing if nothing did."""
    said = [f"{count} closed with {code}" for code, count in figures.get("closed", {}).items()]
    said += [f"{count} {fault}" for fault, count in figures.get("faults", {}).items() if count]
    if figures.get("error"):
        said.append(f"for example: {figures['error']}")
    return f" ({', '.join(said)})" if said else ""


def disorder(groups: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Return the gaps, duplicates and events out of order in the figures of some groups."""
    faults = [figures["faults"] for figures in groups]
    return {
        "gaps": sum(figures["gaps"] for figures in groups)
        # A missing event of a connection that gets all of them is a hole in its offsets as well.
        + sum(max(each["missing"], each["holes"] - each["late"]) for each in faults),
        "duplicates": sum(each["twice"] for each in faults),
        "disorder": sum(each["late"] for each in faults),
    }


def faultless(figures: dict[str, Any]) -> dict[str, Any]:
    """Return the figures if every event was there, once and in order. Raises `Failed` if not."""
    if any(figures["faults"].values()):
        found = ", ".join(f"{count} {what}" for what, count in disorder([figures]).items())
        raise Failed(f"not every event came once and in order: {found}{told(figures)}")
    return figures


def complete(figures: dict[str, Any]) -> dict[str, Any]:
    """Return the figures if besides nothing was lost that the server told of. Raises `Failed` if not."""
    if figures["gaps"]:
        raise Failed(f"the server told of {figures['gaps']} gaps with {figures['lost']} events")
    return faultless(figures)


def _stopped(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
