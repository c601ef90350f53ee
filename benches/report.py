"""Make the tables and plots of docs/performance.md from what `targets.py` has kept in benches/results.

What is between `<!-- made by benches/report.py: NAME -->` and `<!-- end -->` is written anew; the rest of the
page is left as it is. What has no answer is told to be not measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import beside
import click
from beside import row
from checks import disorder
from curves import Plot, drawn, drawn_rows
from kept import Reports, commits, read
from relayed import relayed
from sections import memory, replay, sleepers
from verdicts import VERDICTS

HERE: Final = Path(__file__).resolve().parent
PAGE: Final = HERE.parent / "docs" / "performance.md"
PART: Final = re.compile(r"(<!-- made by benches/report\.py: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

SECTIONS: Final = {
    "memory": ("P6", memory),
    "replay": ("P8", replay),
    "sleepers": ("P7", sleepers),
    "tls": ("tls", relayed),
    "foreign": ("foreign", relayed),
}
"""Parts of the page behind the targets: the target whose answers it is of, and its table."""

CURVES: Final = {
    "connections, bursts of 1": ("connections-1", "connections, one broadcast a turn"),
    "connections, bursts of 30": ("connections-30", "connections, 30 broadcasts a turn"),
    "payload": ("payload", "bytes of an event's arguments, 1,000 connections"),
    "actors": ("actors", "actors, 1,000 connections among them"),
}
"""By the first part of a label in P11: the name of the plot, and what it is against."""

FILTER_CURVES: Final = {
    "matching": "connections that match, of 9,000",
    "connections": "connections, of which 90 match",
}
"""By the first part of a label in P5-curves: what the plot is against."""
FILTER_LINES: Final = {"kept": "nothing has changed", "anew": "a state has changed before each"}


def targets(results: Path, plots: Path) -> str:
    """Return the part about all targets, and write the plots."""
    found, peers = read(results), beside.read(results)
    lines = [
        *_commits(commits(results)),
        *_machine(found, peers),
        "",
        row("#", "what", "wanted", "found", "met"),
        row(*["---"] * 5),
    ]
    margins: dict[str, float] = {}
    for verdict in VERDICTS:
        said = verdict.judge(found.get(verdict.target, {}))
        told, met = ("not measured", "") if said is None else (said.told, "yes" if said.met else "no")
        lines.append(row(verdict.target, verdict.what, verdict.wanted, told, met))
        if said is not None:
            margins |= {f"{verdict.target} {part}": margin for part, margin in said.margins.items()}
    if margins:
        title = "Times better than wanted; left of 1 a target is missed"
        lines += ["", _image(title, drawn_rows(title, margins), plots / "targets.svg")]
    lines += ["", *_rates(found), *beside.tables(peers)]
    for name, (file, against) in CURVES.items():
        lines += _curve(found.get("P11", {}), name, against, plots / f"{file}.svg")
    for name, against in FILTER_CURVES.items():
        lines += _filter_curve(found.get("P5-curves", {}), name, against, plots / f"filter-{name}.svg")
    return "\n".join(lines)


def _image(what: str, plot: str, file: Path) -> str:
    """Write the plot, and return the line that shows it on the page."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(plot)
    return f"![{what}]({file.parent.name}/{file.name})"


def _commits(by_commit: dict[str | None, list[str]]) -> Iterator[str]:
    """Say of which commit the answers are, or which of them are of which."""
    named = {
        commit: "a commit that is not known" if commit is None else f"commit `{commit}`"
        for commit in by_commit
    }
    if len(named) == 1:
        yield f"All asked of {''.join(named.values())}."
    elif named:
        parts = (f"{', '.join(names)} of {named[commit]}" for commit, names in by_commit.items())
        yield f"Asked of several commits: {'; '.join(parts)}."
    if any(commit is not None and commit.endswith("+") for commit in by_commit):
        yield "A `+` stands for changes since that commit."


def _machine(found: dict[str, Reports], peers: Reports) -> Iterator[str]:
    reports = [each for target in found.values() for each in target.values() if "cores" in each]
    if not reports:
        return
    about = reports[0]["machine"]
    load = max(each["machine"]["load_average"] for each in reports)
    runs = max(len(runs) for each in reports for runs in each["runs"].values())
    yield (
        f"{about['processor']}, {about['cores']} cores, {about['system']}, Python {about['python']}, "
        f"ringcast {about['ringcast']}; medians of up to {runs} runs; highest load average {load:.1f}."
    )
    yield from disorder(_by_question(found, peers))
    remarks = {each["cores"]["remark"] for each in reports} - {None}
    yield from (f"Beware: {remark}." for remark in sorted(remarks))


def _by_question(found: dict[str, Reports], peers: Reports) -> dict[str, list[dict[str, Any]]]:
    """Return the reports of each target, and of each question to the peers."""
    own = {
        target: [each for label, each in reports.items() if label != "peers"]
        for target, reports in found.items()
    }
    of_peers = {f"{question} beside peers": [report] for question, report in peers.items()}
    return {name: reports for name, reports in (own | of_peers).items() if reports}


