"""What an idle connection is made of, on the side of Python: objects by type, and all memory by line.

`ringcast bench memory` says how much it is in all. Here the server runs under `tracemalloc`, so its resident
memory says nothing.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import sys
import tracemalloc
from collections import Counter
from typing import Any, Final

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.bench.cores import Cores
from ringcast.bench.figures import table
from ringcast.bench.rig import Load, Server, waited
from ringcast.server.serve import run

_WARM: Final = 200
"""Connections before the first look, which leaves out what is there once: lanes, caches, first pools."""

_LEAST_BYTES: Final = 1.0
_CONNECT: Final = {"actor": "idle", "key": ["bench"], "subscriptions": ["tick"]}


class Idle(Actor):
    """Has connections, and sends nothing."""

    @action
    def count(self, c: Context) -> int:
        """Return how many connections there are."""
        return len(self.conns)

    @action
    def parts(self, c: Context) -> dict[str, Any]:
        """Return the number and size of the objects of each type, and of what each line has allocated."""
        gc.collect()
        counts: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for each in gc.get_objects():
            name = _name(each)
            counts[name] += 1
            sizes[name] += sys.getsizeof(each)
        types = {name: [counts[name], sizes[name]] for name in counts}
        allocated = tracemalloc.get_traced_memory()[0]
        statistics = tracemalloc.take_snapshot().statistics("lineno")
        lines = {_line(each): [each.count, each.size] for each in statistics}
        return {"types": types, "lines": lines, "python": allocated}


def _name(each: object) -> str:
    kind = type(each)
    if kind.__name__ == "method":
        return f"method {getattr(getattr(each, '__func__', None), '__qualname__', '')}"
    return f"{kind.__module__}.{kind.__qualname__}"


def _line(statistic: tracemalloc.Statistic) -> str:
    frame = statistic.traceback[0]
    return f"{'/'.join(frame.filename.split('/')[-3:])}:{frame.lineno}"


def serve() -> None:
    """Be the server."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    tracemalloc.start(1)
    registry = Registry(Idle, store=MemoryStore(), config=ServerConfig(max_connects_per_s=0))
    run(registry, port=0, on_listening=lambda address: print(address, os.getpid(), flush=True))


def parts(cores: Cores, connections: int) -> list[list[tuple[str, float, float]]]:
    """Return what there is for each connection, by type and by line: which, how many, how many bytes."""

    def opened(group: str, count: int, in_all: int) -> dict[str, Any]:
        load.open(group, count, server, _CONNECT)
        waited(lambda: server.call("idle", "bench", "count") == in_all, "all connections")
        found: dict[str, Any] = server.call("idle", "bench", "parts")
        return found

    with Server(cores.server, "--serve", module="parts") as server, Load(cores.load) as load:
        before = opened("warm", _WARM, _WARM)
        after = opened("idle", connections, _WARM + connections)
    in_all = ("all that Python has allocated", 1.0, (after["python"] - before["python"]) / connections)
    types, lines = (_grown(before[by], after[by], connections) for by in ("types", "lines"))
    return [types, [in_all, *lines]]


def _grown(
    before: dict[str, list[int]], after: dict[str, list[int]], connections: int
) -> list[tuple[str, float, float]]:
    rows = []
    for name, (number, size) in after.items():
        had, took = before.get(name, (0, 0))
        rows.append((name, (number - had) / connections, (size - took) / connections))
    return sorted((row for row in rows if row[2] >= _LEAST_BYTES), key=lambda row: -row[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    # The server is this module again.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        sys.path[:1] + os.environ.get("PYTHONPATH", "").split(os.pathsep)
    )
    for rows in parts(Cores.choose(None, None), options.connections):
        lines = [(name, f"{number:.2f}", f"{size:.0f}") for name, number, size in rows]
        print(table(("for each connection", "number", "bytes"), lines), end="\n\n")


if __name__ == "__main__":
    main()
