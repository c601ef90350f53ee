"""Make the tables and plots of docs/performance.md, and README.md's, from what is kept in benches/results.

What is between `<!-- made by benches/report.py: NAME -->` and `<!-- end -->` is written anew; the rest of the
pages is left as it is. What has no answer is told to be not measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import beside
import click
from beside import row
from checks import busy_note, disorder, marked, share, shown
from curves import Plot, drawn, drawn_rows
from kept import PEERS, RIVETKIT, Reports, commits, read
from relayed import relayed
from sections import memory, replay, round_trips, sleepers
from verdicts import VERDICTS

HERE: Final = Path(__file__).resolve().parent
PAGES: Final = (HERE.parent / "docs" / "performance.md", HERE.parent / "README.md")
"""The plots are beside the first one."""
PART: Final = re.compile(r"(<!-- made by benches/report\.py: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

SECTIONS: Final = {
    "memory": ("P6", memory),
    "replay": ("P8", replay),
    "sleepers": ("P7", sleepers),
    "tls": ("tls", relayed),
    "foreign": ("foreign", relayed),
    "rivetkit": (RIVETKIT, round_trips),
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
    lines += ["", *busy_note(_rates(found)), *busy_note(_others(found)), *busy_note(beside.tables(peers))]
    for name, (file, against) in CURVES.items():
        lines += busy_note(_curve(found.get("P11", {}), name, against, plots / f"{file}.svg"))
    for name, against in FILTER_CURVES.items():
        plot = plots / f"filter-{name}.svg"
        lines += busy_note(_filter_curve(found.get("P5-curves", {}), name, against, plot))
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
        target: [each for label, each in reports.items() if label != PEERS and target != RIVETKIT]
        for target, reports in found.items()
    }
    of_peers = {f"{question} beside peers": [report] for question, report in peers.items()}
    return {name: reports for name, reports in (own | of_peers).items() if reports}


def _rates(found: dict[str, Reports]) -> Iterator[str]:
    """The floods beside the limit."""
    yield row(
        "flood",
        "deliveries/s",
        "limit's",
        "ratio",
        "p50, ms",
        "p99, ms",
        "server, of its core",
        "load, of its core",
        "load, for the limit",
    )
    yield row("---", *["---:"] * 8)
    for target in ("P1", "P2", "P3", "P5"):
        for label, report in found.get(target, {}).items():
            if label == PEERS:
                continue
            own, (ours, limits) = report["median"]["ringcast"], _shares(report)
            yield row(
                f"{target} {label}",
                marked(f"{own['deliveries_per_s']:,.0f}", ours),
                marked(f"{report['limit_per_s']:,.0f}", limits),
                f"{report['compared']['rate_to_limit']:.2f}",
                _ms(own["p50_us"]),
                _ms(own["p99_us"]),
                f"{own['server_cpu_s'] / own['seconds']:.2f}",
                shown(ours),
                shown(limits),
            )


def _ms(us: float | None) -> str:
    return "" if us is None else f"{us / 1000:.2f}"


def _shares(report: dict[str, Any]) -> tuple[float | None, float | None]:
    """Return the load's share of its core beside Ringcast and beside the limit."""
    own, limit = (
        share(report["median"].get(side, {}), report.get("options", {})) for side in ("ringcast", "limit")
    )
    return own, limit


def _others(found: dict[str, Reports]) -> Iterator[str]:
    """How busy the load was in the questions that are no floods."""
    rows = [
        row(f"{target} {side}", shown(share(of, report["options"])))
        for target in ("P9", "P10", "P12")
        for label, report in found.get(target, {}).items()
        if label != RIVETKIT
        for side, of in report["median"].items()
    ]
    if rows:
        yield from ("", row("no flood", "load, of its core"), row("---", "---:"), *rows)


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
        "size",
        "events",
        "deliveries/s",
        "limit's",
        "ns of server CPU a delivery",
        "limit's",
        "p99, ms",
        "load, of its core",
        "for the limit",
    )
    yield row("---:", *["---:"] * 8)
    for size, report in points:
        own, compared, (ours, limits) = report["median"]["ringcast"], report["compared"], _shares(report)
        yield row(
            f"{size:,}",
            f"{report['options']['messages']:,}",
            marked(f"{own['deliveries_per_s']:,.0f}", ours),
            marked(f"{report['limit_per_s']:,.0f}", limits),
            f"{compared['server_ns_per_delivery']:,.0f}",
            f"{compared['limit_ns_per_delivery']:,.0f}",
            _ms(own["p99_us"]),
            shown(ours),
            shown(limits),
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
    yield row("size", *events, *(f"µs of CPU: {line}" for line in lines), "load, of its core, in each")
    yield row("---:", *["---:"] * (len(events) + len(lines) + 1))
    for number, size in enumerate(sizes):
        counts = (f"{found[how][size]['options']['messages']:,}" for how in FILTER_LINES)
        (kept, limits), (anew, _) = (_shares(found[how][size]) for how in FILTER_LINES)
        yield row(
            f"{size:,}",
            *counts,
            *(f"{points[number][1]:,.1f}" for points in lines.values()),
            ", ".join(shown(of) for of in (kept, anew, limits)),
        )
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
    found, peers = read(results), beside.read(results)
    sections = {name: _section(table, found.get(of, {})) for name, (of, table) in SECTIONS.items()}
    return {"targets": targets(results, plots), "short": _section(beside.short, peers), **sections}


def _section(table: Callable[[Reports], Iterator[str]], reports: Reports) -> str:
    return "\n".join(table(reports)) if reports else "Not measured."


def replaced(texts: Sequence[str], parts: dict[str, str]) -> list[str]:
    """Return the pages with these parts of them. Raises `ClickException` unless each is there once."""
    names = sorted(found[2] for text in texts for found in PART.finditer(text))
    if names != sorted(parts):
        raise click.ClickException(f"the pages have the parts {names}, and should have {sorted(parts)}")
    return [PART.sub(lambda found: f"{found[1]}{parts[found[2]]}\n{found[3]}", text) for text in texts]


@click.command(help=__doc__)
@click.option("--results", type=click.Path(path_type=Path, exists=True), default=HERE / "results")
@click.option(
    "--page",
    "pages",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    default=PAGES,
    help="A page with some of the parts; may be repeated. The plots are kept beside the first one.",
)
def main(results: Path, pages: Sequence[Path]) -> None:
    made = parts(results, pages[0].parent / "plots")
    for page, text in zip(pages, replaced([page.read_text() for page in pages], made), strict=True):
        page.write_text(text)


if __name__ == "__main__":
    main()
