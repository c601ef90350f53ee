"""The questions about recovery, asked in small: whoever stays gets every event, or there are no figures."""

from __future__ import annotations

from typing import Any

import journal
import pytest
import sleepers

from ringcast.bench import replay
from ringcast.bench.cores import Cores
from ringcast.bench.failures import Failed
from ringcast.bench.load import BUILD_PROFILE
from ringcast.bench.question import Question, ask
from ringcast.bench.rig import Load

ANYWHERE = Cores(None, None)

IN_SMALL = (
    (sleepers.QUESTION, sleepers.Options(clients=20, events=400)),
    (replay.QUESTION, replay.Options(connections=10, messages=50, others=5, quiet_s=0.1)),
    (journal.QUESTION, journal.Options(seconds=0.1)),
)


@pytest.fixture(autouse=True)
def release_build() -> None:
    if BUILD_PROFILE != "release":
        pytest.skip("a debug build is refused")


def answer(question: Question, options: Any) -> dict[str, Any]:
    report: dict[str, Any] = ask(question, options, 1, ANYWHERE, lambda line, done, of: None)
    return report


@pytest.mark.parametrize(("question", "options"), IN_SMALL, ids=lambda each: getattr(each, "name", ""))
def test_the_answer_tells_that_nothing_was_lost(question: Question, options: Any) -> None:
    report = answer(question, options)
    assert (report["gaps"], report["duplicates"], report["disorder"]) == (0, 0, 0)


def test_of_the_sleepers_it_tells_what_every_answer_does() -> None:
    report = answer(*IN_SMALL[0])
    assert report["deliveries_per_s"] > 0
    assert 0 < report["p50_us"] <= report["p99_us"]
    assert report["server_cpu_s"] > 0
    assert report["receiver_cpu_s"] > 0


@pytest.mark.parametrize("question", [sleepers.QUESTION, replay.QUESTION], ids=lambda each: each.name)
def test_a_gap_of_one_that_stayed_is_a_failure(question: Question, monkeypatch: pytest.MonkeyPatch) -> None:
    do = Load.do

    def with_a_gap(load: Load, command: str, group: str, **arguments: Any) -> dict[str, Any]:
        answer = do(load, command, group, **arguments)
        if group == "others" and "figures" in answer:
            answer["figures"] |= {"gaps": 1, "lost": 3}
        return answer

    monkeypatch.setattr(Load, "do", with_a_gap)
    with pytest.raises(Failed, match="the server told of 1 gaps with 3 events"):
        answer(question, next(options for each, options in IN_SMALL if each is question))
