"""What a session remembers of its requests."""

from __future__ import annotations

from ringcast.record import RequestRecord, Standing


def test_a_new_request_runs_once() -> None:
    record = RequestRecord(10, 1000)
    assert record.begin(1) is Standing.NEW
    assert record.begin(1) is Standing.RUNNING
    record.finish(1, b"one")
    assert record.begin(1) == b"one"
    assert record.begin(2) is Standing.NEW


def test_requests_may_end_in_any_order() -> None:
    record = RequestRecord(10, 1000)
    for id in (1, 2, 3):
        assert record.begin(id) is Standing.NEW
    record.finish(3, b"three")
    record.finish(1, b"one")
    assert [record.begin(id) for id in (1, 2, 3)] == [b"one", Standing.RUNNING, b"three"]


def test_the_oldest_replies_are_forgotten_first() -> None:
    record = RequestRecord(2, 1000)
    for id in (1, 2, 3):
        record.begin(id)
        record.finish(id, b"%d" % id)
    assert [record.begin(id) for id in (1, 2, 3)] == [Standing.FORGOTTEN, b"2", b"3"]


def test_a_request_that_runs_is_never_forgotten() -> None:
    record = RequestRecord(1, 1000)
    record.begin(1)
    for id in (2, 3, 4):
        record.begin(id)
        record.finish(id, b"x")
    assert record.begin(1) is Standing.RUNNING
    record.finish(1, b"late")
    assert record.begin(1) == b"late"


def test_replies_are_bounded_by_bytes_but_the_newest_is_kept() -> None:
    record = RequestRecord(10, 8)
    record.begin(1)
    record.finish(1, b"12345")
    record.begin(2)
    record.finish(2, b"1234")
    assert record.begin(1) is Standing.FORGOTTEN
    assert record.begin(2) == b"1234"
    record.begin(3)
    record.finish(3, b"0" * 100)
    assert record.begin(2) is Standing.FORGOTTEN
    assert record.begin(3) == b"0" * 100


def test_a_client_that_acknowledges_finds_every_other_reply() -> None:
    record = RequestRecord(2, 1000)
    record.begin(1)
    record.finish(1, b"1")
    record.acknowledge([1])
    for id in (2, 3, 4):
        record.begin(id)
        record.finish(id, b"%d" % id)
    assert [record.begin(id) for id in (1, 2, 3, 4)] == [Standing.FORGOTTEN, b"2", b"3", b"4"]


def test_it_is_full_until_enough_is_acknowledged() -> None:
    record = RequestRecord(2, 10)
    record.acknowledge([])
    for id in (1, 2):
        assert not record.is_full
        record.begin(id)
        record.finish(id, b"x")
    assert record.is_full
    record.acknowledge([2, 77])
    assert not record.is_full
    record.begin(3)
    record.finish(3, b"x" * 10)
    record.acknowledge([1])
    assert not record.is_full
    record.begin(4)
    record.finish(4, b"x")
    assert record.is_full


def test_a_client_that_stops_acknowledging_does_not_fill_the_memory() -> None:
    record = RequestRecord(2, 10)
    record.acknowledge([])
    for id in range(1, 100):
        record.begin(id)
        record.finish(id, b"x" * 9)
    assert [id for id in range(1, 100) if record.begin(id) is not Standing.FORGOTTEN] == [96, 97, 98, 99]


def test_a_resume_keeps_what_it_asks_for() -> None:
    record = RequestRecord(10, 1000)
    for id in (1, 2, 3, 4):
        record.begin(id)
        if id != 3:
            record.finish(id, b"%d" % id)
    record.keep_only([2, 3])
    assert [record.begin(id) for id in (1, 2, 3, 4)] == [
        Standing.FORGOTTEN,
        b"2",
        Standing.RUNNING,
        Standing.FORGOTTEN,
    ]


def test_running_counts_what_has_no_reply() -> None:
    record = RequestRecord(10, 1000)
    record.begin(1)
    record.begin(2)
    record.begin(2)
    assert record.running == 2
    record.finish(1, b"x")
    assert record.running == 1
