"""One server process for all cases, and a witness: a client that must never notice what the others do."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from raw_client import RawClient

HERE = Path(__file__).parent
STOP_TIMEOUT_S = 15.0

Address = tuple[str, int]


@pytest.fixture(scope="package")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """The address of the server under test. It must stop cleanly, without having logged anything."""
    with serving(tmp_path_factory.mktemp("server") / "log") as address:
        yield address


@pytest.fixture(scope="package")
def compressing_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """The address of one that agrees to compression."""
    with serving(tmp_path_factory.mktemp("compressing") / "log", "compression") as address:
        yield address


@contextmanager
def serving(log: Path, *arguments: str) -> Iterator[Address]:
    """Run a server, which must stop cleanly and write nothing to `log`."""
    with log.open("wb") as errors:
        command = [sys.executable, HERE / "echo_server.py", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        with process, process.stdout as output:
            first_line = output.readline().strip()
            assert first_line.startswith("listening on http://"), (first_line, log.read_text())
            host, _, port = first_line.removeprefix("listening on http://").rpartition(":")
            try:
                yield host, int(port)
            finally:
                process.send_signal(signal.SIGTERM)
                code = process.wait(STOP_TIMEOUT_S)
    assert code == 0, log.read_text()
    assert log.read_text() == "", "the server found something of this worth logging"


class Witness:
    """A connected client that listens, and calls."""

    def __init__(self, address: Address, encoding: str) -> None:
        self._client = RawClient(address, encoding).connect("shouted", key=f"witness {encoding}")
        self._numbers = count(1)

    def check(self) -> None:
        """Get an event and a reply, and nothing else."""
        text = f"still here {next(self._numbers)}"
        id_, message = self._client.new_call("shout", text)
        self._client.send_message(message)
        kind, _, offset, name, args = self._client.read_message()
        assert (kind, name, args) == ("event", "shouted", [text])
        assert offset > 0
        assert self._client.expect_reply(id_) is None

    def close(self) -> None:
        self._client.sock.close()


@pytest.fixture(scope="package")
def witnesses(address: Address) -> Iterator[list[Witness]]:
    """One witness for each encoding, connected before the first case."""
    found = [Witness(address, encoding) for encoding in ("json", "msgpack")]
    yield found
    for witness in found:
        witness.close()


@pytest.fixture(autouse=True)
def undisturbed(witnesses: list[Witness]) -> Iterator[None]:
    """After every case, whatever it did, another client still gets its events and answers."""
    yield
    for witness in witnesses:
        witness.check()


@pytest.fixture
def raw(address: Address) -> Iterator[RawClient]:
    """A TCP connection."""
    with RawClient(address) as client:
        yield client


@pytest.fixture(params=["json", "msgpack"])
def client(address: Address, request: pytest.FixtureRequest) -> Iterator[RawClient]:
    """A connected client, once for each encoding."""
    with RawClient(address, request.param) as client:
        yield client.connect()


@pytest.fixture
def json_client(address: Address) -> Iterator[RawClient]:
    """A connected client of the JSON encoding."""
    with RawClient(address) as client:
        yield client.connect()
