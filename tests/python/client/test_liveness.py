"""When a client pings, speaks up, gives its server up, and cannot tell whether it is there; tick by tick."""

from __future__ import annotations

import pytest

from ringcast.client import ClientConfig
from ringcast.client.liveness import Liveness, Step

CONFIG = ClientConfig(ping_idle_s=20.0, ping_reply_s=10.0)


def steps(
    liveness: Liveness, ticks: int, *, heard: bool = False, reading: bool = True, sent: bool = False
) -> list[Step]:
    """Return what is said in so many ticks that are all alike."""
    return [liveness.tick(heard=heard, reading=reading, sent=sent) for _ in range(ticks)]


def until_lost(liveness: Liveness) -> int:
    """Return the number of ticks after which a silent server is given up."""
    return round(liveness.lost_after_s / liveness.tick_s)


def first(liveness: Liveness, wanted: Step, **happened: bool) -> float:
    """Return how many seconds pass until this is said for the first time."""
    said = steps(liveness, 1000, **happened)
    return (said.index(wanted) + 1) * liveness.tick_s


@pytest.mark.parametrize(
    ("heartbeat_s", "pinged_after_s", "lost_after_s"),
    [
        (None, 20, 30),  # a server that sends none
        (15, 20, 30),
        (60, 20, 30),  # what the client is set to is sooner
        (4, 6, 10),
        (0.2, 0.3, 0.5),
    ],
)
def test_a_silent_server_is_pinged_and_then_given_up(
    heartbeat_s: float | None, pinged_after_s: float, lost_after_s: float
) -> None:
    liveness = Liveness(CONFIG, heartbeat_s)
    assert liveness.lost_after_s == pytest.approx(lost_after_s)
    assert first(liveness, Step.PING) == pytest.approx(pinged_after_s)
    assert first(Liveness(CONFIG, heartbeat_s), Step.GIVE_UP) == pytest.approx(lost_after_s)


@pytest.mark.parametrize("heartbeat_s", [None, 0.2, 15])
def test_a_tick_is_short_beside_what_it_measures(heartbeat_s: float | None) -> None:
    liveness = Liveness(CONFIG, heartbeat_s)
    assert liveness.tick_s <= liveness.lost_after_s / 8


def test_whatever_comes_starts_the_count_again() -> None:
    liveness = Liveness(CONFIG, 15)
    for _ in range(3):
        assert Step.GIVE_UP not in steps(liveness, until_lost(liveness) - 1)
        steps(liveness, 1, heard=True)
    assert steps(liveness, until_lost(liveness))[-1] is Step.GIVE_UP


def test_one_ping_is_sent_in_one_silence() -> None:
    assert steps(Liveness(CONFIG, None), 11).count(Step.PING) == 1


def test_a_client_that_only_listens_speaks_up_before_it_is_pinged() -> None:
    liveness = Liveness(CONFIG, 15)
    said = steps(liveness, 60, heard=True)
    assert set(said) == {Step.NOTHING, Step.PONG}
    between_s = (60 / said.count(Step.PONG)) * liveness.tick_s
    assert 7 < between_s < 15


def test_a_client_that_sends_anyway_does_not() -> None:
    assert set(steps(Liveness(CONFIG, 15), 60, heard=True, sent=True)) == {Step.NOTHING}


def test_a_server_that_does_not_wait_for_it_is_not_told() -> None:
    assert set(steps(Liveness(CONFIG, None), 60, heard=True)) == {Step.NOTHING}


def test_after_a_long_sleep_the_server_is_asked_at_once() -> None:
    liveness = Liveness(CONFIG, 15)
    steps(liveness, 1, heard=True)
    assert liveness.tick(heard=False, reading=True, sent=False, missed=1000) is Step.PING
    # And has as long to answer as otherwise, however long the sleep was.
    assert first(liveness, Step.GIVE_UP) == pytest.approx(10)


def test_after_a_long_sleep_a_server_that_has_sent_something_is_not() -> None:
    liveness = Liveness(CONFIG, 15)
    assert liveness.tick(heard=True, reading=True, sent=True, missed=1000) is Step.NOTHING


class TestNotReading:
    @pytest.fixture(params=[None, 0.2, 15])
    def liveness(self, request: pytest.FixtureRequest) -> Liveness:
        return Liveness(CONFIG, request.param)

    def test_the_server_is_not_blamed_but_soon_nobody_can_tell(self, liveness: Liveness) -> None:
        before = steps(liveness, until_lost(liveness) - 1, reading=False)
        assert not liveness.stalled
        steps(liveness, 1, reading=False)
        assert liveness.stalled
        after = steps(liveness, 1000, reading=False)
        assert liveness.stalled
        assert set(before + after) <= {Step.NOTHING, Step.PONG}

    def test_what_comes_ends_it_at_once(self, liveness: Liveness) -> None:
        steps(liveness, 1000, reading=False)
        steps(liveness, 1, heard=True)
        assert not liveness.stalled

    def test_reading_alone_does_not_end_it_and_the_server_has_its_time(self, liveness: Liveness) -> None:
        steps(liveness, 1000, reading=False)
        said = steps(liveness, until_lost(liveness) - 1)
        assert liveness.stalled
        assert said.count(Step.PING) == 1
        assert Step.GIVE_UP not in said
        assert steps(liveness, 1) == [Step.GIVE_UP]

    def test_a_client_that_reads_now_and_then_and_hears_something_can_tell(self, liveness: Liveness) -> None:
        for _ in range(10):
            steps(liveness, until_lost(liveness) - 1, reading=False)
            assert not liveness.stalled
            steps(liveness, 1, heard=True)

    def test_a_client_that_reads_now_and_then_and_hears_nothing_cannot(self, liveness: Liveness) -> None:
        for _ in range(10):
            steps(liveness, until_lost(liveness) // 4, reading=False)
            steps(liveness, until_lost(liveness) // 4)
        assert liveness.stalled

    def test_a_loop_that_was_held_up_counts_where_nobody_is_blamed_for_it(self, liveness: Liveness) -> None:
        steps(liveness, 1)
        liveness.tick(heard=False, reading=True, sent=False, missed=until_lost(liveness) - 1)
        assert not liveness.stalled
        liveness.tick(heard=False, reading=False, sent=False, missed=until_lost(liveness) - 3)
        assert liveness.stalled
