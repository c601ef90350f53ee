"""The bucket of tokens against what it promises, over any history."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ringcast.bucket import Bucket


def take(bucket: Bucket, now_s: float) -> int | None:
    """Take one as a session does."""
    if bucket.at_hand:
        bucket.at_hand -= 1
        return None
    return bucket.take(now_s)


@settings(deadline=None)
@given(
    st.integers(1, 300),
    st.floats(0.1, 1000),
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 200)), max_size=20),
)
def test_no_more_than_it_promises_in_any_time(
    at_once: int, per_s: float, history: list[tuple[float, int]]
) -> None:
    now_s, taken = 100.0, list[tuple[float, int]]()
    bucket = Bucket(per_s, at_once, now_s)
    for pause_s, tries in history:
        now_s += pause_s
        taken.append((now_s, sum(take(bucket, now_s) is None for _ in range(tries))))
    for first, (begin_s, _) in enumerate(taken):
        count = 0
        for end_s, more in taken[first:]:
            count += more
            assert count <= at_once + per_s * (end_s - begin_s) + 1e-6


@settings(deadline=None)
@given(st.integers(1, 300), st.floats(0.1, 1000))
def test_all_at_once_and_then_one_whenever_it_says_so(at_once: int, per_s: float) -> None:
    now_s = 5.0
    bucket = Bucket(per_s, at_once, now_s)
    assert [take(bucket, now_s) for _ in range(at_once)] == [None] * at_once
    for _ in range(5):
        wait_ms = take(bucket, now_s)
        assert wait_ms is not None and 1 <= wait_ms <= 1000 / per_s + 1
        now_s += wait_ms / 1000 + 1e-9
        assert take(bucket, now_s) is None


@settings(deadline=None)
@given(st.integers(1, 300), st.floats(0.1, 1000))
def test_it_is_full_again_after_a_while(at_once: int, per_s: float) -> None:
    bucket = Bucket(per_s, at_once, 0.0)
    while take(bucket, 0.0) is None:
        pass
    later_s = (at_once + 1) / per_s
    taken = 0
    while take(bucket, later_s) is None:
        taken += 1
    assert taken >= at_once - at_once // 4


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket(1.0, 1, 10.0)
    assert take(bucket, 10.0) is None
    assert take(bucket, 5.0) is not None
