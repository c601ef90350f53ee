"""A server that is killed at any moment and started again has done exactly what it has told."""

from __future__ import annotations

import pytest

from .crash import Crash, run
from .verdict import Verdict


@pytest.mark.alone
# A run that is stuck is noticed long before; a busy machine may take its time to start a server.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1])
def test_every_line_reaches_everybody_once_and_every_answer_is_in_the_state_once(seed: int) -> None:
    verdict = Verdict()
    run(Crash(seed, clients=8, kills=20), verdict)
    assert verdict.ok, f"seed {seed}: {verdict.line()}\n" + "\n".join(verdict.problems[:20])
    assert verdict.kills == 20
    assert verdict.actions > 100, "it was not under load"
