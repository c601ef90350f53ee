"""Action round trips beside RivetKit 2.2: the same calls over one connection, as many on their way at a time.

RivetKit is asked twice: with its server and its client in one process, which may use both cores, as it was
when Ringcast's target was set; and with each in a process of its own, on the cores that Ringcast's server and
the load have. The client is RivetKit's own, for want of another that speaks its protocol.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from peer import Program, free_port

from ringcast.bench import actions
from ringcast.bench.cores import Cores
from ringcast.bench.failures import Failed
from ringcast.bench.figures import table
from ringcast.bench.question import Figures, Question, ask
from ringcast.bench.rig import require_release

_HOME: Final = Path(__file__).resolve().parent / "rivetkit"
_PACKAGE: Final = _HOME / "node_modules" / "rivetkit" / "package.json"

_RINGCAST: Final = "ringcast"
_TOGETHER: Final = "rivetkit"
_APART: Final = "rivetkit, client apart"
_AT_A_TIME: Final = (32, 128)
"""With few, both sides wait for each other's turn: how soon the system wakes them is a part of the figure."""
_ENVIRONMENT: Final = {"NODE_ENV": "production", "RIVET_RUNNER_VERSION": "1"}
"""Without the latter it logs that it has none."""
_SHOWN: Final = {"server_us_per_action": ".1f", "both_us_per_action": ".1f", "receiver_cpu_share": ".2f"}
"""Figures that not every side has."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked: so many calls, whose argument takes so many bytes of JSON."""

    messages: int
    payload: int = 32


def _variant(side: str, at_a_time: int) -> str:
    return f"{side}, {at_a_time} at a time"


def _run(options: Options, cores: Cores, variant: str) -> Figures:
    side, _, rest = variant.rpartition(", ")
    at_a_time = int(rest.partition(" ")[0])
    if side == _RINGCAST:
        asked = actions.Options(messages=options.messages, payload=options.payload, burst=at_a_time)
        return actions.QUESTION.run(asked, cores, "one")
    return _Rivetkit(options, at_a_time).run(cores, apart=side == _APART)


class _Rivetkit:
    def __init__(self, options: Options, at_a_time: int) -> None:
        self._options, self._at_a_time, self._port = options, at_a_time, free_port()

    def run(self, cores: Cores, *, apart: bool) -> Figures:
        if not apart:
            with self._program("both", None) as both:
                both.answer("warm")
                called = both.ask("go", "replies")
            cpu_s = called["cpu_s"]
            return {**self._figures(called), "both_us_per_action": cpu_s / called["replies"] * 1e6}
        with self._program("server", cores.server) as server, self._program("client", cores.load) as client:
            client.answer("warm")
            before_s = server.ask("look", "cpu_s")["cpu_s"]
            called = client.ask("go", "replies")
            used_s = server.ask("look", "cpu_s")["cpu_s"] - before_s
        return {
            **self._figures(called),
            "server_cpu_s": used_s,
            "server_us_per_action": used_s / called["replies"] * 1e6,
            "receiver_cpu_share": called["cpu_s"] / called["seconds"],
        }

    def _program(self, role: str, core: int | None) -> Program:
        sizes = {"role": role, "port": self._port, "burst": self._at_a_time}
        sizes |= {"calls": self._options.messages, "payload": self._options.payload}
        command = ["node", "actions.mjs", *(f"--{name}={value}" for name, value in sizes.items())]
        return Program(f"RivetKit ({role})", command, core, _HOME, **_ENVIRONMENT)

    def _figures(self, called: dict[str, Any]) -> Figures:
        if called["replies"] != self._options.messages:
            raise Failed(f"{called['replies']} replies to {self._options.messages} calls")
        return {
            "actions_per_s": called["replies"] / called["seconds"],
            "p50_us": called["p50_us"],
            "p99_us": called["p99_us"],
        }


def _compare(options: Options, medians: dict[str, Figures]) -> Figures:
    """Return the ratio of Ringcast's rate to each of RivetKit's, by how many are on their way at a time."""
    return {
        name: {
            at_a_time: medians[_variant(_RINGCAST, at_a_time)]["actions_per_s"]
            / medians[_variant(side, at_a_time)]["actions_per_s"]
            for at_a_time in _AT_A_TIME
        }
        for name, side in (("rate_to_rivetkit", _TOGETHER), ("rate_to_rivetkit_apart", _APART))
    }


def _table(medians: dict[str, Figures], compared: Figures) -> str:
    rows = [
        (
            variant,
            f"{of['actions_per_s']:,.0f}",
            f"{of['p50_us'] / 1000:.2f} / {of['p99_us'] / 1000:.2f}",
            *("" if of.get(name) is None else f"{of[name]:{form}}" for name, form in _SHOWN.items()),
        )
        for variant, of in medians.items()
    ]
    head = ("", "actions/s", "round trip, ms, p50 / p99")
    return table((*head, "server, µs an action", "server and client", "client, of its core"), rows)


QUESTION: Final = Question(
    "rivetkit",
    "Action round trips beside RivetKit.",
    Options,
    tuple(_variant(side, at_a_time) for at_a_time in _AT_A_TIME for side in (_RINGCAST, _TOGETHER, _APART)),
    _run,
    _compare,
    _table,
)


@click.command(help=__doc__)
@click.option(
    "--messages", type=click.IntRange(min=1), default=50_000, show_default=True, help="How many calls."
)
@click.option(
    "--runs", type=click.IntRange(min=1), default=5, show_default=True, help="The figures are medians."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def main(messages: int, runs: int, as_json: bool) -> None:
    try:
        if not _PACKAGE.exists():
            raise Failed("RivetKit is not installed: make bench-rivetkit installs it")
        require_release()
        report = ask(
            QUESTION,
            Options(messages),
            runs,
            Cores.choose(None, None),
            lambda line, done, of: click.echo(line, err=True),
        )
    except Failed as failure:
        raise click.ClickException(str(failure)) from failure
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    report["peers"] = {"rivetkit": json.loads(_PACKAGE.read_text())["version"], "node": node}
    click.echo(json.dumps(report) if as_json else QUESTION.table(report["median"], report["compared"]))


if __name__ == "__main__":
    main()
