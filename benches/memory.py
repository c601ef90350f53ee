"""What an idle connection takes, and how fast they are accepted; beside a bare picows server, in one run.

`memory.py 2000 9000` asks both servers in turns; `memory.py --parts` says what the bytes are. Servers are in
`idle.py`, the connections in the load. Memory of the kernel is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import httpx
from figures import machine, median, table
from rig import MAX_OPENING, Cores, Failed, Load, build_load, progress, require_release, waited

_PROGRAM: Final = Path(__file__).resolve().parent / "idle.py"
_CONNECT: Final = {"actor": "idle", "key": ["bench"], "subscriptions": ["tick"]}
_WARM: Final = 200
"""Connections before the first look, which leaves out what is there once: lanes, caches, the allocator's
first pools."""
_LEAST_BYTES: Final = 1.0


class _Idle:
    """One of the servers, with what is asked of it."""

    def __init__(self, core: int, kind: str) -> None:
        self.kind = kind
        command = ["taskset", "-c", str(core), sys.executable, str(_PROGRAM), kind]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline().split()
        if len(line) != 2:
            raise Failed("the server did not start")
        self.port, self.pid = int(line[0].rpartition(":")[2]), int(line[1])
        self._http = httpx.Client(base_url=line[0], timeout=60.0)

    def call(self, action: str) -> Any:
        """Call an action of `Idle`. Raises `Failed` for an error."""
        answer = self._http.post(f"/actors/idle/actions/{action}", json={"key": ["bench"]})
        if answer.status_code != httpx.codes.OK:
            raise Failed(f"{action}: {answer.text}")
        return answer.json()["value"]

    def settle(self, connections: int) -> None:
        """Wait until all are there and garbage is collected; picows' own have nothing to collect."""
        if self.kind != "picows":
            waited(lambda: self.call("settle") == connections, "all connections")

    def used(self) -> tuple[int, float]:
        """Return the resident bytes, and the seconds of processor time."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        times = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(times[11]) + int(times[12])
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024, ticks / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self._http.close()
        self.process.terminate()
        self.process.wait(20)


def _measure(cores: Cores, kind: str, count: int) -> dict[str, float]:
    server = _Idle(cores.server, kind)
    try:
        with Load(cores.load) as load:
            _open(load, server, "warm", _WARM)
            server.settle(_WARM)
            before, busy_s = server.used()
            seconds = _open(load, server, "idle", count)
            _, until_s = server.used()  # without what is done to look at it
            server.settle(_WARM + count)
            after, _ = server.used()
    finally:
        server.stop()
    return {
        "bytes_per_connection": (after - before) / count,
        "connects_per_s": count / seconds,
        "server_cpu_us": (until_s - busy_s) / count * 1e6,
    }


def _open(load: Load, server: _Idle, group: str, count: int) -> float:
    more = {"count": count, "port": server.port, "connect": _CONNECT}
    opened = load.do("open", group, **more, max_opening=MAX_OPENING, timeout_s=120)
    return float(opened["progress"]["seconds"])


def _parts(cores: Cores, count: int) -> list[tuple[str, float, float]]:
    """Return what there is for each connection: the type, how many, how many bytes."""
    server = _Idle(cores.server, "parts")
    try:
        with Load(cores.load) as load:
            _open(load, server, "warm", _WARM)
            before = server.call("parts")
            _open(load, server, "idle", count)
            server.settle(_WARM + count)
            after = server.call("parts")
    finally:
        server.stop()
    rows = [("all that Python has allocated", 1.0, (after["python"] - before["python"]) / count)]
    for name, (number, size) in after["types"].items():
        had, took = before["types"].get(name, (0, 0))
        rows.append((name, (number - had) / count, (size - took) / count))
    return sorted((row for row in rows if row[2] >= _LEAST_BYTES), key=lambda row: -row[2])


def _compared(counts: list[int], runs: int, cores: Cores) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for count in counts:
        taken: dict[str, list[dict[str, float]]] = {"ringcast": [], "picows": []}
        for number in range(runs):
            for kind, each in taken.items():
                progress(f"{count} connections, run {number + 1} of {runs}: {kind}")
                each.append(_measure(cores, kind, count))
        ours, bare = median(taken["ringcast"]), median(taken["picows"])
        figures[str(count)] = {
            "ringcast": ours,
            "picows": bare,
            "ratios": {name: ours[name] / bare[name] for name in ours},
        }
    return figures


def _table(figures: dict[str, Any]) -> str:
    rows = [
        (f"{count} {kind}", *(f"{row[name]:,.{digits}f}" for name in _COLUMNS))
        for count, kinds in figures.items()
        for kind, row in kinds.items()
        for digits in ((2,) if kind == "ratios" else (0,))
    ]
    return table(("connections", *_COLUMNS), rows)


_COLUMNS: Final = ("bytes_per_connection", "connects_per_s", "server_cpu_us")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", nargs="*", type=int, default=[2000, 9000], help="how many connections")
    parser.add_argument("--parts", action="store_true", help="say what the bytes are, instead")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--runs", type=int, default=5, help="how often each server is asked")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--load-core", type=int, default=1)
    options = parser.parse_args()
    cores = Cores(options.server_core, options.load_core)
    try:
        require_release()
        build_load()
        if options.parts:
            rows = _parts(cores, options.counts[0])
            report: Any = {name: [number, size] for name, number, size in rows}
            lines = [(name, f"{number:.2f}", f"{size:.0f}") for name, number, size in rows]
            shown = table(("for each connection", "number", "bytes"), lines)
        else:
            report = _compared(options.counts, options.runs, cores)
            shown = _table(report)
    except Failed as failure:
        progress(f"error: {failure}")
        return 1
    print(json.dumps({"machine": machine(), "figures": report}) if options.json else shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
