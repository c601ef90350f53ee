"""Ringcast beside other servers, in one run: the same receiver, the same cores, in turns.

Peers that are not installed are left out, and named. README.md says how each is configured.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any, Final

import click
from peer import PEERS, installed
from questions import connects, flood, latency, memory, question_of
from sides import Options

from ringcast.bench.checkout import commit
from ringcast.bench.cores import Cores
from ringcast.bench.failures import Failed
from ringcast.bench.figures import BUSY, machine
from ringcast.bench.question import ask
from ringcast.bench.rig import require_release

_FLOOD: Final = Options(connections=1000, messages=20_000)
_QUESTIONS: Final[dict[str, tuple[Options, str, Any, str]]] = {
    "flood": (_FLOOD, "one broadcast in each turn of the event loop", flood, "deliveries_per_s"),
    "bursts": (
        replace(_FLOOD, messages=60_000, burst=30),
        "30 broadcasts in each turn",
        flood,
        "deliveries_per_s",
    ),
    "one": (
        Options(connections=9000),
        "one broadcast, until the last connection has it",
        flood,
        "until_last_us",
    ),
    "latency": (
        Options(connections=1000, messages=500, rate=100.0),
        "how late events are at 100 a second",
        latency,
        "p99_us",
    ),
    "memory": (Options(connections=2000), "what an idle connection costs", memory, "bytes_per_connection"),
    "memory-many": (Options(connections=9000), "the same of many", memory, "bytes_per_connection"),
    "connects": (Options(connections=4000), "how many are let in a second", connects, "connects_per_s"),
}
_LEAN: Final = ("memory", "memory-many")


@click.command(help=__doc__)
@click.option(
    "--question", "names", multiple=True, type=click.Choice(list(_QUESTIONS)), help="Ask these only."
)
@click.option(
    "--peer", "peers", multiple=True, type=click.Choice(list(PEERS)), help="Compare with these only."
)
@click.option("--connections", type=click.IntRange(min=2), help="How many connections, in every question.")
@click.option("--messages", type=click.IntRange(min=1), help="How many events each of them gets.")
@click.option("--payload", type=click.IntRange(min=32), help="How many bytes the arguments of an event take.")
@click.option("--burst", type=click.IntRange(min=1), help="How many events there are in one turn.")
@click.option("--rate", type=click.FloatRange(min=0.1), help="How many events a second, of `latency`.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="How long a peer floods at most.")
@click.option(
    "--runs", type=click.IntRange(min=1), default=5, show_default=True, help="The figures are medians."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
@click.option(
    "--server-core", type=click.IntRange(min=0), help="Where the servers run.  [default: the first]"
)
@click.option("--load-core", type=click.IntRange(min=0), help="Where the load runs.  [default: the second]")
def main(
    names: tuple[str, ...],
    peers: tuple[str, ...],
    runs: int,
    as_json: bool,
    server_core: int | None,
    load_core: int | None,
    **sizes: Any,
) -> None:
    versions, of_commit = installed(), commit()
    chosen = [name for name in peers or PEERS if name in versions]
    if absent := [name for name in peers or PEERS if name not in versions]:
        click.echo(f"not installed: {', '.join(absent)} (make bench-peers installs all of them)", err=True)
    reports: list[dict[str, Any]] = []
    try:
        require_release()
        cores = Cores.choose(server_core, load_core)
        _warn(cores)
        for name in names or _QUESTIONS:
            report, table = _ask(name, chosen, {k: v for k, v in sizes.items() if v is not None}, runs, cores)
            reports.append(report)
            if not as_json:
                click.echo(f"\n{table}", nl=True)
                sys.stdout.flush()
    except Failed as failure:
        raise click.ClickException(str(failure)) from failure
    finally:
        # Whatever comes later: an answer that is there is not lost.
        if as_json and reports:
            found = {name: versions[name] for name in chosen}
            click.echo(json.dumps({"commit": of_commit, "peers": found, "questions": reports}))


def _ask(
    name: str, peers: list[str], sizes: dict[str, Any], runs: int, cores: Cores
) -> tuple[dict[str, Any], str]:
    defaults, about, measure, figure = _QUESTIONS[name]
    # Each question keeps what makes it the one that it is.
    fixed = {"one": ("messages", "burst"), "bursts": ("burst",)}.get(name, ())
    if not defaults.rate:
        fixed = (*fixed, "rate")
    options = replace(defaults, **{each: value for each, value in sizes.items() if each not in fixed})
    question = question_of(name, about, measure, peers, figure, lean=name in _LEAN)
    report = ask(
        question, options, runs, cores, lambda line, done, of: click.echo(f"{name}: {line}", err=True)
    )
    table = question.table(report["median"], report["compared"])
    return report, f"{name}: {about} ({options.connections:,} connections)\n{table}"


def _warn(cores: Cores) -> None:
    busy = machine()["load_average"]
    if busy > BUSY:
        click.echo(f"warning: the machine is busy (load average {busy:.1f}): do not quote this", err=True)
    if cores.remark is not None:
        click.echo(f"warning: {cores.remark}", err=True)


if __name__ == "__main__":
    main()
