"""The long forms of the proofs, one round after the other until the time is up: `make soak`.

Progress goes to stderr. The last line, on stdout, is the verdict with its counts, also when a signal ends the
run or something breaks off; the exit code says whether anything was wrong. A round has the seed of the run
plus its number, so that a failing round can be run again as the first round of a run with its own seed.

CONTRIBUTING.md says what the same seed does again, and how much longer than asked for a run may take.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import hypothesis
from hypothesis.stateful import run_state_machine_as_test

from . import chaos, crash, ending
from .machine import History
from .profiles import SHORTENING, SOAK
from .verdict import Verdict

__all__ = ["FORMS", "main"]

DESCRIPTORS: Final = 8192
LONGEST_ROUND_S: Final = 120.0
"""So that a long run has many seeds."""
SHORTEST_ROUND_S: Final = 20.0
"""With less time left than this, no further round begins."""
LEAST_S: Final = 3.0
"""What a proof gets even when the time is up: to mean anything, it has to have begun."""
FOR_KILLS_S: Final = 25.0
"""What a crash test may take beyond its time to come to twenty kills, where servers are slow to start."""
MOST_SHOWN: Final = 20
"""Problems: the first ones tell most."""

Form = Callable[[int, float, Verdict], None]
"""Runs a proof by a seed for so many seconds, and writes down what was done as it is done."""


def model(seed: int, time_s: float, verdict: Verdict, settings: hypothesis.settings = SOAK) -> None:
    """Run random histories against the model."""
    end = time.monotonic() + time_s
    before = History.counts.copy()
    piece = 0
    try:
        while piece == 0 or time.monotonic() < end:
            run_state_machine_as_test(hypothesis.seed(f"{seed}/{piece}")(History), settings=settings)
            piece += 1
    except Exception as error:
        # With the history.
        traceback.print_exc()
        verdict.problems.append(f"a history differs from the model: {error!r}")
    finally:
        done = History.counts - before
        verdict.clients += done["clients"]
        verdict.events += done["events"]
        verdict.deliveries += done["messages"]
        verdict.actions += done["actions"]
        verdict.cuts += done["cuts"]


def shorten(seed: int, time_s: float, verdict: Verdict) -> None:
    """Run the model's histories, and make one that fails as short as can be before it is shown."""
    model(seed, time_s, verdict, SHORTENING)


def chaotic(seed: int, time_s: float, verdict: Verdict) -> None:
    """Run hundreds of clients through a harmful network; in every third round some, with TLS."""
    if seed % 3:
        chaos.run(chaos.Chaos(seed, clients=300, events=100_000, time_s=time_s), verdict)
    else:
        # Fewer: each of their many handshakes takes both sides longer than anything else that they do.
        chaos.run(chaos.Chaos(seed, clients=24, events=100_000, time_s=time_s, tls=True), verdict)


def deadly(seed: int, time_s: float, verdict: Verdict) -> None:
    """Kill a server with durable actors again and again."""
    most_s = time_s + FOR_KILLS_S
    crash.run(crash.Crash(seed, clients=20, kills=20, time_s=time_s, most_s=most_s), verdict)


FORMS: Final[dict[str, Form]] = {"model": model, "shorten": shorten, "chaos": chaotic, "crash": deadly}
ROUND: Final = {"model": 1, "chaos": 3, "crash": 2}
"""What a round has, and how its time is divided."""


@dataclass
class Soak:
    """One run, and what it has come to."""

    duration_s: float
    seed: int
    weights: Mapping[str, int]
    total: Verdict = field(default_factory=Verdict)
    rounds: int = 0
    """That came to their end."""
    ended_by: signal.Signals | None = None

    def __post_init__(self) -> None:
        self._begun = time.monotonic()

    @property
    def passed_s(self) -> float:
        return time.monotonic() - self._begun

    @property
    def round_seed(self) -> int:
        return self.seed + self.rounds

    @property
    def code(self) -> int:
        """The exit code; after a signal, the one that shells use."""
        if self.ended_by is not None:
            return 128 + self.ended_by
        return 0 if self.total.ok else 1

    def line(self) -> str:
        """Give the verdict."""
        word = None if self.ended_by is None else f"INTERRUPTED by {self.ended_by.name}"
        failed = f", FAILED with seed {self.round_seed}" if self.code == 1 else ""
        return f"soak {self.total.line(word)}, {self.rounds} rounds, seed {self.seed}{failed}"

    def run(self) -> None:
        """Run round after round until the time is up, something is wrong, or a signal comes."""
        with ending.by_signals() as self._ending:
            while self.rounds == 0 or self.duration_s - self.passed_s >= SHORTEST_ROUND_S:
                if not self._run_round():
                    return
                self.rounds += 1

    def _run_round(self) -> bool:
        """Run one proof after the other; tell whether another round may begin."""
        end_s = min(self.duration_s, self.passed_s + LONGEST_ROUND_S)
        parts = sum(self.weights.values())
        for name, part in self.weights.items():
            self._prove(name, max(LEAST_S, (end_s - self.passed_s) * part / parts))
            parts -= part
            if self.ended_by is not None:
                return False
            if not self.total.ok:
                again = f"make soak DURATION={self.duration_s:g} SEED={self.round_seed} ARGS='--only {name}'"
                report(f"seed {self.round_seed} fails; to run it again: {again}")
                return False
        return True

    def _prove(self, name: str, time_s: float) -> None:
        verdict = Verdict()
        report(f"{self.passed_s:6.0f} s, seed {self.round_seed}, {name} for {time_s:.0f} s")
        try:
            FORMS[name](self.round_seed, time_s, verdict)
        except BaseException as error:
            # A signal is the reason for whatever comes after it.
            if self._ending.by is None:
                traceback.print_exc()
                verdict.problems.append(f"{name} broke off: {error!r}")
        self.ended_by = self._ending.by
        self.total.add(verdict)
        word = None if self.ended_by is None else "interrupted"
        report(f"{self.passed_s:6.0f} s, seed {self.round_seed}, {name} {verdict.line(word)}")
        for problem in verdict.problems[:MOST_SHOWN]:
            report(problem)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(description="Run the long forms of the proofs of delivery.")
    parser.add_argument("--duration", type=float, default=300, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=None, help="[default: drawn from the clock]")
    parser.add_argument(
        "--only",
        choices=FORMS,
        help="run this alone; shorten: the model, where a history that fails is made as short as can be",
    )
    options = parser.parse_args(arguments)
    seed = int(time.time()) if options.seed is None else options.seed
    allow_descriptors()
    soak = Soak(options.duration, seed, {options.only: 1} if options.only else ROUND)
    soak.run()
    print(soak.line(), flush=True)
    return soak.code


def allow_descriptors() -> None:
    """Let this process have as many files open as hundreds of clients and their network need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard < 0 else min(DESCRIPTORS, hard)
    if 0 <= soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
