"""Events at a pace: each is sent, late if need be, and whoever falls far behind has no figures."""

from __future__ import annotations

import time

import pytest

from ringcast.bench import rig
from ringcast.bench.actors import paced
from ringcast.bench.failures import Failed
from ringcast.bench.rig import Bare, Server, require_sent


@pytest.fixture(autouse=True)
def release_build() -> None:
    if rig.BUILD_PROFILE != "release":
        pytest.skip("a debug build is refused")


async def test_each_event_has_the_time_at_which_it_was_due_also_when_it_is_late() -> None:
    due: list[int] = []
    began_ns = time.monotonic_ns()
    # Due ten nanoseconds apart: all but the first are late.
    await paced(due.append, 1e8, 5)
    assert len(due) == 5
    assert began_ns <= due[0]
    # As exact as a float of seconds is.
    assert due[4] - due[0] < 1000


async def test_a_sender_that_is_too_late_gives_up() -> None:
    due: list[int] = []
    await paced(due.append, 1e8, 5, late_s=-1.0)
    assert due == []


def test_figures_of_a_part_of_the_events_do_not_count() -> None:
    require_sent(10, 10, 500)
    with pytest.raises(
        Failed, match="9 of 10 events were sent: the server fell more than 60 s behind 500 a s"
    ):
        require_sent(9, 10, 500)


def test_both_servers_send_exactly_as_many_as_they_were_told() -> None:
    with Server(None) as server, Bare(None, 128) as bare:
        first = server.status("feed", "pace")["sent"]["pace"]
        assert server.pace("feed", "pace", 1e9, 7)["sent"]["pace"] == first + 7
        first = bare.used()["last"]
        assert bare.pace(1e9, 7)["last"] == first + 7


def test_a_server_that_does_not_answer_is_a_failure() -> None:
    with Server(None) as server, pytest.raises(Failed, match="pace: the server did not answer within 0 s"):
        server.call("feed", "pace", "pace", 2, 1, timeout_s=0.01)
