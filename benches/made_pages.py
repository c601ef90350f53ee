"""Pages made of answers that a test makes up, for the tests of `report.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from report import SECTIONS, main

PAGE = "# Figures\n\n" + "".join(
    f"<!-- made by benches/report.py: {name} -->\nold\n<!-- end -->\n\nwritten by hand\n"
    for name in ("targets", "short", *SECTIONS)
)
OLD = "from before answers said it"


def made(tmp_path: Path, peers: list[dict[str, Any]] | None = None, **targets: dict[str, Any]) -> str:
    """Return the page that is made of these reports by target and label, and those of peers."""
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text(PAGE)
    results.mkdir(exist_ok=True)
    if peers is not None:
        (results / "peers.json").write_text(json.dumps({"peers": {}, "questions": peers}))
    for target, reports in targets.items():
        (results / f"{target}.json").write_text(json.dumps({"target": target, "reports": reports}))
    return report(page, results)


def report(page: Path, results: Path) -> str:
    """Have the page made, and return it."""
    done = CliRunner().invoke(main, ["--results", str(results), "--page", str(page)])
    assert done.exit_code == 0, done.output
    return page.read_text()


def part(name: str, page: str) -> str:
    """Return what the page has between the two comments of this name."""
    return page.partition(f"<!-- made by benches/report.py: {name} -->\n")[2].partition("<!-- end -->\n")[0]


def of_commits(tmp_path: Path, **commits: str | None) -> str:
    """Return what is made of answers of these commits; those of `OLD` do not say any."""
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text(PAGE)
    results.mkdir()
    for name, commit in commits.items():
        content = {"questions": []} if name.startswith("peers") else {"target": name, "reports": {}}
        of = {} if commit == OLD else {"commit": commit}
        (results / f"{name.replace('_', '-')}.json").write_text(json.dumps(of | content))
    return part("targets", report(page, results))


def fanout(deliveries_per_s: float, limit_per_s: float = 1e6, ns: float = 100.0) -> dict[str, Any]:
    own = {
        "deliveries_per_s": deliveries_per_s,
        "p50_us": 1000.0,
        "p99_us": 2000.0,
        "server_cpu_s": 1.0,
        "seconds": 2.0,
        "receiver_cpu_share": 0.5,
    }
    return {
        "machine": {
            "processor": "a processor",
            "cores": 2,
            "system": "Linux 6",
            "python": "3.11.7",
            "ringcast": "0.1.0",
            "load_average": 0.1,
        },
        "cores": {"server": 0, "load": 1, "remark": None},
        "options": {"messages": 4000},
        "runs": {"ringcast": [own]},
        "limit_per_s": limit_per_s,
        "median": {"ringcast": own},
        "compared": {
            "rate_to_limit": deliveries_per_s / limit_per_s,
            "server_ns_per_delivery": ns,
            "limit_ns_per_delivery": 1000.0,
        },
    }


def beside(question: str, figure: str, own: float, **others: float | None) -> dict[str, Any]:
    """Return what was answered about peers; None is of one that failed."""
    counted = {name: value for name, value in others.items() if value is not None}
    pick = max if figure.endswith("_per_s") else min
    best = pick(counted, key=lambda name: counted[name])
    return {
        **fanout(own),
        "question": question,
        "median": {
            "ringcast": {figure: own},
            **{
                name: {"failed": "it lost events"} if each is None else {figure: each}
                for name, each in others.items()
            },
        },
        "compared": {
            "to": {name: own / each for name, each in counted.items()},
            "best": best,
            "to_best": own / counted[best],
        },
    }
