"""What a server of others costs: `python benches/foreign.py`, after `make setup`.

The flood of `tls.py`, over plain sockets: to Ringcast's own server, which writes by itself, and to
`registry.asgi()` under uvicorn, with clients that take several messages in one and with others. The last
column is how many deliveries one write of the event loop carries, for uvicorn one `send`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator

import tls
import uvicorn
import uvloop

from ringcast import _core
from ringcast.bench.cores import Cores, on_core
from ringcast.bench.figures import machine

EVENT_BYTES = tls.EVENT_BYTES


class Messages(tls.Receiver):
    """One connection, of which only the messages count: where one ends differs between connections."""

    def __init__(self, expected: tls.Expected, keeps: bool) -> None:
        super().__init__(expected, keeps)
        self._rest = b""

    def take(self, data: bytes) -> None:
        data, at, lines = self._rest + data, 0, []
        while len(data) - at >= 10 or (len(data) - at >= 2 and data[at + 1] < 126):
            short = data[at + 1]
            head = 2 if short < 126 else 4 if short == 126 else 10
            size = short if short < 126 else int.from_bytes(data[at + 2 : at + head], "big")
            if len(data) - at - head < size:
                break
            lines.append(data[at + head : at + head + size])
            at += head + size
        self._rest = data[at:]
        if lines:
            super().take(b"\n".join(lines) + b"\n")

    @staticmethod
    def expected_bytes(events: int) -> int:
        def line(number: int) -> str:
            event = ["event", 1, number + 1, "item", [number, "x" * EVENT_BYTES]]
            return json.dumps(event, separators=(",", ":"))

        return sum(len(line(number)) + 1 for number in range(events))

    @staticmethod
    def offsets(kept: bytes) -> Iterator[tuple[int, int]]:
        for line in kept.splitlines():
            _, _, offset, _, args = json.loads(line)
            yield offset, args[0]


class Batched(Messages):
    """One that takes several in one."""

    subprotocols = b"ringcast.v1.json, ringcast.v1.json.batched"


ROWS: dict[str, tuple[str, type[tls.Receiver]]] = {
    "Ringcast's own": ("own", tls.Receiver),
    "uvicorn": ("uvicorn", Batched),
    "uvicorn, one message in each": ("uvicorn", Messages),
}


def serve_with_uvicorn() -> None:
    """Run the registry's application, and print its address."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    config = uvicorn.Config(
        tls.registry.asgi(), ws_per_message_deflate=False, access_log=False, log_level="warning"
    )
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(uvicorn.Server(config).serve([listening]))


def measure(name: str, options: argparse.Namespace, cores: Cores) -> tls.Result:
    """Start a server, and receive one flood from it."""
    server_kind, receiver = ROWS[name]
    with on_core(cores.server):
        started = subprocess.Popen(
            [sys.executable, __file__, "--serve", server_kind], stdout=subprocess.PIPE, text=True
        )
    with started as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(tls.flood(url, None, options, receiver))
        finally:
            server.terminate()


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description="What a server of others costs.")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--events", type=int, default=5_000)
    parser.add_argument("--burst", type=int, default=10, help="events in each turn of the loop (default 10)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if _core.BUILD_PROFILE != "release":
        sys.exit("a debug build says nothing about speed")
    if options.serve:
        tls.serve(None) if options.serve == "own" else serve_with_uvicorn()
        return
    cores, about = Cores.choose(None, None), machine()
    results: dict[str, list[tls.Result]] = {name: [] for name in ROWS}
    with on_core(cores.load):
        for _ in range(options.runs):
            for name, taken in results.items():
                taken.append(measure(name, options, cores))
    if options.json:
        print(json.dumps(tls.report(options, cores, about, results)))
        return
    tls.print_table({name: tls.medians(taken) for name, taken in results.items()})


if __name__ == "__main__":
    main()
