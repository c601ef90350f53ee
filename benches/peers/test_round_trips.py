"""Calls beside RivetKit: the same number of them on each side, or no figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import round_trips
from click.testing import CliRunner
from peer import Program
from round_trips import QUESTION, Options

from ringcast.bench.cores import Cores
from ringcast.bench.failures import Failed

CORES = Cores(0, 1)
CALLED = {"replies": 100, "seconds": 0.5, "p50_us": 1.0, "p99_us": 2.0, "cpu_s": 0.4}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """Who was asked for what; each has used a second more of its processor whenever it is looked at."""
    heard: list[tuple[str, str | None]] = []
    looks = iter([{"cpu_s": 1.0}, {"cpu_s": 2.0}])

    class Told(Program):
        def __init__(
            self, name: str, command: Sequence[str], core: int | None, home: Path, **environment: str
        ) -> None:
            self.name = name
            heard.append((name, "nowhere" if core is None else f"core {core}"))

        def ask(self, line: str, field: str) -> dict[str, Any]:
            heard.append((self.name, line))
            return dict(CALLED) if line == "go" else next(looks)

        def answer(self, field: str, timeout_s: float = 0) -> dict[str, Any]:
            return {}

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr(round_trips, "Program", Told)
    return heard


def test_in_one_process_rivetkit_may_use_all_cores_and_its_time_is_not_told_as_a_servers(
    asked: list[tuple[str, str]],
) -> None:
    figures = QUESTION.run(Options(100), CORES, "rivetkit, 32 at a time")
    assert asked == [("RivetKit (both)", "nowhere"), ("RivetKit (both)", "go")]
    assert (figures["actions_per_s"], figures["both_us_per_action"]) == (200, 4000)
    assert "server_us_per_action" not in figures


def test_with_its_client_apart_the_time_of_its_server_counts(asked: list[tuple[str, str]]) -> None:
    figures = QUESTION.run(Options(100), CORES, "rivetkit, client apart, 128 at a time")
    assert asked == [
        ("RivetKit (server)", "core 0"),
        ("RivetKit (client)", "core 1"),
        ("RivetKit (server)", "look"),
        ("RivetKit (client)", "go"),
        ("RivetKit (server)", "look"),
    ]
    assert (figures["server_cpu_s"], figures["receiver_cpu_share"]) == (1, 0.8)


def test_a_call_without_a_reply_is_no_figure(asked: list[tuple[str, str]]) -> None:
    with pytest.raises(Failed, match="100 replies to 101 calls"):
        QUESTION.run(Options(101), CORES, "rivetkit, 32 at a time")


def test_each_ratio_is_of_rates_with_as_many_on_their_way() -> None:
    rates = dict(zip(QUESTION.variants, (60, 15, 20, 90, 18, 30), strict=True))
    medians = {variant: {"actions_per_s": rate} for variant, rate in rates.items()}
    assert QUESTION.compare(Options(1), medians) == {
        "rate_to_rivetkit": {32: 4, 128: 5},
        "rate_to_rivetkit_apart": {32: 3, 128: 3},
    }


def test_without_rivetkit_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(round_trips, "_PACKAGE", tmp_path / "package.json")
    done = CliRunner().invoke(round_trips.main, [])
    assert done.exit_code == 1
    assert "RivetKit is not installed: make bench-rivetkit installs it" in done.output
