"""Numbering, keeping, sending again, settling: without a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ringcast.client.requests import Request, Requests
from ringcast.errors import (
    ConnectionClosed,
    Forbidden,
    MessageTooBig,
    OfflineQueueFull,
    OutcomeUnknown,
    RingcastError,
)
from ringcast.wire.encoding import Encoding
from ringcast.wire.parsing import parse_client_message
from ringcast.wire.protocol import MAX_NESTING, Call, Received, Subscribe, Unsubscribe

Results = dict[str, Any]


@pytest.fixture(params=Encoding)
def encoding(request: pytest.FixtureRequest) -> Encoding:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def requests(encoding: Encoding) -> Requests:
    return Requests(encoding, max_queued=3)


@pytest.fixture
def results() -> Results:
    return {}


@pytest.fixture
def call(results: Results) -> Callable[..., Request]:
    def make(name: str, *args: Any) -> Request:
        def settle(value: Any, error: RingcastError | None) -> None:
            assert name not in results, "settled twice"
            results[name] = error or value

        return Request(Call, name, settle, list(args))

    return make


def ignore(_value: Any, _error: RingcastError | None) -> None:
    """For requests whose answer is not looked at."""


def test_ids_count_up_over_all_kinds(encoding: Encoding, requests: Requests, call: Any) -> None:
    sent = [
        *requests.send(call("a", 1)),
        *requests.send(Request(Subscribe, "e", ignore)),
        *requests.send(Request(Unsubscribe, "e", ignore)),
    ]
    assert [parse_client_message(encoding, payload) for payload in sent] == [
        Call(1, "a", [1]),
        Subscribe(2, "e"),
        Unsubscribe(3, "e"),
    ]
    assert requests.unanswered == 3


def test_answers_settle_in_any_order_and_once(requests: Requests, call: Any, results: Results) -> None:
    requests.send(call("a"))
    requests.send(call("b"))
    requests.answer(2, "B", None)
    requests.answer(1, None, OutcomeUnknown("x"))
    requests.answer(2, "again", None)
    requests.answer(77, "never asked", None)
    assert results["b"] == "B"
    assert isinstance(results["a"], OutcomeUnknown)
    assert requests.unanswered == 0


def test_a_resume_sends_the_same_bytes_again_and_then_what_waited(
    encoding: Encoding, requests: Requests, call: Any
) -> None:
    first = requests.send(call("a"))
    requests.send(Request(Subscribe, "e", ignore))
    third = requests.send(call("c"))
    requests.lost()
    requests.queue(call("d"))
    assert requests.resend() == [*first, *third]
    assert [parse_client_message(encoding, p) for p in requests.send_queued()] == [Call(4, "d", [])]
    assert requests.resend()[:2] == [*first, *third]


def test_what_the_server_no_longer_takes_is_not_sent_again(
    encoding: Encoding, requests: Requests, call: Any, results: Results
) -> None:
    """It has been restarted with another limit, and may have run the call before."""
    first = requests.send(call("a", "x" * 50))
    requests.send(call("b", "x" * 51))
    third = requests.send(call("c"))
    requests.max_bytes = len(first[0])
    requests.tell(requests.unanswered_ids())
    assert requests.resend() == [*first, *third]
    error = results.pop("b")
    assert isinstance(error, OutcomeUnknown) and "not sent again" in error.message
    assert results == {} and requests.unanswered == 2
    # Its answer, if the server has one, is not wanted.
    for id in range(100, 131):
        requests.answer(id, None, None)
    acknowledgement = requests.acknowledgement()
    assert acknowledgement is not None
    assert parse_client_message(encoding, acknowledgement) == Received([2, *range(100, 131)])


def test_a_new_session_rejects_what_was_sent_and_numbers_anew(
    encoding: Encoding, requests: Requests, call: Any, results: Results
) -> None:
    requests.send(call("a"))
    requests.lost()
    requests.queue(call("b"))
    requests.replace_session()
    assert isinstance(results.pop("a"), OutcomeUnknown)
    assert results == {}
    assert requests.resend() == []
    assert [parse_client_message(encoding, p) for p in requests.send_queued()] == [Call(1, "b", [])]


def test_what_cannot_be_sent_later_is_not_queued(requests: Requests, call: Any) -> None:
    deep: list[Any] = []
    for _ in range(MAX_NESTING - 3):
        deep = [deep]
    requests.queue(call("a", deep))
    assert len(requests.send_queued()) == 1
    with pytest.raises(TypeError, match="Recursion"):
        requests.queue(call("b", [deep]))


def test_one_that_is_too_long_is_not_sent_and_takes_no_id(
    encoding: Encoding, requests: Requests, call: Any, results: Results
) -> None:
    requests.queue(call("waited", "ü" * 300))
    requests.queue(call("small"))
    requests.max_bytes = 500
    assert [parse_client_message(encoding, p) for p in requests.send_queued()] == [Call(1, "small", [])]
    assert isinstance(results["waited"], MessageTooBig)
    fitting = "x" * (500 - len(encoding.encode(["call", 2, "a", ["x" * 300]])) + 300)
    assert requests.send(call("over", fitting)) == []
    assert isinstance(results["over"], MessageTooBig)
    [payload] = requests.send(call("a", fitting))
    assert len(payload) == 500 and requests.unanswered == 2


def test_so_many_are_unanswered_and_no_more(encoding: Encoding, results: Results, call: Any) -> None:
    requests = Requests(encoding, max_queued=0, max_unanswered=2)
    requests.send(call("a"))
    requests.send(call("b"))
    assert not requests.may_send
    for name in "cd":
        requests.queue(call(name), offline=False)
    assert requests.send_queued() == []
    requests.answer(2, "B", None)
    assert [parse_client_message(encoding, p) for p in requests.send_queued()] == [Call(3, "c", [])]
    requests.answer(1, "A", None)
    assert not requests.may_send  # d was there first
    assert [parse_client_message(encoding, p) for p in requests.send_queued()] == [Call(4, "d", [])]


def test_one_whose_caller_has_gone_takes_its_place_until_it_is_answered(
    encoding: Encoding, results: Results, call: Any
) -> None:
    requests = Requests(encoding, max_queued=0, max_unanswered=1)
    gone = call("a")
    requests.send(gone)
    requests.abandon(gone)
    assert not requests.may_send
    requests.answer(1, "A", None)
    assert requests.may_send


def test_answers_are_acknowledged_many_at_a_time_or_when_they_are_large(
    encoding: Encoding, requests: Requests
) -> None:
    for id in range(1, 32):
        requests.answer(id, None, None, 10)
        assert requests.acknowledgement() is None
    requests.answer(32, None, None, 10)
    message = requests.acknowledgement()
    assert message is not None
    assert parse_client_message(encoding, message) == Received([*range(1, 33)])
    assert requests.acknowledgement() is None
    requests.answer(33, None, None, 65_536)
    message = requests.acknowledgement()
    assert message is not None
    assert parse_client_message(encoding, message) == Received([33])


def test_a_resume_names_what_is_unanswered_and_acknowledges_what_nobody_waits_for_since(
    encoding: Encoding, requests: Requests, call: Any
) -> None:
    gone, stays = call("a"), call("b")
    requests.send(gone)
    requests.send(stays)
    requests.answer(9, None, None)  # the server learns of it from the resume
    requests.lost()
    assert requests.unanswered_ids() == (1, 2)
    requests.tell((1, 2))
    requests.abandon(gone)
    assert len(requests.resend()) == 1
    requests.answer(3, None, None, 65_536)
    message = requests.acknowledgement()
    assert message is not None
    assert parse_client_message(encoding, message) == Received([1, 3])


def test_where_a_resume_did_not_say_what_is_unanswered_all_is_acknowledged_that_is_not(
    encoding: Encoding, requests: Requests, call: Any
) -> None:
    gone, too_long, stays = call("a"), call("b", "x" * 500), call("c")
    for request in (gone, Request(Subscribe, "e", ignore), too_long, stays):
        requests.send(request)
    for id in range(10, 40):
        requests.answer(id, None, None)
    requests.abandon(gone)
    requests.lost()
    requests.tell(None)
    requests.max_bytes = 500
    assert requests.resend() == [stays.payload]
    told: list[int] = []
    for id in range(40, 72):
        requests.answer(id, None, None)
        message = requests.acknowledgement()
        if message is not None:
            received = parse_client_message(encoding, message)
            assert isinstance(received, Received) and len(received.ids) == 32
            told += received.ids
    # The server has the subscription from the connect message, and the last answers are too few to be told.
    assert sorted(told) == [1, 2, 3, *range(10, 71)]


def test_one_that_is_refused_on_the_way_did_not_run_if_it_was_sent_once(
    requests: Requests, call: Any, results: Results
) -> None:
    requests.send(call("a"))
    requests.send(call("b"))
    error = Forbidden("a proxy said 403")
    requests.refuse(1, error)
    assert results == {"a": error}
    # The other one may have arrived before the network was lost.
    requests.lost()
    requests.resend()
    requests.refuse(2, error)
    unknown = results["b"]
    assert isinstance(unknown, OutcomeUnknown) and unknown.__cause__ is error
    assert "b was sent" in unknown.message and error.message in unknown.message
    assert (requests.unanswered, requests.answered, requests.unanswered_ids()) == (0, 0, ())


def test_what_the_server_may_have_of_a_refused_one_is_not_wanted(
    encoding: Encoding, requests: Requests, call: Any
) -> None:
    """It would keep it, and in the end take no further calls."""
    requests.send(call("a"))
    requests.lost()
    requests.tell((1,))
    requests.resend()
    requests.refuse(1, Forbidden("no"))
    requests.answer(2, None, None, 65_536)
    message = requests.acknowledgement()
    assert message is not None
    assert parse_client_message(encoding, message) == Received([1, 2])


def test_a_refused_one_whose_caller_has_gone_takes_no_place(encoding: Encoding, call: Any) -> None:
    requests = Requests(encoding, max_queued=0, max_unanswered=1)
    gone = call("a")
    requests.send(gone)
    requests.abandon(gone)
    requests.refuse(1, Forbidden("no"))
    assert requests.may_send


def test_the_queue_is_bounded_and_keeps_what_it_has(requests: Requests, call: Any) -> None:
    for name in "abc":
        requests.queue(call(name))
    with pytest.raises(OfflineQueueFull):
        requests.queue(call("d"))
    assert requests.queued == 3
    assert len(requests.send_queued()) == 3
    assert requests.queued == 0


def test_abandoned_requests_are_not_sent(requests: Requests, call: Any, results: Results) -> None:
    sent, queued = call("sent"), call("queued")
    requests.send(sent)
    requests.queue(queued)
    requests.abandon(sent)
    requests.abandon(queued)
    requests.abandon(queued)
    requests.answer(1, "late", None)
    assert requests.resend() == requests.send_queued() == []
    assert results == {}


def test_abandoning_looks_at_the_request_not_at_its_id(
    requests: Requests, call: Any, results: Results
) -> None:
    old, new = call("old"), call("new")
    requests.send(old)
    requests.replace_session()
    requests.send(new)
    assert old.id == new.id == 1
    requests.abandon(old)
    requests.answer(1, "kept", None)
    assert results["new"] == "kept"


def test_arguments_are_taken_when_a_call_starts_to_wait(
    encoding: Encoding, requests: Requests, call: Any
) -> None:
    words = ["before"]
    requests.queue(call("a", words))
    words.append("after")
    assert parse_client_message(encoding, requests.send_queued()[0]) == Call(1, "a", [["before"]])


def test_what_cannot_be_encoded_leaves_no_trace(requests: Requests, call: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        requests.send(call("a", object()))
    with pytest.raises((TypeError, ValueError)):
        requests.queue(call("b", object()))
    assert requests.unanswered == requests.queued == 0
    fine = call("c")
    requests.send(fine)
    assert fine.id == 1


def test_the_end_tells_what_may_have_run(requests: Requests, call: Any, results: Results) -> None:
    requests.send(call("a"))
    requests.queue(call("b"))
    closed = ConnectionClosed("over")
    requests.end(closed)
    assert isinstance(results["a"], OutcomeUnknown)
    assert "over" in results["a"].message
    assert results["a"].__cause__ is closed
    assert results["b"] is closed
    assert requests.unanswered == requests.queued == 0
