"""The crash test: a server with a durable actor is killed at random moments, and started again.

What was told to anybody has to be true afterwards: every line of the ledger reaches every client once and in
order, what an answered call has done is in the state once, and what goes by a filter is for those who were
such when it was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import programs
from ringcast import Client
from ringcast.client import ClientConfig
from ringcast.errors import RingcastError
from ringcast.wire.protocol import Gap

from . import ending
from .ledger import BADGES, SHIFTS, digest
from .progress import making_progress
from .proxy import ChaosProxy
from .quiet import quiet_clients
from .verdict import Chosen, Sequence, Verdict

__all__ = ["Crash", "run"]

HERE = Path(__file__).parent
WINDOW_S = 600
"""Longer than all of it: no session may end because a busy machine was slow to start a server."""
STUCK_AFTER_S = 30.0
"""Longer than a server takes to start."""
LONGEST_LIFE_S = 0.6
WRITES_AT_ONCE = 2
IMPATIENT = ClientConfig(
    reconnect_first_s=0.02,
    reconnect_base_s=0.02,
    reconnect_max_s=0.2,
    connect_timeout_s=5,
    ping_idle_s=1,
    ping_reply_s=1,
)


@dataclass(frozen=True)
class Crash:
    """How much of it."""

    seed: int
    clients: int
    """Every other one has a harmful network as well."""
    kills: int
    """At least so many."""
    time_s: float = 0
    """Further ones until so much time has passed."""
    most_s: float = math.inf
    """No further one after this, however few they are."""


class MortalServer:
    """A server on a port of its own, that is killed and started again with what the store has."""

    def __init__(self, store: Path, place: str = "ledger:registry") -> None:
        self._store = store
        self._place = place
        self.address = free_address()
        self._program: programs.Program | None = None
        self._is_ready = False

    def start(self) -> None:
        """Start it, and do not wait."""
        options = ("--port", str(self.address[1]), "--store", str(self._store), "--log-level", "warning")
        self._program = programs.start(
            programs.RINGCAST,
            "serve",
            self._place,
            *options,
            "--session-window",
            str(WINDOW_S),
            cwd=HERE,
        )

    async def ready(self) -> None:
        """Wait until it serves."""
        assert self._program is not None
        if not self._is_ready:
            await asyncio.to_thread(self._program.err.until, "serving ")
            self._is_ready = True

    def kill(self) -> None:
        """Let nothing of it run on; for a run that breaks off."""
        if self._program is not None:
            self._program.process.kill()
            self._program.process.wait()

    async def end(self, number: signal.Signals) -> None:
        """Kill it, or ask it to stop; whatever it did until then, it had nothing to complain about."""
        assert self._program is not None
        program, self._program, self._is_ready = self._program, None, False
        ended = await asyncio.to_thread(program.finish, number)
        assert ended.code == (-number if number is signal.SIGKILL else 0), ended
        assert not [line for line in ended.err if "ERROR" in line or "Traceback" in line], ended.err


def free_address() -> tuple[str, int]:
    """Find a port that is not among those that the system gives to whoever connects.

    Otherwise a client that tries a dead server again and again is some day given the server's own port, is
    connected to itself, and the server cannot have its port back.
    """
    ports = range(20_000, 32_000)
    for port in Random().sample(ports, len(ports)):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return "127.0.0.1", port
    raise AssertionError("no port is free")


class Writer:
    """A real client, which writes lines and reads those of all."""

    def __init__(self, client: Client, name: str, verdict: Verdict, *, late: bool) -> None:
        self.name = name
        self.late = late
        """Whether it joins when there are lines already."""
        self.answered: dict[int, int] = {}
        """Which line each of its calls became."""
        self.lines: dict[int, tuple[str, int]] = {}
        """Who wrote each line, and which of his it is."""
        self._verdict = verdict
        self._made = 0
        self._written: Sequence | None = None if late else Sequence(verdict)
        self._receipts = Sequence(verdict)
        self._chosen = Chosen(verdict)
        self._entitled: list[int] = []
        """Lines whose event `chosen` is for this client, as it reckons by what it was told."""
        self._shift = 0
        self._badges: set[str] = set()
        """Its state at the actor, after the last line that it was told of."""
        self._client = client

    def __str__(self) -> str:
        return f"{self.name}: {len(self.lines)} lines told, {len(self.answered)} calls answered"

    async def join(self) -> None:
        """Connect; those who are not late do so before there is a line."""
        self._connection = self._client.ledger.get_or_create(["a"]).connect(self.name)
        self._connection.on("written", self._take_line)
        self._connection.on("chosen", self._chosen.take)
        self._connection.on("receipt", lambda number, _line: self._receipts.take(number))
        self._connection.on("gap", self._take_gap)
        self._connection.on("error", lambda error: self._problem(f"an error: {error!r}"))
        await self._connection.ready()

    async def write(self, enough: asyncio.Event, random: Random) -> None:
        """Write line after line."""
        while not enough.is_set():
            self._made += 1
            number = self._made
            action = "write_slowly" if random.random() < 0.2 else "write"
            line = await self._connection.call(action, number)
            self.answered[number] = line
            self._verdict.actions += 1
            self._verdict.events += 3
            if self.lines.get(line) != (self.name, number):
                self._problem(f"line {line} is {self.lines.get(line)}, but was answered to {number}")

    async def check(self, told: dict[int, tuple[str, int]]) -> None:
        """Compare what was heard with what the server has, and with what another client was told."""
        book, receipts = await self._connection.read()
        if self._written is not None:
            self._written.end(book["lines"])
        self._receipts.end(receipts)
        self._chosen.end(self._entitled)
        self._verdict.duplicated += self._connection.duplicates
        if receipts != self._made or book["by_writer"].get(self.name, 0) != self._made:
            self._problem(f"{self._made} calls are {book['by_writer'].get(self.name, 0)} lines")
        if any(told.get(line) != this for line, this in self.lines.items()):
            self._problem("the lines that it was told are not those of others")
        if not self.late and digest_of(self.lines) != book["digest"]:
            self._problem("the lines that it was told are not those of the book")

    async def close(self) -> None:
        await self._connection.close()

    def _take_line(self, line: int, writer: str, number: int, changed: str) -> None:
        if self._written is None:
            self._written = Sequence(self._verdict, first=line)
        self._written.take(line)
        self.lines[line] = (writer, number)
        if writer != self.name and self._is_chosen(line):
            self._entitled.append(line)
        if changed == self.name:
            self._shift = line % SHIFTS
            self._badges ^= {BADGES[line % len(BADGES)]}

    def _is_chosen(self, line: int) -> bool:
        """Ask by hand what the filter of a line says."""
        shift, badge = line // SHIFTS % SHIFTS, BADGES[line // SHIFTS % len(BADGES)]
        if line % 2:
            return self._shift == shift or badge in self._badges
        return self._shift != shift and badge not in self._badges

    def _take_gap(self, gap: Gap) -> None:
        self._verdict.gaps += 1
        self._problem(f"was told of {gap}")

    def _problem(self, what: str) -> None:
        self._verdict.problems.append(f"{self.name}: {what}")


def digest_of(lines: dict[int, tuple[str, int]]) -> str:
    """Return the digest of lines in their order, as the ledger makes it."""
    told = ""
    for line in sorted(lines):
        told = digest(told, *lines[line])
    return told


def run(crash: Crash, verdict: Verdict) -> None:
    """Let the clients write while the server dies again and again; tell what was done and what went wrong."""
    verdict.clients += crash.clients
    with quiet_clients(), tempfile.TemporaryDirectory() as place:
        server = MortalServer(Path(place) / "ledger.db")
        try:
            ending.run(_against(server, crash, verdict))
        finally:
            server.kill()


async def _against(server: MortalServer, crash: Crash, verdict: Verdict) -> None:
    server.start()
    await server.ready()
    host, port = server.address
    async with (
        ChaosProxy(host, port, crash.seed) as proxy,
        Client(f"http://{host}:{port}", encoding="json", config=IMPATIENT) as json,
        Client(proxy.url, encoding="msgpack", config=IMPATIENT) as msgpack,
    ):
        writers = [
            Writer((json, msgpack)[number % 2], f"writer {number}", verdict, late=number % 2 == 1)
            for number in range(crash.clients)
        ]
        try:
            async with making_progress(lambda: progress(verdict, writers), STUCK_AFTER_S):
                await _write_and_kill(server, proxy, writers, crash, verdict)
                await asyncio.gather(*(writer.check(writers[0].lines) for writer in writers))
        except* TimeoutError:
            verdict.problems += [f"stuck: {writer}" for writer in writers]
        except* (RingcastError, AssertionError) as failed:
            verdict.problems.append(f"failed: {failed.exceptions!r}")
        finally:
            verdict.cuts += proxy.cuts
    await server.end(signal.SIGTERM)
    _check_answers(writers, verdict)


def progress(verdict: Verdict, writers: list[Writer]) -> int:
    return verdict.kills + verdict.deliveries + sum(len(writer.answered) for writer in writers)


def _check_answers(writers: list[Writer], verdict: Verdict) -> None:
    answered = [line for writer in writers for line in writer.answered.values()]
    if sorted(answered) != list(range(1, len(answered) + 1)):
        verdict.problems.append("two calls were answered with the same line, or one with none")


async def _write_and_kill(
    server: MortalServer, proxy: ChaosProxy, writers: list[Writer], crash: Crash, verdict: Verdict
) -> None:
    """Kill the server until it is enough; then let everybody get his last answers, by a calm network."""
    enough = asyncio.Event()
    random = Random(f"{crash.seed}/lives")
    begun = time.monotonic()
    await asyncio.gather(*(writer.join() for writer in writers if not writer.late))
    async with asyncio.TaskGroup() as tasks:

        async def begin(writer: Writer) -> None:
            if writer.late:
                await writer.join()
            for number in range(WRITES_AT_ONCE):
                draws = Random(f"{crash.seed}/{writer.name}/writes {number}")
                tasks.create_task(writer.write(enough, draws))

        for writer in writers:
            tasks.create_task(begin(writer))
        while time.monotonic() - begun < (crash.time_s if verdict.kills >= crash.kills else crash.most_s):
            await asyncio.sleep(random.uniform(0, LONGEST_LIFE_S))
            await server.end(signal.SIGKILL)
            verdict.kills += 1
            server.start()
            # Every fifth dies while it starts.
            if random.random() > 0.2:
                await server.ready()
        await server.ready()
        enough.set()
        proxy.calm()
