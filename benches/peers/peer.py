"""The other servers: which there are, whether they are installed, and one of them as a process.

What they are told and what they answer is `servers/control.py`'s; what is asked of them is `questions.py`'s.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import socket
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ringcast.bench.cores import on_core
from ringcast.bench.failures import Failed

__all__ = ["PEERS", "Kind", "Peer", "Program", "free_port", "installed"]

_HERE: Final = Path(__file__).resolve().parent
_SERVERS: Final = _HERE / "servers"
_PYTHON: Final = _HERE / ".venv" / "bin" / "python"
_NODE: Final = "node"
_MODULES: Final = _HERE / "node_modules"

_START_TIMEOUT_S: Final = 30.0
_ANSWER_TIMEOUT_S: Final = 120.0
_STOP_TIMEOUT_S: Final = 10.0

_SOCKET_IO: Final = {"path": "/socket.io/?EIO=4&transport=websocket", "socket_io": True}
_BARE: Final = {"path": "/"}


@dataclass(frozen=True, slots=True)
class Kind:
    """One peer: its program, its package, and how the load speaks to it."""

    program: str
    package: str
    plain: dict[str, Any]
    arguments: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """What starts it, without what is different each time."""
        runtime = [str(_PYTHON)] if self._in_python else [_NODE, "--expose-gc"]
        return [*runtime, str(_SERVERS / self.program), *self.arguments]

    @property
    def version(self) -> str | None:
        """The version that is installed; None without any."""
        if self._in_python:
            return _python_versions().get(self.package)
        about = _MODULES / self.package / "package.json"
        if shutil.which(_NODE) is None or not about.exists():
            return None
        version: str = json.loads(about.read_text())["version"]
        return version

    @property
    def _in_python(self) -> bool:
        return self.program.endswith(".py")


PEERS: Final = {
    "picows": Kind("picows_loop.py", "picows", _BARE),
    "websockets": Kind("websockets_broadcast.py", "websockets", _BARE),
    "socketify": Kind("socketify_publish.py", "socketify", _BARE),
    "python-socketio": Kind("socketio_emit.py", "python-socketio", _SOCKET_IO),
    "ws": Kind("ws_send.js", "ws", _BARE),
    "ws-frame": Kind("ws_send.js", "ws", _BARE, ("--framed",)),
    "socket.io": Kind("socketio_emit.js", "socket.io", _SOCKET_IO),
}


def installed() -> dict[str, str]:
    """Return the versions of the peers that are installed."""
    return {name: version for name, kind in PEERS.items() if (version := kind.version) is not None}


@cache
def _python_versions() -> dict[str, str]:
    if not _PYTHON.exists():
        return {}
    program = (
        "import importlib.metadata as m, json\n"
        "print(json.dumps({each.name: each.version for each in m.distributions()}))"
    )
    said = subprocess.run([_PYTHON, "-c", program], capture_output=True, text=True, check=True)
    versions: dict[str, str] = json.loads(said.stdout)
    return versions


class Program:
    """A server under comparison, or a client: it is told lines, and answers with JSON. What it does wrong
    raises `Failed`."""

    def __init__(
        self, name: str, command: Sequence[str], core: int | None, home: Path, **environment: str
    ) -> None:
        self.name = name
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with on_core(core):
            self._process = subprocess.Popen(command, cwd=home, env=os.environ | environment, **pipes)
        self.pid = self._process.pid
        self._lines: queue.Queue[str] = queue.Queue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def listen(self) -> None:
        """Wait until it listens."""
        self.answer("listening", _START_TIMEOUT_S)

    def ask(self, line: str, field: str) -> dict[str, Any]:
        """Tell it `line`; return its answer, which has `field`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"{self.name} has ended") from None
        return self.answer(field)

    def answer(self, field: str, timeout_s: float = _ANSWER_TIMEOUT_S) -> dict[str, Any]:
        """Return what it says next, which has `field`."""
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise Failed(f"{self.name} said nothing within {timeout_s:g} s; {field} was next") from None
        if not line:
            raise Failed(f"{self.name} has ended; {field} was next")
        answer: dict[str, Any] = json.loads(line)
        if field not in answer:
            raise Failed(f"{self.name} said {answer}; {field} was next")
        return answer

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def __enter__(self) -> Self:
        try:
            self.listen()
        except Failed:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reading.join(_STOP_TIMEOUT_S)
        self._process.stdout.close()


class Peer(Program):
    """A peer on a core of its own."""

    def __init__(self, name: str, core: int | None, **options: Any) -> None:
        self.plain = PEERS[name].plain
        self.port = free_port()
        arguments = [f"--{option}={value}" for option, value in options.items() if value is not True]
        arguments += [f"--{option}" for option, value in options.items() if value is True]
        super().__init__(name, [*PEERS[name].command, f"--port={self.port}", *arguments], core, _SERVERS)

    def connected(self) -> None:
        """Wait until it says that all clients are there."""
        self.answer("connected", _START_TIMEOUT_S)

    def go(self, count: int, seconds: float = float("inf")) -> dict[str, Any]:
        """Have it send so many events, for so long at most; return when it began and the last counter."""
        return self.ask(f"go {count}" if seconds == float("inf") else f"go {count} {seconds}", "last")

    def used(self) -> dict[str, Any]:
        """Return the processor time that it has used, and when it looked."""
        return self.ask("look", "cpu_s")

    def collect(self) -> None:
        """Have it let go of garbage."""
        self.ask("collect", "cpu_s")


def free_port() -> int:
    """Return a port that nobody listens on."""
    # Not every peer can say which port it was given.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
