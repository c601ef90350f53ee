"""What a client knows of its subscriptions, and what it says of them when it comes back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ringcast.client.requests import Request
from ringcast.client.subscriptions import Subscriptions
from ringcast.wire.protocol import Subscribe, Unsubscribe


def on(name: str = "a") -> Request:
    return Request(Subscribe, name, print)


def off(name: str = "a") -> Request:
    return Request(Unsubscribe, name, print)


@pytest.fixture
def names() -> Subscriptions:
    return Subscriptions()


def is_confirmed(names: Subscriptions, name: str = "a") -> bool:
    return name not in names.unconfirmed((name,))


def test_what_a_connect_message_carried_is_confirmed_by_its_answer(names: Subscriptions) -> None:
    assert names.unconfirmed(("a", "b")) == ("a", "b")
    names.begin({"a"}, ("a", "b"))
    assert names.unconfirmed(("b", "a")) == ("b",)
    # As in a new session: what it does not carry is not there.
    names.begin({"b"}, ("a", "b"))
    assert names.unconfirmed(("a", "b")) == ("a",)


def test_a_request_is_confirmed_by_its_answer_and_a_refusal_is_not(names: Subscriptions) -> None:
    accepted, refused = on(), on("b")
    for request in (accepted, refused):
        names.ask(request)
    assert names.unconfirmed(("a", "b")) == ("a", "b")
    names.answer(accepted)
    names.answer(refused, refused=True)
    assert names.unconfirmed(("a", "b")) == ("b",)


def test_an_answer_confirms_nothing_while_a_later_request_is_on_its_way(names: Subscriptions) -> None:
    requests = [on(), off(), on()]
    for request in requests:
        names.ask(request)
    names.answer(requests[0])
    assert not is_confirmed(names)
    names.answer(requests[1])
    assert not is_confirmed(names)
    names.answer(requests[2])
    assert is_confirmed(names)


def test_a_name_that_is_left_is_confirmed_no_more(names: Subscriptions) -> None:
    names.begin({"a", "b"}, ("a", "b"))
    names.ask(off())
    names.leave("b")
    assert names.unconfirmed(("a", "b")) == ("a", "b")


def test_a_name_that_was_left_without_a_network_begins_anew(names: Subscriptions) -> None:
    names.begin({"a"}, ("a",))
    names.lost()
    names.leave("a")
    assert names.is_anew("a")
    # Somebody listens again when the connection is there, and asks for it.
    names.begin((), ("a",))
    request = on()
    names.ask(request)
    assert names.is_anew("a")
    names.answer(request)
    assert not names.is_anew("a")


def test_a_name_that_nobody_wants_any_more_does_not_begin(names: Subscriptions) -> None:
    names.leave("a")
    names.begin((), ())
    assert not names.is_anew("a")


@pytest.mark.parametrize(("last", "begins_anew"), [(off(), True), (on(), False)])
def test_of_requests_that_the_network_took_along_the_last_one_counts(
    names: Subscriptions, last: Request, begins_anew: bool
) -> None:
    names.begin({"a"}, ("a",))
    for request in (off(), on(), last):
        names.ask(request)
    names.lost()
    assert names.is_anew("a") is begins_anew
    assert not is_confirmed(names)


def test_an_unsubscribe_that_was_answered_leaves_nothing_behind(names: Subscriptions) -> None:
    names.begin({"a"}, ("a",))
    request = off()
    names.ask(request)
    names.answer(request)
    names.lost()
    assert not names.is_anew("a")
    assert not is_confirmed(names)


@pytest.mark.parametrize("last", [on, off])
def test_a_name_that_is_not_asked_for_is_forgotten_with_its_listener(
    names: Subscriptions, last: Callable[[], Request]
) -> None:
    """As one whose subscription was too long: it is in no connect message, for as long as it is wanted."""
    refused = on()
    names.ask(refused)
    names.answer(refused, refused=True)
    names.leave("a")
    assert names.is_anew("a")
    request = last()
    names.ask(request)
    names.answer(request, refused=last is off)
    assert not names.is_anew("a")


def test_an_event_is_not_heard_as_what_is_to_begin_and_other_events_have_nothing_to_do_with_it(
    names: Subscriptions,
) -> None:
    names.begin({"a", "b"}, ("a", "b"))
    assert names.not_heard("a", ("a",), ()) == set()
    names.leave("b")
    assert names.not_heard("b", ("b",), ()) == {"b"}
    assert names.not_heard("a", ("a",), ()) == set()
