"""What a benchmark is made of, and how one is run from the command line: repeated, summed up, printed.

What is measured is each benchmark's own; the machine's part of a report is in `figures.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import Field, asdict, dataclass, field, fields
from typing import Any

from figures import BUSY, machine, median
from rig import Cores, Disturbed, Failed, build_load, progress, require_release

__all__ = ["Question", "ask", "option"]

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """One benchmark. Its variants are run one after the other, and all of that as often as is asked for."""

    name: str
    help: str
    options: type[Any]
    """A dataclass whose fields are made with `option`: they become the command's own options."""
    variants: tuple[str, ...]
    run: Callable[[Any, Cores, str], Figures]
    """Runs one variant once. Raises `Failed` if a figure would not count."""
    compare: Callable[[Any, dict[str, Figures]], Figures]
    """Takes the options and each variant's medians; returns what they say together."""
    table: Callable[[dict[str, Figures], Figures], str]
    """Takes the medians and what `compare` returned."""


def option(default: Any, meaning: str) -> Any:
    """Return a field of `Question.options`."""
    return field(default=default, metadata={"help": meaning})


def ask(about: str | None, questions: Sequence[Question]) -> int:
    """Run the question that the command line names; return the exit code."""
    given = vars(_parser(about, questions).parse_args())
    question: Question = given["question"]
    options = question.options(**{each.name: given[each.name] for each in fields(question.options)})
    try:
        require_release()
        build_load()
        report = _report(question, options, given["runs"], Cores(given["server_core"], given["load_core"]))
    except Failed as failure:
        progress(f"error: {failure}")
        return 1
    if given["json"]:
        print(json.dumps(report))
    else:
        print(question.table(report["median"], report["compared"]))
    return 0


def _report(question: Question, options: Any, count: int, cores: Cores) -> Figures:
    about = machine()
    if about["load_average"] > BUSY:
        progress(
            f"warning: the machine is busy (load average {about['load_average']:.1f}): do not quote this"
        )
    runs: dict[str, list[Figures]] = {variant: [] for variant in question.variants}
    disturbed = 0
    while len(runs[question.variants[-1]]) < count:
        variant = min(question.variants, key=lambda name: len(runs[name]))
        progress(f"run {len(runs[variant]) + 1} of {count}: {variant}")
        try:
            runs[variant].append(question.run(options, cores, variant))
        except Disturbed as failure:
            disturbed += 1
            progress(f"  again: {failure}")
            if disturbed > count:
                raise
    middle = {variant: median(figures) for variant, figures in runs.items()}
    return {
        "question": question.name,
        "machine": about,
        "options": asdict(options),
        "disturbed": disturbed,
        "runs": runs,
        "median": middle,
        "compared": question.compare(options, middle),
    }


def _parser(about: str | None, questions: Sequence[Question]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="QUESTION")
    for question in questions:
        command = commands.add_parser(
            question.name, help=question.help, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        command.set_defaults(question=question)
        command.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
        command.add_argument("--runs", type=int, default=5, help="how often each variant is run")
        command.add_argument("--server-core", type=int, default=0, help="where the server runs")
        command.add_argument("--load-core", type=int, default=1, help="where the load runs")
        for each in fields(question.options):
            _add_option(command, each)
    return parser


def _add_option(command: argparse.ArgumentParser, each: Field[Any]) -> None:
    flag = "--" + each.name.replace("_", "-")
    command.add_argument(flag, type=type(each.default), default=each.default, help=each.metadata["help"])
