"""`ringcast bench`: each question, asked in small, is answered in full; what does not count is not said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

import programs
from ringcast.bench import memory, rig
from ringcast.bench.fanout import flood_cpu_s
from ringcast.cli import main

SUMMARY = {
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
    "build_profile",
}


@pytest.fixture(autouse=True)
def any_build(monkeypatch: pytest.MonkeyPatch) -> None:
    if rig.BUILD_PROFILE != "release":
        pytest.skip("a debug build is refused")


def asked(question: str, *options: str) -> dict[str, Any]:
    """Ask a question once, as a person does; return what it said as JSON."""
    ended = programs.run("bench", question, "--runs", "1", "--json", *options)
    assert ended.code == 0, ended.err
    report: dict[str, Any] = json.loads("\n".join(ended.out))
    assert report.keys() >= SUMMARY | {
        "question",
        "machine",
        "options",
        "cores",
        "runs",
        "median",
        "compared",
    }
    assert report["question"] == question
    assert report["build_profile"] == "release"
    assert report["machine"].keys() >= {"processor", "cores", "system", "python", "ringcast", "load_average"}
    return report


def counts(report: dict[str, Any]) -> tuple[int, int, int]:
    return report["gaps"], report["duplicates"], report["disorder"]


def test_fanout_tells_the_rate_beside_the_limit() -> None:
    report = asked("fanout", "--connections", "20", "--messages", "300", "--burst", "30", "--payload", "200")
    assert counts(report) == (0, 0, 0)
    assert report["deliveries_per_s"] > 0
    assert report["limit_per_s"] > 0
    assert 0 < report["p50_us"] <= report["p99_us"]
    assert report["server_cpu_s"] > 0
    assert report["receiver_cpu_s"] > 0
    assert report["bytes_per_connection"] is None
    assert report["median"]["ringcast"]["events"] == 20 * 300
    assert report["median"]["limit"]["events"] == 20 * 300
    chosen = report["options"]
    assert (chosen["connections"], chosen["messages"], chosen["burst"], chosen["payload"]) == (
        20,
        300,
        30,
        200,
    )


def test_a_flood_has_used_what_was_used_since_it_began_without_the_call_that_asks() -> None:
    first = {"cpu_s": 10.75, "flood_began_cpu_s": 10.0}
    assert flood_cpu_s(first, {"cpu_s": 11.0}) == 0.5


def test_fanout_of_one_message_tells_when_the_last_connection_had_it() -> None:
    report = asked("fanout", "--connections", "20", "--messages", "1")
    assert report["compared"]["until_last_us"] > 0
    assert report["compared"]["until_last_to_limit"] > 0
    assert report["median"]["ringcast"]["events"] == 20


def test_fanout_of_several_actors_reaches_every_connection() -> None:
    options = ("--connections", "25", "--messages", "40", "--actors", "10", "--others", "5")
    assert asked("fanout", *options)["median"]["ringcast"]["events"] == 25 * 40


def test_latency_is_told_beside_a_picows_loop() -> None:
    report = asked("latency", "--connections", "20", "--messages", "20", "--rate", "100")
    assert counts(report) == (0, 0, 0)
    assert 0 < report["p50_us"] <= report["p99_us"]
    assert report["compared"].keys() == {"p50_to_picows", "p99_to_picows"}


def test_latency_is_that_of_every_event_also_where_the_server_is_too_slow_for_the_rate() -> None:
    report = asked("latency", "--connections", "20", "--messages", "300", "--rate", "1e9")
    assert [report["median"][variant]["events"] for variant in ("ringcast", "picows loop")] == [20 * 300] * 2


def test_replay_counts_what_was_missed() -> None:
    report = asked("replay", "--connections", "30", "--messages", "50", "--others", "5", "--quiet-s", "0.2")
    assert counts(report) == (0, 0, 0)
    assert report["deliveries_per_s"] > 0
    assert report["server_cpu_s"] > 0


@pytest.mark.parametrize("size", [("--messages", "10000"), ("--messages", "300", "--payload", "32768")])
def test_replay_has_a_ring_for_everything_that_is_missed(size: tuple[str, ...]) -> None:
    report = asked("replay", "--connections", "3", "--others", "1", "--quiet-s", "0.1", "--rate", "1", *size)
    assert report["median"]["replay"]["events"] == 3 * int(size[1])


def test_memory_tells_what_an_idle_connection_holds() -> None:
    report = asked("memory", "--connections", "300")
    # Less than the read buffer alone, or more than a hundred times of it, was not measured but made up.
    assert 2_000 < report["bytes_per_connection"] < 200_000
    assert report["deliveries_per_s"] is None


def test_actions_are_all_answered() -> None:
    report = asked("actions", "--connections", "5", "--messages", "200", "--burst", "8")
    for variant in ("one", "many"):
        assert report["median"][variant]["round_trip_ms"]["count"] == 200
        assert report["median"][variant]["actions_per_s"] > 0


def test_connect_is_told_beside_a_bare_picows_server() -> None:
    report = asked("connect", "--connections", "50")
    assert report["median"]["ringcast"]["connects_per_s"] > 0
    assert report["compared"]["rate_to_picows"] > 0


def test_without_json_there_is_a_table_and_no_progress_bar_where_nobody_looks() -> None:
    ended = programs.run("bench", "fanout", "--runs", "1", "--connections", "5", "--messages", "10")
    assert ended.code == 0
    assert ended.out[0].split("  ")[-1].strip() == "receiver"
    assert [line.split()[0] for line in ended.out[1:3]] == ["ringcast", "limit"]
    assert "\r" not in "".join(ended.err)


def test_both_sides_may_share_one_core() -> None:
    core = str(min(os.sched_getaffinity(0)))
    options = ("--connections", "5", "--messages", "10", "--server-core", core, "--load-core", core)
    report = asked("fanout", *options)
    assert report["cores"] == {
        "server": int(core),
        "load": int(core),
        "remark": "the two sides share one core: each is slowed by the other",
    }


def test_a_core_that_is_not_here_is_refused() -> None:
    ended = programs.run("bench", "fanout", "--server-core", "100000")
    assert ended.code == 1
    assert ended.err[-1].startswith("error: there is no core 100000 here")


def test_a_debug_build_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rig, "BUILD_PROFILE", "debug")
    assert main(["bench", "fanout"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: the native module is a debug build, which says nothing about speed")


def test_more_connections_than_the_system_allows_are_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["bench", "memory", "--connections", "100000000"]) == 1
    assert "100000050 connections need more open files" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("replay", "--messages", "1000000", "--payload", "16384"), "choose fewer --messages"),
        (("actions", "--payload", "1000000"), "--payload is 65,280 at most"),
        (("fanout", "--changes"), "--changes is of connections that a --filter looks at"),
        (("fanout", "--drain", "--actors", "2"), "--drain is for a single actor"),
    ],
)
def test_options_that_cannot_work_are_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], why: str
) -> None:
    assert main(["bench", *options]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert why in line


@pytest.mark.parametrize("question", ["connect", "memory"])
def test_the_connections_of_the_warm_up_need_descriptors_as_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    monkeypatch.setattr(rig.resource, "getrlimit", lambda which: (400, 400))
    assert main(["bench", question, "--connections", "100", "--runs", "1"]) == 1
    assert "connections need more open files" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("options", [("latency", "--rate", "nan"), ("memory", "--connections", "1")])
def test_a_number_that_says_nothing_is_refused(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    assert main(["bench", *options]) == 2
    assert f"Invalid value for '{options[1]}'" in capsys.readouterr().err


def test_memory_that_does_not_grow_has_no_figure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "resident", lambda pid: (50_000_000, 50_000_000))
    assert main(["bench", "memory", "--connections", "100", "--runs", "1"]) == 1
    assert "did not grow with 100 connections" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("actor", ["feed", "filteredFeed", "changingFeed", "skippingFeed", "durableFeed"])
def test_every_actor_has_the_ring_that_was_asked_for(actor: str) -> None:
    with rig.Server(None, "--ring-bytes", "12345678") as server:
        assert server.status(actor, "key")["ring_bytes"] == 12_345_678


def test_a_person_at_a_terminal_sees_a_progress_bar() -> None:
    script = (
        "import pty, sys; "
        "status = pty.spawn([sys.executable, '-m', 'ringcast', 'bench', 'fanout', '--runs', '1', "
        "'--connections', '5', '--messages', '10']); sys.exit(status)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stdout
    assert b"[####" in ended.stdout
