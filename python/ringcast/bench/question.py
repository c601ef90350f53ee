"""What a benchmark is made of, and how it is asked: its variants repeated in turns, and summed up.

How it comes from the command line is `command.py`'s business; the machine's part of it is `figures.py`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from .cores import Cores
from .failures import Disturbed
from .figures import machine, median
from .load import BUILD_PROFILE
from .rig import require_descriptors

__all__ = ["SUMMARY", "Figures", "Question", "ask", "option"]

Figures = dict[str, Any]

SUMMARY: Final = (
    "deliveries_per_s",
    "limit_per_s",
    "p50_us",
    "p99_us",
    "gaps",
    "duplicates",
    "disorder",
    "bytes_per_connection",
    "server_cpu_s",
    "receiver_cpu_s",
)
"""What every report has, None where a question has no such figure: of the first variant, or compared."""

_SOCKETS: Final = ("connections", "clients", "others", "elsewhere")
"""The options that are numbers of connections."""


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
    warm_up: int = 0
    """Connections that are opened beside those of the options."""


def option(default: Any, meaning: str, least: float = 0) -> Any:
    """Return a field of `Question.options`; of a number, `least` is the smallest that makes sense."""
    return field(default=default, metadata={"help": meaning, "least": least})


def ask(
    question: Question, options: Any, count: int, cores: Cores, tell: Callable[[str, int, int], None]
) -> Figures:
    """Run every variant `count` times, in turns, and return the report.

    `tell` hears what comes next, how many runs are over and how many there are. Raises `Failed`.
    """
    sizes = asdict(options)
    require_descriptors(sum(sizes.get(name, 0) for name in _SOCKETS) + question.warm_up)
    about = machine()
    began_s = time.monotonic()
    runs: dict[str, list[Figures]] = {variant: [] for variant in question.variants}
    disturbed = 0
    while (done := sum(map(len, runs.values()))) < count * len(runs):
        variant = min(question.variants, key=lambda name: len(runs[name]))
        tell(f"run {len(runs[variant]) + 1} of {count}: {variant}", done, count * len(runs))
        try:
            runs[variant].append(question.run(options, cores, variant))
        except Disturbed as failure:
            disturbed += 1
            tell(f"  again: {failure}", done, count * len(runs))
            if disturbed > count:
                raise
    middle = {variant: median(figures) for variant, figures in runs.items()}
    compared = question.compare(options, middle)
    summary = {**middle[question.variants[0]], **compared}
    return {
        "question": question.name,
        **{name: summary.get(name) for name in SUMMARY},
        "build_profile": BUILD_PROFILE,
        "machine": about,
        "cores": {**asdict(cores), "remark": cores.remark},
        "options": sizes,
        "seconds": time.monotonic() - began_s,
        "disturbed": disturbed,
        "runs": runs,
        "median": middle,
        "compared": compared,
    }
