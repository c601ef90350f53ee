"""Clients whose network is cut, split, delayed and half closed at any byte get everything once, in order."""

from __future__ import annotations

import pytest

from .chaos import Chaos, run
from .verdict import Verdict

CLIENTS = 200
EVENTS = 10_000


# A run that is stuck is noticed long before; a busy machine may take its time.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1])
def test_nothing_is_lost_doubled_or_reordered_and_every_action_counts_once(seed: int) -> None:
    verdict = Verdict()
    run(Chaos(seed, CLIENTS, EVENTS), verdict)
    assert verdict.ok, f"seed {seed}: {verdict.line()}\n" + "\n".join(verdict.problems[:20])
    assert verdict.events == EVENTS
    # Of three names, each of which has a thirtieth of all events, and of what is for nearly everybody.
    assert verdict.deliveries > 0.1 * CLIENTS * EVENTS
    assert verdict.actions > CLIENTS
    assert verdict.cuts > CLIENTS, "there was no chaos to speak of"
