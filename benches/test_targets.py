"""Every target is asked and its answer kept, with the commit and with what failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import targets
from click.testing import CliRunner, Result

from ringcast.bench import memory


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the answers of this test are kept: `P6` is asked, `P4` and the scripts are answered at once."""
    monkeypatch.setattr(targets, "commit", lambda: "abc1234")
    monkeypatch.setattr(
        targets, "points", lambda: iter([targets.Point("P6", "2000", memory.QUESTION, memory.Options())])
    )
    monkeypatch.setattr(targets, "asked", lambda point, runs, cores: {"asked": point.label, "runs": runs})
    monkeypatch.setattr(targets, "calls", lambda results, quick, of_commit: None)
    monkeypatch.setattr(targets, "scripted", lambda name, runs, quick: {"asked": name, "runs": runs})
    return tmp_path / "results"


def ask(results: Path, *arguments: str) -> Result:
    return CliRunner().invoke(targets.main, ["--results", str(results), *arguments])


def kept(results: Path) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text()) for path in results.iterdir()}


def test_each_answer_is_kept_with_its_commit(results: Path) -> None:
    assert ask(results, "--runs", "3").exit_code == 0
    labels = {
        "tls": ("flood", "tls"),
        "foreign": ("flood", "foreign"),
        "rivetkit": ("calls", "rivetkit"),
        "P6": ("2000", "2000"),
    }
    assert kept(results) == {
        target: {
            "commit": "abc1234",
            "target": target,
            "reports": {label: {"asked": asked, "runs": 3}},
        }
        for target, (label, asked) in labels.items()
    }


@pytest.mark.parametrize("only", ["tls", "foreign", "rivetkit", "P6"])
def test_one_target_can_be_asked_by_itself(results: Path, only: str) -> None:
    assert ask(results, "--only", only).exit_code == 0
    assert list(kept(results)) == [only]


def test_quickly_all_is_asked_once(results: Path) -> None:
    assert ask(results, "--quick").exit_code == 0
    reports = [report for target in kept(results).values() for report in target["reports"].values()]
    assert [report["runs"] for report in reports] == [1] * 4


def test_quickly_every_question_is_asked_in_small_and_of_a_curve_its_ends() -> None:
    whole, quick = list(targets.points()), list(targets.quickly(targets.points()))

    def labels(points: list[targets.Point], target: str) -> list[str]:
        return [point.label for point in points if point.target == target]

    assert {point.target for point in quick} == {point.target for point in whole}
    assert labels(quick, "P5") == labels(whole, "P5") == ["few", "filtered"]
    assert [label for label in labels(quick, "P11") if label.startswith("payload")] == [
        "payload: 32",
        "payload: 65536",
    ]
    assert max(getattr(point.options, "connections", 0) for point in quick) == 200


@pytest.mark.parametrize(
    ("label", "rate"),
    {
        "connections, bursts of 1: 10": 1_667_047,
        "connections, bursts of 1: 9000": 14_145_479,
        "connections, bursts of 30: 10": 3_286_942,
        "payload: 32": 42_982_477,
        "payload: 65536": 62_371,
        "actors: 1000": 140_920,
        "matching, kept: 1": 228_000,
        "matching, anew: 9000": 3_090_000,
        "connections, anew: 90": 4_260_000,
    }.items(),
)
def test_a_flood_of_a_curve_is_as_long_as_one_second_at_the_rate_that_it_had(label: str, rate: int) -> None:
    [options] = [point.options for point in targets.points() if point.label == label]
    assert 1 <= options.messages * options.connections / rate < 1.5


def test_what_fails_is_kept_and_the_others_are_asked(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "scripted", lambda name, runs, quick: {"failed": "it fell over"})
    done = ask(results)
    assert done.exit_code == 1
    assert "failed: tls flood, foreign flood, rivetkit calls" in done.output
    found = kept(results)
    assert found["tls"]["reports"] == {"flood": {"failed": "it fell over"}}
    assert found["P6"]["reports"]["2000"]["asked"] == "2000"


def test_what_there_is_no_time_for_is_left_out(results: Path) -> None:
    assert ask(results, "--budget", "-1").exit_code == 0
    reports = [report for target in kept(results).values() for report in target["reports"].values()]
    assert reports == [{"failed": "left out: -1 s were over"}] * 4


def test_a_script_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tls.py").write_text("raise SystemExit('a connection was lost')")
    (tmp_path / "foreign.py").write_text("import sys; sys.exit(3)")
    monkeypatch.setattr(targets, "HERE", tmp_path)
    assert targets.scripted("tls", 1, quick=True) == {"failed": "a connection was lost"}
    assert targets.scripted("foreign", 1, quick=True) == {"failed": "status 3"}


def test_a_script_is_asked_for_json_as_often_as_is_wanted_or_in_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tls.py").write_text("import json, sys; print(json.dumps({'arguments': sys.argv[1:]}))")
    monkeypatch.setattr(targets, "HERE", tmp_path)
    assert targets.scripted("tls", 7, quick=False) == {"arguments": ["--json", "--runs=7"]}
    small = ["--json", "--runs=1", "--connections=20", "--events=500"]
    assert targets.scripted("tls", 1, quick=True) == {"arguments": small}
