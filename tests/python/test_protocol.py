"""The wire messages: what the golden ones in `test_wire.py` do not show."""

from __future__ import annotations

import datetime
import enum
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringcast.errors import ActorNotFound, NotConnected, OutcomeUnknown, ProtocolError, UserError, from_wire
from ringcast.wire.encoding import Encoding, encode_for_all
from ringcast.wire.parsing import parse_address, parse_client_message, parse_server_message
from ringcast.wire.protocol import (
    MAX_KEY_PARTS,
    MAX_NAME_CHARS,
    MAX_NESTING,
    MAX_SUBSCRIPTIONS,
    Call,
    Connect,
    Event,
    Received,
    Resume,
    Subscribe,
    Unsubscribe,
)

names = st.text(min_size=1, max_size=MAX_NAME_CHARS)
ids = st.integers(min_value=1, max_value=2**63 - 1)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
resumes = st.builds(
    Resume,
    st.text(),
    st.text(),
    st.integers(min_value=0, max_value=2**63 - 1),
    st.none() | st.lists(ids, max_size=4).map(tuple),
)
keys = st.lists(st.text(max_size=MAX_NAME_CHARS), max_size=MAX_KEY_PARTS).map(tuple)
subscriptions = st.lists(names, max_size=8, unique=True).map(tuple)


def connects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Connect]:
    return st.fixed_dictionaries(fields).map(lambda given: Connect(**given))


by_key = connects(
    actor=names,
    key=keys,
    lookup=st.sampled_from(["get", "get_or_create"]),
    input=plain,
    params=plain,
    subscriptions=subscriptions,
    resume=st.none() | resumes,
)
creating = connects(actor=names, key=keys, lookup=st.just("create"), attempt=st.none() | names, input=plain)
by_id = connects(actor=names, lookup=st.just("id"), actor_id=names, params=plain, subscriptions=subscriptions)
client_messages = (
    by_key
    | creating
    | by_id
    | st.builds(Call, ids, names, st.lists(plain, max_size=4))
    | st.builds(Subscribe, ids, names)
    | st.builds(Unsubscribe, ids, names)
    | st.builds(Received, st.lists(ids, max_size=4))
)
encodings = st.sampled_from(list(Encoding))


@given(encodings, client_messages)
def test_client_message_survives_the_wire(encoding: Encoding, message: Any) -> None:
    assert parse_client_message(encoding, encoding.encode(message.to_wire())) == message


@given(encodings, st.integers(0, 2**32 - 1), st.integers(0, 2**63 - 1), names, st.lists(plain, max_size=4))
def test_event_survives_the_wire(
    encoding: Encoding, stream: int, offset: int, name: str, args: list[Any]
) -> None:
    event = Event(stream, offset, name, args)
    assert parse_server_message(encoding, encoding.encode(event.to_wire())) == event


