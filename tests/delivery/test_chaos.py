"""Clients whose network is cut, split, delayed and half closed at any byte get everything once, in order."""

from __future__ import annotations

import pytest

from . import chaos


@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_doubled_or_reordered_and_every_action_counts_once(seed: int) -> None:
    verdict = chaos.run(chaos.Chaos(seed, clients=24, events=2000, actions=25))
    assert verdict.ok, f"seed {seed}: {verdict.line()}\n" + "\n".join(verdict.problems[:20])
    assert verdict.cuts > 24, "there was no chaos to speak of"
