"""`make soak` tells in its last line what it came to: all is well, a proof has failed, or it was ended."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import programs

from . import soak
from .chaos import Chaos
from .chaos import run as run_chaos
from .crash import Crash
from .crash import run as run_crash
from .soak import Form
from .verdict import Verdict

TESTS = programs.PROJECT / "tests"
COUNTS = (
    "clients",
    "events",
    "deliveries",
    "actions",
    "cuts",
    "kills",
    "lost",
    "duplicated",
    "reordered",
    "gaps",
    "unentitled",
)


def fine(seed: int, time_s: float, verdict: Verdict) -> None:
    verdict.events += 10


def losing_by(bad_seed: int) -> Form:
    def lose(seed: int, time_s: float, verdict: Verdict) -> None:
        verdict.events += 10
        verdict.lost += seed == bad_seed

    return lose


def breaking(seed: int, time_s: float, verdict: Verdict) -> None:
    verdict.events += 10
    raise ExceptionGroup("two at once", [OSError("no more sockets"), ValueError("and so on")])


@pytest.fixture
def forms(monkeypatch: pytest.MonkeyPatch) -> Callable[[Form], None]:
    """Put a proof in the place of the chaos test, between two that find nothing."""

    def put(form: Form) -> None:
        for name, each in {"model": fine, "chaos": form, "crash": fine}.items():
            monkeypatch.setitem(soak.FORMS, name, each)

    return put


@pytest.mark.alone
# Some seconds of each proof, and what it takes to begin and to end them.
@pytest.mark.timeout(600)
def test_a_run_ends_with_its_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [str(TESTS), str(TESTS / "python"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    program = programs.start(sys.executable, "-m", "delivery.soak", "--duration", "5", "--seed", "1")
    program.process.wait()
    ended = program.finish()
    assert ended.code == 0, ended
    [line] = ended.out
    counts = ", ".join(rf"(?P<{name}>\d+) {name}" for name in COUNTS)
    told = re.fullmatch(rf"soak ok: {counts}, 1 rounds, seed 1", line)
    assert told is not None, line
    number = {name: int(value) for name, value in told.groupdict().items()}
    assert number["clients"] > 320
    assert min(number[name] for name in ("events", "deliveries", "actions", "cuts", "kills")) > 0
    assert [number[name] for name in COUNTS[-5:]] == [0] * 5


def test_a_proof_that_fails_ends_the_run_with_the_seed_to_run_it_again(
    forms: Callable[[Form], None], capfd: pytest.CaptureFixture[str]
) -> None:
    forms(losing_by(9))
    assert soak.main(["--duration", "1000", "--seed", "7"]) == 1
    out, err = capfd.readouterr()
    # Two rounds of three proofs, and two of the third.
    assert out == (
        "soak FAILED: 0 clients, 80 events, 0 deliveries, 0 actions, 0 cuts, 0 kills, 1 lost, 0 duplicated, "
        "0 reordered, 0 gaps, 0 unentitled, 2 rounds, seed 7, FAILED with seed 9\n"
    )
    again = "make soak DURATION=1000 SEED=9 ARGS='--only chaos'"
    assert err.splitlines()[-1] == f"seed 9 fails; to run it again: {again}"

    assert soak.main(["--duration", "1000", "--seed", "9", "--only", "chaos"]) == 1
    out, err = capfd.readouterr()
    assert out.endswith("0 gaps, 0 unentitled, 0 rounds, seed 9, FAILED with seed 9\n")
    assert err.splitlines()[-1] == f"seed 9 fails; to run it again: {again}"


def test_a_proof_that_breaks_off_is_one_that_fails(
    forms: Callable[[Form], None], capfd: pytest.CaptureFixture[str]
) -> None:
    forms(breaking)
    assert soak.main(["--duration", "1000", "--seed", "7"]) == 1
    out, err = capfd.readouterr()
    assert out.startswith("soak FAILED: 0 clients, 20 events")
    assert out.endswith("0 rounds, seed 7, FAILED with seed 7\n")
    assert "OSError: no more sockets" in err
    assert "chaos broke off: ExceptionGroup('two at once'" in err
    assert err.splitlines()[-1].endswith("make soak DURATION=1000 SEED=7 ARGS='--only chaos'")


def endless_chaos(seed: int, time_s: float, verdict: Verdict) -> None:
    run_chaos(Chaos(seed, clients=20, events=10_000_000), verdict)


def endless_crash(seed: int, time_s: float, verdict: Verdict) -> None:
    run_crash(Crash(seed, clients=4, kills=10_000_000), verdict)


def signalled(form: Form, number: signal.Signals) -> Form:
    """Run a proof, and send this process a signal twice once it is well under way."""

    def run(seed: int, time_s: float, verdict: Verdict) -> None:
        over = threading.Event()

        def send() -> None:
            while verdict.deliveries < 200 and not over.wait(0.01):
                pass
            for _ in range(2):
                os.kill(os.getpid(), number)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            form(seed, time_s, verdict)
        finally:
            over.set()
            sender.join()

    return run


@pytest.mark.parametrize("form", [endless_chaos, endless_crash])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_what_was_done_until_then(
    form: Form,
    number: signal.Signals,
    forms: Callable[[Form], None],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[programs.Program] = []
    start = programs.start

    def start_and_remember(*command: str, cwd: Path = programs.PROJECT) -> programs.Program:
        started.append(start(*command, cwd=cwd))
        return started[-1]

    monkeypatch.setattr(programs, "start", start_and_remember)
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    forms(signalled(form, number))
    assert soak.main(["--duration", "1000", "--seed", "7"]) == 128 + number
    out, err = capfd.readouterr()
    told = re.fullmatch(
        rf"soak INTERRUPTED by {number.name}: .* (\d+) deliveries, .*, 0 rounds, seed 7\n",
        out,
    )
    assert told is not None and int(told[1]) >= 200, out
    assert "Traceback" not in err
    assert started and all(program.process.poll() is not None for program in started)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_ends_the_model_between_two_steps(
    forms: Callable[[Form], None], capfd: pytest.CaptureFixture[str]
) -> None:
    def model(seed: int, time_s: float, verdict: Verdict) -> None:
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        try:
            soak.model(seed, time_s, verdict)
        finally:
            timer.join()

    forms(model)
    assert soak.main(["--duration", "1000", "--seed", "7"]) == 128 + signal.SIGTERM
    out, err = capfd.readouterr()
    assert out.startswith("soak INTERRUPTED by SIGTERM: ")
    assert "Traceback" not in err
