"""Clients whose network is cut, split, delayed and half closed at any byte get everything once, in order."""

from __future__ import annotations

import pytest

from .chaos import Chaos, run
from .verdict import Verdict

CHAOS = {
    "plain": Chaos(seed=1, clients=200, events=10_000),
    # Less of it: whoever is cut off has a handshake to get through the same network again.
    "tls": Chaos(seed=1, clients=10, events=1000, tls=True),
}


@pytest.mark.alone
# A run that is stuck is noticed long before; a busy machine may take its time.
@pytest.mark.timeout(900)
# Where a handshake of TLS is given up at a bad moment, uvloop leaves a transport to the garbage collector,
# which closes it. What is counted here is events.
@pytest.mark.filterwarnings("ignore:unclosed resource <TCPTransport:ResourceWarning")
@pytest.mark.parametrize("transport", CHAOS)
def test_nothing_is_lost_doubled_or_reordered_and_every_action_counts_once(transport: str) -> None:
    verdict, wanted = Verdict(), CHAOS[transport]
    run(wanted, verdict)
    assert verdict.ok, f"{wanted}: {verdict.line()}\n" + "\n".join(verdict.problems[:20])
    assert verdict.events == wanted.events
    # Of three names, each of which has a thirtieth of all events, and of what is for nearly everybody.
    assert verdict.deliveries > 0.1 * wanted.clients * wanted.events
    assert verdict.actions > wanted.clients
    assert verdict.cuts > wanted.clients, "there was no chaos to speak of"
