"""The command `ringcast` in processes of its own, as a person runs it, for tests of any subject."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["PROJECT", "RINGCAST", "Finished", "Server", "demo", "finish", "run", "serve", "start"]

PROJECT = Path(__file__).parent.parent
RINGCAST = str(Path(sys.executable).parent / "ringcast")
TIMEOUT_S = 30.0


@dataclass
class Finished:
    """How a process ended and what it said."""

    code: int
    out: list[str]
    err: list[str]


@dataclass
class Server:
    """A server that runs, and what it said until it was ready."""

    process: subprocess.Popen[str]
    url: str
    said: str


def start(*command: str, cwd: Path = PROJECT) -> subprocess.Popen[str]:
    """Start a command with pipes; `finish` it."""
    return subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Finished:
    """Wait for the end of `process`; kill it and fail if that takes too long."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"{process.args!r} did not end; it said:\n{out}\n{err}") from None
    return Finished(process.returncode, out.splitlines(), err.splitlines())


def run(*arguments: str, cwd: Path = PROJECT) -> Finished:
    """Run `ringcast` with these arguments to its end."""
    return finish(start(RINGCAST, *arguments, cwd=cwd))


@contextlib.contextmanager
def demo(*options: str, program: Sequence[str] = (RINGCAST,)) -> Iterator[Server]:
    """Run `ringcast demo` on a free port; `program` is how `ringcast` is started."""
    process = start(*program, "demo", "--port", "0", *options)
    with _running(process, process.stdout, "afterwards, in order") as server:
        yield server


@contextlib.contextmanager
def serve(place: str, *options: str, cwd: Path, faults: bool = False) -> Iterator[Server]:
    """Run `ringcast serve` on a free port, in a directory that has the module.

    With `faults` its actors raise, and it must have said so by the end.
    """
    process = start(RINGCAST, "serve", place, "--port", "0", *options, cwd=cwd)
    with _running(process, process.stderr, "serving ", faults=faults) as server:
        yield server


@contextlib.contextmanager
def _running(
    process: subprocess.Popen[str], output: IO[str] | None, ready: str, *, faults: bool = False
) -> Iterator[Server]:
    said = ""
    try:
        while ready not in said:
            # Ends with the process at the latest; pytest's timeout stands behind it.
            line = output.readline() if output else ""
            if not line:
                raise AssertionError(f"the server did not start: {said}{finish(process).err}")
            said += line
        url = re.search(r"http://\S+:\d+", said)
        assert url is not None, said
        yield Server(process, url[0], said)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        ended = finish(process)
    assert ended.code == 0, ended
    # Whatever it was asked to do, a server that has nothing to complain about is silent.
    errors = [line for line in ended.err if "ERROR" in line or "Traceback" in line]
    assert bool(errors) is faults, ended.err
