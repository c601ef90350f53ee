"""The command `ringcast` in processes of its own, as a person runs it, for tests of any subject."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["PROJECT", "RINGCAST", "Finished", "Output", "Program", "Server", "demo", "run", "serve", "start"]

PROJECT = Path(__file__).parent.parent
RINGCAST = str(Path(sys.executable).parent / "ringcast")
TIMEOUT_S = 30.0


@dataclass
class Finished:
    """How a process ended and what it said that nobody had read."""

    code: int
    out: list[str]
    err: list[str]


class Output:
    """The lines that a process writes to one pipe, read as they come: a full pipe would stop the process."""

    def __init__(self, pipe: IO[str]) -> None:
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._pipe = pipe
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def line(self) -> str:
        """Return the next line without its end. Raises `AssertionError` if there is none in time."""
        try:
            line = self._lines.get(timeout=TIMEOUT_S)
        except queue.Empty:
            raise AssertionError(f"the process said nothing for {TIMEOUT_S:g} s") from None
        if line is None:
            self._lines.put(None)  # the end is the end for whoever asks next as well
            raise AssertionError("the process said nothing more")
        return line

    def until(self, text: str) -> str:
        """Return all up to the line that has `text`. Raises `AssertionError`, with what came instead."""
        said: list[str] = []
        try:
            while not said or text not in said[-1]:
                said.append(self.line())
        except AssertionError as error:
            raise AssertionError(f"{error}, without {text!r}; before that: {said}") from None
        return "\n".join(said)

    def rest(self) -> list[str]:
        """Return the lines that are left, once the process has ended."""
        self._reader.join(TIMEOUT_S)
        assert not self._reader.is_alive(), "something holds the pipe open"
        lines = list(iter(self._lines.get, None))
        self._lines.put(None)
        return lines

    def _read(self) -> None:
        with self._pipe:
            for line in self._pipe:
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)


class Program:
    """A process that runs; `finish` it."""

    def __init__(self, command: Sequence[str], cwd: Path) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        self.out = Output(self.process.stdout)
        self.err = Output(self.process.stderr)

    def finish(self, number: signal.Signals | None = None) -> Finished:
        """Wait for the end, after sending a signal if one is given; kill it and fail if it takes too long."""
        if number is not None and self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            said = [*self.out.rest(), *self.err.rest()]
            raise AssertionError(f"{self.process.args!r} did not end; it said: {said}") from None
        return Finished(code, self.out.rest(), self.err.rest())


@dataclass
class Server:
    """A server that runs, and what it said until it was ready."""

    process: subprocess.Popen[str]
    url: str
    said: str


def start(*command: str, cwd: Path = PROJECT) -> Program:
    """Start a command with pipes; `finish` it."""
    return Program(command, cwd)


def run(*arguments: str, cwd: Path = PROJECT) -> Finished:
    """Run `ringcast` with these arguments to its end."""
    return start(RINGCAST, *arguments, cwd=cwd).finish()


@contextlib.contextmanager
def demo(*options: str, program: Sequence[str] = (RINGCAST,)) -> Iterator[Server]:
    """Run `ringcast demo` on a free port; `program` is how `ringcast` is started."""
    running = start(*program, "demo", "--port", "0", *options)
    with _running(running, running.out, "afterwards, in order") as server:
        yield server


@contextlib.contextmanager
def serve(place: str, *options: str, cwd: Path, faults: bool = False) -> Iterator[Server]:
    """Run `ringcast serve` on a free port, in a directory that has the module.

    With `faults` its actors raise, and it must have said so by the end.
    """
    running = start(RINGCAST, "serve", place, "--port", "0", *options, cwd=cwd)
    with _running(running, running.err, "serving ", faults=faults) as server:
        yield server


@contextlib.contextmanager
def _running(program: Program, output: Output, ready: str, *, faults: bool = False) -> Iterator[Server]:
    try:
        try:
            said = output.until(ready)
        except AssertionError as error:
            ended = program.finish(signal.SIGTERM)
            raise AssertionError(f"the server did not start: {error}; {ended}") from None
        url = re.search(r"https?://\S+:\d+", said)
        assert url is not None, said
        yield Server(program.process, url[0], said)
    finally:
        ended = program.finish(signal.SIGTERM)
    assert ended.code == 0, ended
    # Whatever it was asked to do, a server that has nothing to complain about is silent.
    errors = [line for line in ended.err if "ERROR" in line or "Traceback" in line]
    assert bool(errors) is faults, ended.err