def _rates(found: dict[str, Reports]) -> Iterator[str]:
    """The floods beside the limit."""
    yield row("flood", "deliveries/s", "limit's", "ratio", "p50, ms", "p99, ms", "server CPU", "receiver CPU")
    yield row("---", *["---:"] * 7)
    for target in ("P1", "P2", "P3", "P5"):
        for label, report in found.get(target, {}).items():
            if label == "peers":
                continue
            own = report["median"]["ringcast"]
            yield row(
                f"{target} {label}",
                f"{own['deliveries_per_s']:,.0f}",
                f"{report['limit_per_s']:,.0f}",
                f"{report['compared']['rate_to_limit']:.2f}",
                f"{own['p50_us'] / 1000:.2f}",
                f"{own['p99_us'] / 1000:.2f}",
                f"{own['server_cpu_s'] / own['seconds']:.2f}",
                f"{own['receiver_cpu_share']:.2f}",
            )


def _curve(reports: Reports, name: str, against: str, file: Path) -> Iterator[str]:
    points = [
        (int(label.rpartition(": ")[2]), report)
        for label, report in reports.items()
        if label.rpartition(": ")[0] == name
    ]
    if len(points) < 2:
        return
    yield from ("", f"**Cost against size: {against}**", "")
    yield row(
        "size", "events", "deliveries/s", "limit's", "ns of server CPU a delivery", "limit's", "p99, ms"
    )
    yield row("---:", *["---:"] * 6)
    for size, report in points:
        own, compared = report["median"]["ringcast"], report["compared"]
        yield row(
            f"{size:,}",
            f"{report['options']['messages']:,}",
            f"{own['deliveries_per_s']:,.0f}",
            f"{report['limit_per_s']:,.0f}",
            f"{compared['server_ns_per_delivery']:,.0f}",
            f"{compared['limit_ns_per_delivery']:,.0f}",
            f"{own['p99_us'] / 1000:.2f}",
        )
    lines = {
        side: [(size, max(1e-3, report["compared"][f"{key}_ns_per_delivery"])) for size, report in points]
        for side, key in (("ringcast", "server"), ("the limit", "limit"))
    }
    plot = drawn(Plot("Processor time a delivery", against, "nanoseconds", lines))
    yield from ("", _image(f"Processor time a delivery against {against}", plot, file))


def _filter_curve(reports: Reports, name: str, against: str, file: Path) -> Iterator[str]:
    """What a broadcast with a filter costs, beside a bare loop that sends to those who match."""
    found = {
        how: {int(size): reports[f"{name}, {how}: {size}"] for size in _sizes(reports, f"{name}, {how}")}
        for how in FILTER_LINES
    }
    sizes = sorted(found["kept"].keys() & found["anew"].keys())
    if len(sizes) < 2:
        return
    lines = {
        said: [(size, _us(found[how][size], "server")) for size in sizes]
        for how, said in FILTER_LINES.items()
    }
    lines["the limit"] = [(size, _us(found["kept"][size], "limit")) for size in sizes]
    yield from ("", f"**A broadcast with a filter: {against}**", "")
    events = [f"events: {said}" for said in FILTER_LINES.values()]
    yield row("size", *events, *(f"µs of CPU: {line}" for line in lines))
    yield row("---:", *["---:"] * (len(events) + len(lines)))
    for number, size in enumerate(sizes):
        counts = (f"{found[how][size]['options']['messages']:,}" for how in FILTER_LINES)
        yield row(f"{size:,}", *counts, *(f"{points[number][1]:,.1f}" for points in lines.values()))
    title = "Processor time of a broadcast with a filter"
    yield from ("", _image(title, drawn(Plot(title, against, "microseconds", lines)), file))


def _sizes(reports: Reports, name: str) -> list[str]:
    return [label.rpartition(": ")[2] for label in reports if label.rpartition(": ")[0] == name]


def _us(report: dict[str, Any], side: str) -> float:
    """Microseconds of one side's processor time for one event, however many get it."""
    ns: float = report["compared"][f"{side}_ns_per_delivery"] * report["options"]["connections"]
    return max(1e-3, ns / 1000)


def parts(results: Path, plots: Path) -> dict[str, str]:
    """Return what stands between each pair of comments, by its name, and write the plots."""
    found = read(results)
    sections = {name: _section(table, found.get(of, {})) for name, (of, table) in SECTIONS.items()}
    return {"targets": targets(results, plots), **sections}


def _section(table: Callable[[Reports], Iterator[str]], reports: Reports) -> str:
    return "\n".join(table(reports)) if reports else "Not measured."


def replaced(text: str, parts: dict[str, str]) -> str:
    """Return the page with these parts of it. Raises `ClickException` unless it has each of them once."""
    names = sorted(found[2] for found in PART.finditer(text))
    if names != sorted(parts):
        raise click.ClickException(f"the page has the parts {names}, and should have {sorted(parts)}")
    return PART.sub(lambda found: f"{found[1]}{parts[found[2]]}\n{found[3]}", text)


@click.command(help=__doc__)
@click.option("--results", type=click.Path(path_type=Path, exists=True), default=HERE / "results")
@click.option("--page", "to", type=click.Path(path_type=Path, exists=True), default=PAGE)
def main(results: Path, to: Path) -> None:
    to.write_text(replaced(to.read_text(), parts(results, to.parent / "plots")))


if __name__ == "__main__":
    main()