@given(encodings, st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_protocol_error(encoding: Encoding, data: bytes) -> None:
    for parse in (parse_client_message, parse_server_message):
        try:
            parse(encoding, data)
        except ProtocolError as error:
            assert error.code in {"invalid_message", "unknown_message"}


@given(encodings, plain)
def test_any_value_is_a_message_or_a_protocol_error(encoding: Encoding, value: Any) -> None:
    for parse in (parse_client_message, parse_server_message):
        for message in (value, ["connect", value], ["call", 1, value, value], ["connected", value]):
            try:
                parse(encoding, encoding.encode(message))
            except ProtocolError as error:
                assert error.code in {"invalid_message", "unknown_message"}


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    when: datetime.datetime


@pytest.mark.parametrize(
    ("value", "plain_value"),
    [
        (
            Point(1, datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)),
            {"x": 1, "when": "2024-01-02T00:00:00Z"},
        ),
        (datetime.datetime(2024, 1, 2, 3, 4, 5, 6), "2024-01-02T03:04:05.000006"),
        (datetime.date(2024, 1, 2), "2024-01-02"),
        (datetime.timedelta(seconds=90), "PT1M30S"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Decimal("1.50"), "1.50"),
        (Colour.RED, "red"),
        ({3}, [3]),
        ((1, 2), [1, 2]),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("encoding", list(Encoding), ids=lambda encoding: encoding.name)
def test_python_value_reads_the_same_in_both_encodings(
    encoding: Encoding, value: Any, plain_value: Any
) -> None:
    assert encoding.decode(encoding.encode([value])) == [plain_value]


def test_bytes_and_integer_keys_are_lossless_in_msgpack_only() -> None:
    assert Encoding.MSGPACK.decode(Encoding.MSGPACK.encode([b"\xff", {1: 2}])) == [b"\xff", {1: 2}]
    assert Encoding.JSON.decode(Encoding.JSON.encode([{1: 2}])) == [{"1": 2}]


def test_limits_are_inclusive() -> None:
    connect = Connect(
        actor="a" * MAX_NAME_CHARS,
        key=("k" * MAX_NAME_CHARS,) * MAX_KEY_PARTS,
        subscriptions=tuple(f"s{number}" for number in range(MAX_SUBSCRIPTIONS)),
    )
    for encoding in Encoding:
        assert parse_client_message(encoding, encoding.encode(connect.to_wire())) == connect


def test_address_of_a_request_takes_nothing_but_the_address() -> None:
    body = {
        "actor": "other",
        "key": ["a"],
        "lookup": "create",
        "input": 1,
        "params": 2,
        "subscriptions": ["x"],
        "resume": {},
    }
    assert parse_address("room", body) == Connect(actor="room", key=("a",), lookup="create", input=1)
    assert parse_address("room", {"lookup": "id", "actor_id": "x"}).actor_id == "x"
    assert parse_address("room", {}) == Connect(actor="room")


@pytest.mark.parametrize(
    "body",
    [
        {"key": "a"},
        {"key": [1]},
        {"lookup": "id"},
        {"lookup": "nope"},
        {"actor_id": "x"},
        {"attempt": "x"},
        {"lookup": "create", "attempt": ""},
    ],
    ids=str,
)
def test_bad_address_of_a_request_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        parse_address("room", body)


def test_encodings_have_the_numbers_of_the_core() -> None:
    assert {encoding.name: encoding.index for encoding in Encoding} == {"JSON": 0, "MSGPACK": 1}
    assert len({encoding.subprotocol for encoding in Encoding}) == len(Encoding)


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        ("actor_not_found", ActorNotFound),
        ("outcome_unknown", OutcomeUnknown),
        ("offline_queue_full", UserError),
        ("not_connected", NotConnected),
        ("events_lost", UserError),
        ("too_late", UserError),
    ],
)
def test_an_error_becomes_the_class_that_a_server_sends(code: str, cls: type[Exception]) -> None:
    error = from_wire({"code": code, "message": "no"})
    assert type(error) is cls
    assert error.code == code


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize("encoding", Encoding)
def test_nothing_is_written_that_nests_deeper_than_readers_follow(encoding: Encoding) -> None:
    for value in (nested(MAX_NESTING), {"a": nested(MAX_NESTING - 1)}):
        # An event's frame is one more level around its arguments.
        assert encoding.decode(encoding.encode(value)) == value
    with pytest.raises(TypeError, match="Recursion limit"):
        encoding.encode(nested(MAX_NESTING + 1))


class Model(pydantic.BaseModel):
    inside: Any


@dataclass
class Data:
    inside: Any


@pytest.mark.parametrize("around", [Model, Data], ids=["model", "dataclass"])
def test_an_object_of_the_authors_nests_as_deep_in_both_encodings(around: Any) -> None:
    fits = [[around(inside=nested(MAX_NESTING - 3))]]
    assert Encoding.JSON.decode(Encoding.JSON.encode(fits)) == [[{"inside": nested(MAX_NESTING - 3)}]]
    for levels in (MAX_NESTING - 2, MAX_NESTING, 300, 600):
        # Also one that is not too deep by itself.
        for value in (
            [[around(inside=nested(levels))]],
            [nested_around(around(inside=nested(200)), levels - 199)],
        ):
            for encode in (Encoding.JSON.encode, Encoding.MSGPACK.encode, encode_for_all):
                with pytest.raises(TypeError):
                    encode(value)
    for encode in (Encoding.MSGPACK.encode, encode_for_all):
        assert Encoding.MSGPACK.decode(encode(fits)) == [[{"inside": nested(MAX_NESTING - 3)}]]
        # A key that JSON has not: refused inside of an object as outside of it.
        if around is Data:
            with pytest.raises(TypeError, match=r"[Kk]ey"):
                encode([around(inside={(1, 2): 3})])


def nested_around(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("key", [(1, 2), b"x", frozenset()], ids=repr)
def test_a_map_whose_keys_are_no_json_is_not_written(encoding: Encoding, key: Any) -> None:
    # MessagePack could write it, and no reader would take it.
    with pytest.raises(TypeError, match=r"[Kk]ey"):
        encoding.encode(["x", {"inner": {key: 1}}])


def test_what_only_messagepack_carries_is_written_at_any_depth() -> None:
    value = [{"picture": b"\xff\x00", 1: [b"\xfe"]}]
    assert Encoding.MSGPACK.decode(Encoding.MSGPACK.encode(value)) == value


@pytest.mark.parametrize(("code", "error"), [(5, TypeError), (b"x", TypeError), ("", ValueError)])
def test_the_code_of_an_authors_error_is_a_string_with_something_in_it(
    code: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="code of a UserError"):
        UserError("no", code=code)
