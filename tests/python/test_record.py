"""What a session remembers of its requests."""

from __future__ import annotations

from ringcast.record import RequestRecord, Span, Standing


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


def test_the_highest_request_that_was_answered_is_known_whatever_ended_last() -> None:
    record = RequestRecord(10, 1000)
    for id in (1, 2, 3):
        record.begin(id)
    for id in (3, 1):
        record.finish(id, b"x")
        assert record.answered == 3


def test_there_is_room_for_so_many_that_run() -> None:
    record = RequestRecord(1, 1000)
    for id in (1, 2):
        record.begin(id)
    assert (record.has_room(1), record.has_room(2)) == (False, True)


def test_there_is_no_room_while_a_client_that_acknowledges_has_not_got_its_replies() -> None:
    for acknowledges in (False, True):
        record = RequestRecord(2, 1000)
        if acknowledges:
            record.acknowledge(())
        rooms = []
        for id in (1, 2, 3):
            record.begin(id)
            rooms.append(record.has_room(9))
            record.finish(id, b"x")
        # Of the others the oldest are forgotten.
        assert rooms == [True, True, not acknowledges]
        assert record.is_full is acknowledges


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


def test_as_many_bytes_as_the_bound_are_kept() -> None:
    record = RequestRecord(10, 8)
    for id in (1, 2):
        record.begin(id)
        record.finish(id, b"1234")
    assert record.begin(1) == b"1234"


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


# --- kept over a restart ------------------------------------------------------------------------------------


class Kept:
    """A record whose replies are kept as a store keeps them: the latest ones, so many as it says."""

    def __init__(self, max_replies: int = 10, max_bytes: int = 1000) -> None:
        self._bounds = max_replies, max_bytes
        self.record = RequestRecord(*self._bounds, spans=True)
        self.rows: list[tuple[int, bytes]] = []

    def answer(self, *ids: int, reply: bytes = b"x") -> None:
        for id in ids:
            self.record.begin(id)
            self.finish(id, reply)

    def finish(self, id: int, reply: bytes = b"x") -> None:
        added = [(id, reply), *self.record.finish(id, reply)]
        span = self.record.span
        self.rows = [*self.rows, *((id, span.mark(reply)) for id, reply in added)][-span.replies :]

    def restart(self) -> RequestRecord:
        self.record = self.restart_apart()
        return self.record

    def restart_apart(self) -> RequestRecord:
        """Return what would be there after a restart, and go on."""
        record = RequestRecord(*self._bounds, spans=True)
        record.restore(self.rows)
        return record


def test_what_has_arrived_is_not_kept() -> None:
    kept = Kept()
    for id in range(1, 101):
        kept.answer(id)
        kept.record.acknowledge([id])
    assert [id for id, _ in kept.rows] == [100]
    record = kept.restart()
    assert [record.begin(id) for id in (1, 99, 100, 101)] == [
        Standing.FORGOTTEN,
        Standing.FORGOTTEN,
        b"x",
        Standing.NEW,
    ]


def test_the_oldest_reply_that_is_held_is_kept_whatever_came_after_it() -> None:
    kept = Kept()
    kept.answer(1, 2, 3, 4)
    kept.record.acknowledge([1, 3, 4])
    kept.answer(5)
    assert [id for id, _ in kept.rows] == [2, 3, 4, 5]
    record = kept.restart()
    assert [record.begin(id) for id in (1, 2, 5, 6)] == [Standing.FORGOTTEN, b"x", b"x", Standing.NEW]


def test_a_request_that_was_not_answered_is_new_although_later_ones_were() -> None:
    kept = Kept()
    kept.record.begin(1)
    kept.answer(2, 3, 4)
    kept.record.acknowledge([2, 3])
    kept.answer(5)
    kept.record.acknowledge([4])
    record = kept.restart()
    record.keep_only([1])
    assert [record.begin(id) for id in (1, 2, 5, 6)] == [
        Standing.NEW,
        Standing.FORGOTTEN,
        Standing.FORGOTTEN,
        Standing.NEW,
    ]


def test_a_request_that_was_answered_late_does_not_let_earlier_ones_run_again() -> None:
    kept = Kept()
    kept.record.begin(1)
    kept.answer(2, 3)
    kept.finish(1)
    kept.record.acknowledge([2, 3])
    kept.answer(4)
    kept.record.acknowledge([1])
    kept.answer(5)
    record = kept.restart()
    assert [record.begin(id) for id in (1, 2, 3, 4)] == [Standing.FORGOTTEN] * 3 + [b"x"]


def test_what_is_kept_is_bounded_by_count_and_bytes() -> None:
    kept = Kept(max_replies=3, max_bytes=100)
    kept.answer(*range(1, 11))
    assert [id for id, _ in kept.rows] == [8, 9, 10]
    kept.answer(11, 12, reply=b"x" * 60)
    assert [id for id, _ in kept.rows] == [12]
    record = kept.restart()
    assert [record.begin(id) for id in (7, 11, 12, 13)] == [
        Standing.FORGOTTEN,
        Standing.FORGOTTEN,
        b"x" * 60,
        Standing.NEW,
    ]


def test_an_old_reply_that_has_not_arrived_is_kept_again_rather_than_all_since_then() -> None:
    kept = Kept(max_replies=3, max_bytes=100)
    kept.answer(1, 2)
    kept.record.acknowledge([2])
    for id in range(3, 60):
        assert not kept.record.is_full
        kept.answer(id, reply=b"x" * 20)
        kept.record.acknowledge([id])
        assert len(kept.rows) <= 1 + 3 + 1
    record = kept.restart()
    assert [record.begin(id) for id in (1, 2, 50, 60)] == [
        b"x",
        Standing.FORGOTTEN,
        Standing.FORGOTTEN,
        Standing.NEW,
    ]


def test_a_request_that_runs_for_long_does_not_have_everything_kept_since_then() -> None:
    kept = Kept(max_replies=3, max_bytes=100)
    kept.record.begin(1)
    for id in range(2, 60):
        kept.answer(id, reply=b"x" * 20)
        kept.record.acknowledge([id])
        assert not kept.record.is_full
        assert len(kept.rows) <= 3 + 1
    assert kept.record.begin(1) is Standing.RUNNING
    record = kept.restart()
    # It had done nothing that is kept, but that cannot be told any more.
    assert [record.begin(id) for id in (1, 55, 60)] == [Standing.FORGOTTEN, Standing.FORGOTTEN, Standing.NEW]


def test_a_client_that_acknowledges_does_so_after_a_restart_too() -> None:
    kept = Kept(max_replies=2)
    kept.record.acknowledge([])
    kept.answer(1, 2, 3)
    record = kept.restart()
    record.begin(4)
    record.finish(4, b"four")
    assert record.begin(1) == b"x"


def test_a_reply_is_kept_with_what_is_known_of_those_before_it() -> None:
    assert Span(1, 258).mark(b"reply") == b"\0\0\0\0\0\0\1\2reply"


def test_what_was_kept_of_a_request_half_done_gives_way_to_its_reply() -> None:
    kept = Kept(max_replies=3)
    for id in range(1, 30):
        kept.record.begin(id)
        kept.record.halve(id, b"half")
        span = kept.record.span
        kept.rows = [*kept.rows, (id, span.mark(b"half"))][-span.replies :]
        assert kept.restart_apart().begin(id) == b"half"
        kept.finish(id)
        assert kept.restart_apart().begin(id) == b"x"
        assert len(kept.rows) <= 2 * 3 + 1
