"""What is asked of a server and its peers: all of what was asked for, in one span of time, or no figure."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import compare
import pytest
from click.testing import CliRunner
from questions import compared, flood, latency
from questions import question_of as question
from sides import Options, Sent, Used

from ringcast.bench.failures import Failed

FAULTS = {"missing": 0, "holes": 0, "late": 0, "twice": 0}
OPTIONS = Options(connections=10, messages=5, rate=1000.0)


class Server:
    """A side that sends what it is told, and has used its core for as long as there is time."""

    pid = 0
    event = "tick"

    def __init__(self) -> None:
        self.seconds = 0.0

    def place(self) -> dict[str, Any]:
        return {}

    def ready(self) -> None: ...

    def collect(self) -> None: ...

    def send(self, count: int, seconds: float) -> Sent:
        return Sent(0, count)

    def used(self) -> Used:
        self.seconds += 4
        return Used(self.seconds, int(self.seconds * 1e9))


class Load:
    """A load that has read so many events, the last of them after one second."""

    def __init__(self, events: int, late: dict[str, float] | None) -> None:
        self.figures = {
            "events": events,
            "last_ns": 1_000_000_000,
            "latency_ms": late,
            "gaps": 0,
            "faults": FAULTS,
            "error": None,
            "cpu_s": 1.0,
            "cpu_share": 0.5,
        }

    def do(self, *command: Any, **more: Any) -> dict[str, Any]:
        return {"figures": self.figures}

    def receive(self, *command: Any) -> dict[str, Any]:
        return {"figures": self.figures}


def asked(measure: Any, options: Options, events: int, late: dict[str, float] | None) -> dict[str, Any]:
    figures: dict[str, Any] = measure(options, Server(), Load(events, late))
    return figures


@pytest.mark.parametrize("measure", [flood, latency])
def test_the_share_of_a_core_is_of_the_time_in_which_it_was_used(measure: Any) -> None:
    figures = asked(measure, OPTIONS, 50, {"p50": 1.0, "p99": 2.0})
    # Four seconds between both looks, although the last event was read after one.
    assert (figures["server_cpu_s"], figures["server_cpu_share"]) == (4, 1)
    assert figures["receiver_cpu_share"] == 0.5


@pytest.mark.parametrize("messages", [1, 5])
def test_a_latency_that_was_not_recorded_is_none(messages: int) -> None:
    figures = asked(flood, replace(OPTIONS, messages=messages), 50, None)
    assert (figures["p50_us"], figures["p99_us"]) == (None, None)
    assert figures["events"] == 50


def test_a_table_shows_nothing_where_no_latency_was_recorded() -> None:
    figures = asked(flood, OPTIONS, 50, None)
    medians = {"ringcast": figures, "other": figures}
    asks = question("flood", "", flood, ["other"], "deliveries_per_s")
    told = asks.table(medians, compared(medians, "deliveries_per_s"))
    assert told.splitlines()[1].split() == ["ringcast", "50", "1.00", "0.50"]
    asks = question("latency", "", latency, ["other"], "p99_us")
    told = asks.table(medians, compared(medians, "p99_us"))
    assert told.splitlines()[1].split() == ["ringcast", "1.00", "0.50"]
    recorded = {"ringcast": figures, "other": {**figures, "p99_us": 3.0}}
    assert compared(recorded, "p99_us")["to"] == {}


def test_the_latency_of_a_part_of_the_events_does_not_count() -> None:
    late = {"p50": 1.0, "p99": 2.0}
    assert asked(latency, OPTIONS, 50, late)["events"] == 50
    with pytest.raises(Failed, match="49 events were read, of 50"):
        asked(latency, OPTIONS, 49, late)


@pytest.mark.parametrize("late_failure", [Failed("it lost an event"), KeyboardInterrupt()])
def test_a_late_failure_loses_no_answer(monkeypatch: pytest.MonkeyPatch, late_failure: BaseException) -> None:
    def ask(name: str, *more: Any) -> tuple[dict[str, Any], str]:
        if name == "memory":
            raise late_failure
        return {"question": name}, "a table"

    monkeypatch.setattr(compare, "_ask", ask)
    monkeypatch.setattr(compare, "require_release", lambda: None)
    options = ("--question", "flood", "--question", "one", "--question", "memory", "--json")
    done = CliRunner().invoke(compare.main, options)
    assert done.exit_code == 1
    answered = json.loads(done.stdout)["questions"]
    assert [each["question"] for each in answered] == ["flood", "one"]


def test_make_says_nothing_where_the_answers_go() -> None:
    makefile = (Path(compare.__file__).parents[2] / "Makefile").read_text()
    for target in ("bench-peers", r"\$\(PEERS\)/.venv/.installed", r"\$\(PEERS\)/node_modules/.installed"):
        found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
        assert found is not None, target
        recipe = found[1].splitlines()
        assert all(line.startswith("\t@") for line in recipe), recipe
