"""What a connect answer means for a session."""

from __future__ import annotations

from typing import Any

import pytest

from ringcast.client.requests import Request
from ringcast.client.session import Session
from ringcast.errors import OutcomeUnknown
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connected, Gap, Resume


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
