"""Tables of the page's sections on one question each: idle connections, calls, who comes back, who sleeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import checks
from beside import row
from kept import Reports

__all__ = ["memory", "replay", "round_trips", "sleepers"]

_SLEEPERS: Final = {
    "reading": "read like the others",
    "absent": "are not connected",
    "disconnect": 'sleep, `slow_reader="disconnect"`',
    "skip": 'sleep, `slow_reader="skip"`',
}
"""By variant: what those do who sleep in the last two."""
_OF_ACTIONS: Final = ("server_us_per_action", "both_us_per_action")
"""Who is one process with its client cannot tell the first."""


def memory(reports: Reports) -> Iterator[str]:
    """What an idle connection holds, by the number of connections."""
    yield row("connections", "bytes for each", "bare picows server", "ratio")
    yield row("---:", *["---:"] * 3)
    for label in sorted(reports, key=int):
        report = reports[label]
        own, bare = (report["median"][side]["bytes_per_connection"] for side in ("ringcast", "bare picows"))
        yield row(f"{int(label):,}", f"{own:,.0f}", f"{bare:,.0f}", f"{own / bare:.2f}")


def round_trips(reports: Reports) -> Iterator[str]:
    """How fast calls are answered, beside RivetKit: by how many are on their way at a time."""
    [report] = reports.values()
    yield from checks.busy_note(_round_trips(report["median"]))


def _round_trips(medians: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield row(
        "on their way at a time",
        "",
        "actions/s",
        "Ringcast's, to it",
        "round trip, ms, p50 / p99",
        "server, µs of CPU an action",
        "server and client",
        "client, of its core",
    )
    yield row("---:", "---", *["---:"] * 6)
    own: dict[str, float] = {}
    for variant, of in medians.items():
        side, _, rest = variant.rpartition(", ")
        at_a_time = rest.partition(" ")[0]
        rate = of["actions_per_s"]
        ratio = own.setdefault(at_a_time, rate) / rate
        yield row(
            at_a_time,
            side,
            f"{rate:,.0f}",
            "" if side == "ringcast" else f"{ratio:.1f}",
            f"{of['p50_us'] / 1000:.2f} / {of['p99_us'] / 1000:.2f}",
            *("" if of.get(name) is None else f"{of[name]:.1f}" for name in _OF_ACTIONS),
            checks.shown(of.get("receiver_cpu_share")),
        )


def replay(reports: Reports) -> Iterator[str]:
    """How fast a crowd gets what it missed, and what others notice of it."""
    report = reports["replay"]
    runs, middle = report["runs"]["replay"], report["median"]["replay"]

    def ranged(name: str, unit: float, form: str) -> tuple[str, str]:
        values = [run[name] / unit for run in runs]
        return f"{middle[name] / unit:{form}}", f"{min(values):{form}} to {max(values):{form}}"

    clients = report["options"]["connections"]
    yield row("", f"median of {len(runs)}", "lowest to highest")
    yield row("---", "---:", "---:")
    yield row("missed events a second, in millions", *ranged("deliveries_per_s", 1e6, ".2f"))
    yield row("clients a second that have caught up", *ranged("clients_per_s", 1, ",.0f"))
    yield row("processor time of the server for a client, ms", *ranged("server_cpu_s", clients / 1000, ".2f"))
    yield row("share of its core: server", *ranged("server_cpu_share", 1, ".2f"))
    yield row("share of its core: load", *ranged("load_cpu_share", 1, ".2f"))
    for when in ("before", "meanwhile"):
        for figure in ("p50", "p99"):
            late = (_latency(of, when, figure) for of in runs)
            cells = _cells(_latency(middle, when, figure), [ms for ms in late if ms is not None])
            yield row(f"latency of an event to the others, {when}: {figure}, ms", *cells)


def _latency(of: dict[str, Any], when: str, figure: str) -> float | None:
    """Return it in milliseconds; None where the others got no event in that time."""
    latency: dict[str, float | None] | None = of["others_latency_ms"][when]
    return None if latency is None else latency[figure]


def _cells(middle: float | None, found: list[float]) -> tuple[str, str]:
    return ("", "") if middle is None else (f"{middle:.1f}", f"{min(found):.1f} to {max(found):.1f}")


def sleepers(reports: Reports) -> Iterator[str]:
    """What the others get while some sleep, and what the sleepers cost."""
    report = reports["sleepers"]
    options, medians, compared = (report[name] for name in ("options", "median", "compared"))
    asleep = len(range(0, options["clients"], options["every"]))
    others = options["clients"] - asleep
    yield row(
        f"the {asleep:,} sleepers",
        f"events a second to the {others:,} others, in millions",
        "to the rate when they all read",
        f"to the rate without the {asleep:,}",
        "growth of the server, MB",
        "the ring holds, MB",
        "server, of its core",
        "load, of its core",
    )
    yield row("---", *["---:"] * 7)
    own = {"reading": ("1", ""), "absent": ("", "1")}
    for variant, said in _SLEEPERS.items():
        of, ratios = medians[variant], compared.get(variant, {})
        yield row(
            said,
            f"{of['others_events_per_s'] / 1e6:.1f}",
            *own.get(variant)
            or (f"{ratios[f'rate_to_{to}']:.2f}" for to in ("all_reading", "sleepers_absent")),
            f"{of['memory_growth_bytes'] / 1e6:.1f}",
            f"{of['retained_bytes'] / 1e6:.1f}",
            f"{of['server_cpu_share']:.2f}",
            f"{of['load_cpu_share']:.2f}",
        )
    yield from ("", f"The actor's ring may hold {medians['skip']['ring_bytes'] / 1e6:.1f} MB.")
