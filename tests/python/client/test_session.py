"""What a connect answer means for a session."""

from __future__ import annotations

from typing import Any

import pytest

from ringcast.client.requests import Request
from ringcast.client.session import Session
from ringcast.errors import OutcomeUnknown
from ringcast.wire.encoding import Encoding
from ringcast.wire.parsing import parse_client_message
from ringcast.wire.protocol import Call, Connect, Connected, Gap, Received, Resume


def answer(**fields: Any) -> Connected:
    defaults = {
        "stream": 1, "epoch": "e1", "offset": 4, "connection": "c", "session": "s1", "actor_id": "a",
        "window_s": 30.0,
    }  # fmt: skip
    return Connected(**{**defaults, **fields})


@pytest.fixture
def session() -> Session:
    session = Session(Encoding.JSON, max_offline_calls=10)
    session.accept(answer())
    return session


def test_before_the_first_answer_there_is_nothing_to_resume() -> None:
    session = Session(Encoding.JSON, max_offline_calls=10)
    assert session.resume(()) is None
    arrival = session.accept(answer())
    assert arrival.first
    assert arrival.gap is None
    assert session.resume(("a",)) == Resume("s1", "e1", 4, (), 0, ("a",), number=1)


def test_it_resumes_from_the_last_event(session: Session) -> None:
    session.position.advance(9)
    assert session.resume(("a",)) == Resume("s1", "e1", 9, (), 0, ("a",), number=1)


@pytest.mark.parametrize(
    ("fields", "gap"),
    [
        ({"replayed": 2}, None),
        ({"replayed": 0, "offset": 7, "gap": Gap("ring_overflow", 5, 7)}, Gap("ring_overflow", 5, 7)),
    ],
)
def test_the_same_session_keeps_its_calls(session: Session, fields: dict[str, Any], gap: Gap | None) -> None:
    settled: list[Any] = []
    payload = session.requests.send(Request(Call, "a", lambda *result: settled.append(result), []))
    arrival = session.accept(answer(**fields))
    assert not arrival.first
    assert arrival.gap == gap
    assert arrival.replayed == fields["replayed"]
    assert arrival.resend == payload
    assert settled == []


@pytest.mark.parametrize("reason", ["session_expired", "epoch_changed", "encoding_changed"])
def test_a_session_that_could_not_be_resumed(session: Session, reason: str) -> None:
    settled: list[Any] = []
    session.requests.send(Request(Call, "a", lambda _value, error: settled.append(error), []))
    arrival = session.accept(answer(session="s2", epoch="e2", offset=1, gap=Gap(reason)))
    assert arrival.gap == Gap(reason)
    assert arrival.resend == []
    assert isinstance(settled[0], OutcomeUnknown)
    assert session.resume(("a",)) == Resume("s2", "e2", 1, (), 0, ("a",), number=1)


def test_a_session_that_goes_on_in_another_epoch_is_resumed_like_any_other(session: Session) -> None:
    """As after a restart of a durable actor: its offsets count on."""
    settled: list[Any] = []
    payload = session.requests.send(Request(Call, "a", lambda _value, error: settled.append(error), []))
    session.position.advance(9)
    session.lost()
    arrival = session.accept(answer(epoch="e2", offset=9, replayed=2))
    assert (arrival.gap, arrival.replayed, arrival.resend, settled) == (None, 2, payload, [])
    assert session.resume(("a",)) == Resume("s1", "e2", 9, (1,), 0, ("a",), number=1)
    assert not session.position.advance(9)
    assert session.position.advance(10)


def test_a_new_token_is_a_gap_even_if_the_server_does_not_say_so(session: Session) -> None:
    assert session.accept(answer(session="s2")).gap == Gap("session_expired")


# What a connect message says where not all of it is taken.

CONNECT = Connect("desk", ("k",))
NAMES = tuple(f"{number}".rjust(100, "x") for number in range(6))


def size(message: Connect) -> int:
    return len(Encoding.JSON.encode(message.to_wire()))


