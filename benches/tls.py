"""What TLS in the server costs: `python benches/tls.py`, after `make setup`.

A flood of events to connections with TLS and to as many without, in turns of one run: deliveries a second,
the processor time that the server spends on one, and how many of them one write of the event loop carries.
Server and receivers have a core each. Every delivery is checked: one connection reads each event, and the
others need to have the same bytes. The receivers are in Python, and decrypt; their share of their core is
told, and where it is all of it, the rate is theirs and only the server's time for a delivery says something.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import httpx
import uvloop

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, _core, action
from ringcast.bench.cores import Cores, on_core
from ringcast.bench.figures import machine
from ringcast.server.serve import run

EVENT_BYTES = 128
TIMEOUT_S = 120
REQUEST = (
    b"GET /connect HTTP/1.1\r\nhost: here\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-protocol: %s\r\n\r\n"
)


class Flood(Actor):
    """Sends events as fast as they are swept."""

    @action
    async def send(self, c: Context, events: int, burst: int) -> None:
        text = "x" * EVENT_BYTES
        for first in range(0, events, burst):
            for number in range(first, min(first + burst, events)):
                c.broadcast("item", number, text)
            await c.drain()

    @action
    def spent(self, c: Context) -> tuple[float, int]:
        """Return the processor time of this process in seconds, and the writes of its event loop."""
        relay = registry.router._relay
        assert relay is not None
        return time.process_time(), relay.writes


# Heartbeats would come between the events.
registry = Registry(
    Flood, store=MemoryStore(), config=ServerConfig(port=0, heartbeat_s=1e5, dead_peer_timeout_s=1e6)
)


@dataclass(frozen=True)
class Result:
    """What one flood took."""

    deliveries_per_s: float
    server_us: float
    """Processor time of the server for one delivery."""
    server_share: float
    receiver_share: float
    deliveries_per_write: float | None
    """Of the event loop; None where it does not write."""


class Receiver(asyncio.Protocol):
    """One connection: what came after the answer to its connect message, as a length and a checksum."""

    subprotocols = b"ringcast.v1.json"

    def __init__(self, expected: Expected, keeps: bool) -> None:
        self._expected = expected
        self._head = b""
        self._upgraded = self._connected = False
        self.kept: list[bytes] | None = [] if keeps else None
        self.length = 0
        self.checksum = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(REQUEST % self.subprotocols)

    def data_received(self, data: bytes) -> None:
        if not self._connected:
            data = self._connect(data)
        if data:
            self.take(data)

    def take(self, data: bytes) -> None:
        """Note what came of events."""
        self.length += len(data)
        self.checksum = zlib.crc32(data, self.checksum)
        if self.kept is not None:
            self.kept.append(data)
        self._expected.note_received(len(data))

    @staticmethod
    def expected_bytes(events: int) -> int:
        """Return how much of that comes in all."""
        return event_frames(events)

    @staticmethod
    def offsets(kept: bytes) -> Iterator[tuple[int, int]]:
        """Give the offset and the number of each event."""
        at = 0
        while at < len(kept):
            size = frame_size(kept[at : at + 4])
            _, _, offset, _, args = json.loads(kept[at + (4 if size > 127 else 2) : at + size])
            yield offset, args[0]
            at += size

    def _connect(self, data: bytes) -> bytes:
        """Take what comes before the events; return what is beyond."""
        self._head += data
        if not self._upgraded:
            response, found, self._head = self._head.partition(b"\r\n\r\n")
            assert found and response.startswith(b"HTTP/1.1 101"), response
            self._upgraded = True
            message = ["connect", {"actor": "flood", "key": ["a"], "subscriptions": ["item"]}]
            payload = json.dumps(message).encode()
            # Masked with zeros.
            self.transport.write(bytes((0x81, 0x80 | len(payload))) + bytes(4) + payload)
        if len(self._head) < 4 or len(self._head) < (size := frame_size(self._head)):
            return b""
        assert b'"connected"' in self._head[:size], self._head
        self._connected = True
        self._expected.note_connected()
        return self._head[size:]

    def connection_lost(self, exc: Exception | None) -> None:
        self._expected.note_lost()


class Expected:
    """What all connections together wait for."""

    def __init__(self, connections: int) -> None:
        self._connecting = connections
        self._bytes = 0
        self._changed = asyncio.Event()
        self.is_lost = False

    def note_connected(self) -> None:
        self._connecting -= 1
        self._changed.set()

    def note_received(self, count: int) -> None:
        self._bytes -= count
        if self._bytes <= 0:
            self._changed.set()

    def note_lost(self) -> None:
        self.is_lost = True
        self._changed.set()

    def expect(self, count: int) -> None:
        self._bytes += count

    async def wait(self) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while self._connecting or self._bytes > 0:
                if self.is_lost:
                    sys.exit("a connection was lost: the receivers are too slow for this flood")
                self._changed.clear()
                await self._changed.wait()


def frame_size(data: bytes) -> int:
    """Return the length of the frame that `data` begins with."""
    if data[1] < 126:
        return 2 + data[1]
    assert data[1] == 126
    return 4 + int.from_bytes(data[2:4], "big")


def event_frames(events: int) -> int:
    """Return the bytes of that many events of a stream whose number has one digit."""
    total = 0
    for number in range(events):
        size = len(
            json.dumps(["event", 1, number + 1, "item", [number, "x" * EVENT_BYTES]], separators=(",", ":"))
        )
        total += size + (2 if size < 126 else 4)
    return total


def check(receivers: list[Receiver], events: int) -> None:
    """Exit unless every connection got each event, once and in order."""
    assert receivers[0].kept is not None
    data = b"".join(receivers[0].kept)
    if list(receivers[0].offsets(data)) != [(number + 1, number) for number in range(events)]:
        sys.exit("an event is missing, or not in its place")
    if {(each.length, each.checksum) for each in receivers} != {(len(data), receivers[0].checksum)}:
        sys.exit("not every connection got the same events")


async def flood(
    url: str, trust: ssl.SSLContext | None, options: argparse.Namespace, kind: type[Receiver] = Receiver
) -> Result:
    """Open the connections, and receive the flood."""
    loop = asyncio.get_running_loop()
    port = int(url.rpartition(":")[2])
    expected = Expected(options.connections)
    receivers = [kind(expected, keeps=number == 0) for number in range(options.connections)]
    for first in range(0, len(receivers), 50):
        some = receivers[first : first + 50]
        await asyncio.gather(
            *(loop.create_connection(lambda each=each: each, "127.0.0.1", port, ssl=trust) for each in some)
        )
    await expected.wait()
    expected.expect(options.connections * kind.expected_bytes(options.events))
    async with httpx.AsyncClient(verify=trust or True, timeout=TIMEOUT_S) as http:

        async def call(name: str, *args: int) -> Any:
            body = {"key": ["a"], "args": args}
            answer = await http.post(f"{url}/actors/flood/actions/{name}", json=body)
            return answer.raise_for_status().json()["value"]

        server_before, writes_before = await call("spent")
        before, started = time.process_time(), time.perf_counter()
        sending = asyncio.create_task(call("send", options.events, options.burst))
        await expected.wait()
        elapsed, own = time.perf_counter() - started, time.process_time() - before
        await sending
        server_after, writes_after = await call("spent")
    check(receivers, options.events)
    for each in receivers:
        each.transport.abort()
    deliveries = options.connections * options.events
    spent, writes = server_after - server_before, writes_after - writes_before
    return Result(
        deliveries_per_s=deliveries / elapsed,
        server_us=spent / deliveries * 1e6,
        server_share=spent / elapsed,
        receiver_share=own / elapsed,
        deliveries_per_write=deliveries / writes if writes else None,
    )


def measure(certificate: Path, is_tls: bool, options: argparse.Namespace, cores: Cores) -> Result:
    """Start a server, and receive one flood from it."""
    files = ("--certificate", str(certificate)) if is_tls else ()
    command = [sys.executable, __file__, "--serve", *files]
    with on_core(cores.server):
        started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with started as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            trust = ssl.create_default_context(cafile=str(certificate)) if is_tls else None
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(flood(url, trust, options))
        finally:
            server.terminate()


def make_certificate(directory: Path) -> Path:
    """Return a file with a certificate for 127.0.0.1 and its key."""
    made = directory / "certificate.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-days", "2", "-subj", "/CN=benchmark", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(directory / "key.pem"), "-out", str(made)),
        ],
        check=True,
        capture_output=True,
    )
    with made.open("a") as file:
        file.write((directory / "key.pem").read_text())
    return made


def serve(certificate: str | None) -> None:
    """Run the server, and print its address."""
    registry.config = replace(registry.config, tls_certificate=certificate)
    run(registry, on_listening=lambda url: print(url, flush=True))


def medians(results: list[Result]) -> dict[str, float | None]:
    columns = [asdict(each) for each in results]
    return {
        name: None if columns[0][name] is None else statistics.median(each[name] for each in columns)
        for name in columns[0]
    }


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description="What TLS in the server costs.")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--burst", type=int, default=10, help="events in each turn of the loop (default 10)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--certificate", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if _core.BUILD_PROFILE != "release":
        sys.exit("a debug build says nothing about speed")
    if options.serve:
        serve(options.certificate)
        return
    cores, about = Cores.choose(None, None), machine()
    results: dict[str, list[Result]] = {"plain": [], "TLS": []}
    with tempfile.TemporaryDirectory() as directory, on_core(cores.load):
        certificate = make_certificate(Path(directory))
        for _ in range(options.runs):
            for name, taken in results.items():
                taken.append(measure(certificate, name == "TLS", options, cores))
    if options.json:
        print(json.dumps(report(options, cores, about, results)))
        return
    print_table({name: medians(taken) for name, taken in results.items()})


def report(
    options: argparse.Namespace, cores: Cores, about: dict[str, Any], results: dict[str, list[Result]]
) -> dict[str, Any]:
    """Return what was found on the machine `about`, in the form of the reports of `ringcast bench`."""
    sizes = {name: getattr(options, name) for name in ("connections", "events", "burst")}
    return {
        "machine": about,
        "cores": {**asdict(cores), "remark": cores.remark},
        "options": {**sizes, "event_bytes": EVENT_BYTES},
        "runs": {name: [asdict(each) for each in taken] for name, taken in results.items()},
        "median": {name: medians(taken) for name, taken in results.items()},
    }


def print_table(median: dict[str, dict[str, float | None]]) -> None:
    print("| | deliveries a second | server, for one | of its core | receivers, of theirs | for a write |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, each in median.items():
        per_write = each["deliveries_per_write"]
        print(
            f"| {name} | {each['deliveries_per_s']:,.0f} | {each['server_us']:.3f} µs"
            f" | {each['server_share']:.2f} | {each['receiver_share']:.2f}"
            f" | {'' if per_write is None else format(per_write, '.1f')} |"
        )


if __name__ == "__main__":
    main()
