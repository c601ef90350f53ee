"""Epoch and offset move together."""

from __future__ import annotations

from ringcast.client.position import Position
from ringcast.wire.protocol import Connected


def answer(epoch: str, offset: int) -> Connected:
    return Connected(1, epoch, offset, "c", "s", "a", 30.0)


def test_each_offset_is_taken_once_and_gaps_are_no_matter() -> None:
    position = Position()
    position.start(answer("e1", 4))
    assert [position.advance(offset) for offset in (4, 5, 5, 9, 7, 10)] == [
        False,
        True,
        False,
        True,
        False,
        True,
    ]
    assert (position.epoch, position.offset, position.duplicates) == ("e1", 10, 3)


def test_an_answer_further_back_in_the_same_epoch_does_not_move_it_back() -> None:
    position = Position()
    position.start(answer("e1", 9))
    position.start(answer("e1", 5))
    assert not position.advance(9)
    assert position.advance(10)


def test_a_new_epoch_brings_its_own_offset_also_a_lower_one() -> None:
    position = Position()
    position.start(answer("e1", 900))
    position.start(answer("e2", 3))
    assert (position.epoch, position.offset) == ("e2", 3)
    assert position.advance(4)


def test_lost_events_are_skipped_where_their_last_offset_is_known() -> None:
    position = Position()
    position.start(answer("e1", 3))
    position.skip(None)
    assert position.offset == 3
    position.skip(8)
    position.skip(5)
    assert position.offset == 8