def limited(max_bytes: int, calls: int = 0) -> Session:
    """Return one with calls that have no answer, as a server takes it that has said what it takes."""
    session = Session(Encoding.JSON, max_offline_calls=10, max_unanswered_calls=1000)
    session.accept(answer(max_message_bytes=max_bytes))
    for _ in range(calls):
        session.requests.send(Request(Call, "a", lambda *_: None, []))
    return session


def full_size(unconfirmed: tuple[str, ...] = (), calls: int = 0) -> int:
    """Return how long it is with everything in it."""
    return size(limited(100_000, calls).connect_message(CONNECT, NAMES, unconfirmed))


def test_a_connect_message_that_fits_says_everything() -> None:
    unconfirmed = NAMES[:2]
    session = limited(full_size(unconfirmed, calls=100), calls=100)
    message = session.connect_message(CONNECT, NAMES, unconfirmed)
    assert message.resume is not None and message.resume.unanswered == tuple(range(1, 101))
    assert (message.subscriptions, message.resume.unconfirmed) == (NAMES, unconfirmed)


def test_what_is_unanswered_goes_first_and_what_is_unconfirmed_only_if_that_is_not_enough() -> None:
    unconfirmed = NAMES[:2]
    session = limited(full_size(unconfirmed, calls=100) - 1, calls=100)
    message = session.connect_message(CONNECT, NAMES, unconfirmed)
    assert message.resume is not None and message.resume.unanswered is None
    assert message.subscriptions == (*NAMES[2:], *unconfirmed)
    assert message.resume.unconfirmed == unconfirmed
    session = limited(full_size() + 80, calls=100)
    message = session.connect_message(CONNECT, NAMES, unconfirmed)
    assert message.resume is not None and message.resume.unanswered is None
    assert message.subscriptions == (*NAMES[2:], *unconfirmed)
    assert message.resume.unconfirmed is None and session.requests.fits(message)


def test_of_names_that_do_not_all_fit_those_come_first_that_the_session_has() -> None:
    # Three are unconfirmed. With one of the names left out, there is room to say so of two.
    unconfirmed = (NAMES[0], NAMES[2], NAMES[4])
    session = limited(full_size(unconfirmed) - 1)
    long = session.connect_message(CONNECT, NAMES, unconfirmed)
    assert long.subscriptions == (NAMES[1], NAMES[3], NAMES[5], *unconfirmed)
    session = limited(full_size() - 1)
    message = session.connect_message(CONNECT, NAMES, NAMES[:1])
    assert message.subscriptions == NAMES[1:]
    assert message.resume is not None and message.resume.unconfirmed == ()
    assert message.resume.unanswered == ()


def test_where_it_did_not_say_what_is_unanswered_the_answers_are_acknowledged_later() -> None:
    for less, acknowledged in ((0, None), (1, Received([*range(1, 33)]))):
        session = limited(100_000, calls=131)
        for id in range(1, 32):
            session.requests.answer(id, None, None)
        session.lost()
        session.requests.max_bytes = size(session.connect_message(CONNECT, NAMES, ())) - less
        message = session.connect_message(CONNECT, NAMES, ())
        assert message.resume is not None and (message.resume.unanswered is None) == bool(less)
        session.accept(answer(replayed=0, max_message_bytes=10_000))
        session.requests.answer(32, None, None)
        said = session.requests.acknowledgement()
        assert (None if said is None else parse_client_message(Encoding.JSON, said)) == acknowledged


@pytest.mark.parametrize("token", ["s", "s" * 100])
@pytest.mark.parametrize("epoch", ["e", "e" * 100])
def test_a_name_that_has_room_fits_for_as_long_as_the_session_lasts(token: str, epoch: str) -> None:
    limit = 300 + len(token) + len(epoch)
    session = Session(Encoding.JSON, max_offline_calls=10)
    session.accept(answer(session=token, epoch=epoch, offset=1, max_message_bytes=limit))
    names = ("x" * length for length in range(120, 0, -1))
    longest = next(name for name in names if session.has_room(CONNECT, (name,)))
    session.position.advance(2**63 - 1)
    session.requests.send(Request(Call, "a", lambda *_: None, []))
    message = session.connect_message(CONNECT, (longest,), (longest,))
    assert message.subscriptions == (longest,) and session.requests.fits(message)
    assert 0 < len(longest) < 120
