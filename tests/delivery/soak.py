"""The long forms of the proofs, one round after the other until the time is up: `make soak`.

Progress goes to stderr. The last line, on stdout, is the verdict with its counts; the exit code says whether
anything was wrong. A round has the seed of the run plus its number, so that a failing round can be run again
as the first round of a run with its own seed.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
import traceback
from collections.abc import Callable
from typing import Final

import hypothesis
from hypothesis.stateful import run_state_machine_as_test

from . import chaos, crash
from .machine import History
from .profiles import SOAK
from .verdict import Verdict

__all__ = ["main"]

DESCRIPTORS: Final = 8192
SHARES: Final = {"model": 1, "chaos": 2, "crash": 1}
"""Into how many parts what is left of the time is divided, one of which a proof takes."""
LEAST_S: Final = 5.0
"""What the others than the model get even when the time is up: to mean anything, they have to have begun."""


def model(seed: int, _left_s: float) -> Verdict:
    """Run random histories against the model."""
    before = History.counts.copy()
    try:
        run_state_machine_as_test(hypothesis.seed(seed)(History), settings=SOAK)
    except Exception as error:
        traceback.print_exc()
        verdict = Verdict(problems=[f"a history differs from the model: {error!r}"])
    else:
        verdict = Verdict()
    done = History.counts - before
    verdict.clients, verdict.events = done["clients"], done["events"]
    verdict.deliveries, verdict.actions, verdict.cuts = done["messages"], done["actions"], done["cuts"]
    return verdict


def chaotic(seed: int, left_s: float) -> Verdict:
    """Run hundreds of clients through a harmful network."""
    time_s = max(LEAST_S, left_s)
    return chaos.run(chaos.Chaos(seed, clients=300, events=30_000, actions=100, time_s=time_s))


def deadly(seed: int, left_s: float) -> Verdict:
    """Kill a server with durable actors again and again."""
    return crash.run(crash.Crash(seed, clients=20, kills=40, time_s=max(LEAST_S, left_s)))


FORMS: Final[dict[str, Callable[[int, float], Verdict]]] = {
    "model": model,
    "chaos": chaotic,
    "crash": deadly,
}


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(description="Run the long forms of the proofs of delivery.")
    parser.add_argument("--duration", type=float, default=300, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=None, help="[default: drawn from the clock]")
    parser.add_argument("--only", choices=FORMS, help="run this proof alone")
    options = parser.parse_args()
    seed = int(time.time()) if options.seed is None else options.seed
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS if hard < 0 else min(DESCRIPTORS, hard), hard))
    begun = time.monotonic()
    total, rounds = Verdict(), 0
    while total.ok and (rounds == 0 or time.monotonic() - begun < options.duration):
        for name, form in FORMS.items():
            if options.only in (None, name) and total.ok:
                left_s = options.duration - (time.monotonic() - begun)
                verdict = form(seed + rounds, left_s / SHARES[name])
                total.add(verdict)
                report(f"{time.monotonic() - begun:6.0f} s, seed {seed + rounds}, {name} {verdict.line()}")
        rounds += 1
    for problem in total.problems[:20]:
        report(problem)
    if not total.ok:
        report(f"to run it again: make soak DURATION={options.duration:g} SEED={seed + rounds - 1}")
    print(f"soak {total.line()}, {rounds} rounds, seed {seed}", flush=True)
    return 0 if total.ok else 1


def report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
