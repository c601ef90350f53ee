"""Any bytes as a message: it is one, or an error with a code, and never another exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringcast.errors import CloseCode, ProtocolError, RingcastError
from ringcast.wire.encoding import Encoding
from ringcast.wire.parsing import parse_address, parse_client_message, parse_connect, parse_server_message
from ringcast.wire.protocol import Call, Connect, Unreadable

from .drawing import SETTINGS, WIRE, damaged, values

ENCODINGS = pytest.mark.parametrize("encoding", list(Encoding), ids=lambda encoding: encoding.name.lower())
MESSAGES: list[Any] = [
    case["value"]
    for name in ("client", "client_variants", "server", "server_unknown")
    for case in json.loads((WIRE / "messages.json").read_text())[name]
    if "value" in case
]
KINDS = sorted({message[0] for message in MESSAGES if message and isinstance(message[0], str)})


def check(encoding: Encoding, data: bytes) -> None:
    for parse in (parse_client_message, parse_server_message):
        try:
            message = parse(encoding, data)
        except ProtocolError as error:
            assert error.code and isinstance(error.close_code, CloseCode)
        else:
            # What was let in can be looked at.
            assert message is None or repr(message)


@ENCODINGS
@given(data=st.data())
@SETTINGS
def test_valid_messages_that_were_damaged(encoding: Encoding, data: st.DataObject) -> None:
    whole = encoding.encode(data.draw(st.sampled_from(MESSAGES)))
    check(encoding, data.draw(damaged(whole)))


@ENCODINGS
@given(payload=st.binary(max_size=200))
@SETTINGS
def test_any_bytes(encoding: Encoding, payload: bytes) -> None:
    check(encoding, payload)


@ENCODINGS
@given(kind=st.sampled_from(KINDS), rest=st.lists(values(), max_size=5))
@SETTINGS
def test_any_values_in_a_message(encoding: Encoding, kind: str, rest: list[Any]) -> None:
    check(encoding, encoding.encode([kind, *rest]))


@ENCODINGS
@given(data=st.data())
@SETTINGS
def test_valid_messages_with_another_value_somewhere(encoding: Encoding, data: st.DataObject) -> None:
    message = data.draw(st.sampled_from(MESSAGES))
    check(encoding, encoding.encode(_replaced(data, message)))


def _replaced(data: st.DataObject, value: Any) -> Any:
    """Return the value with something else in one place."""
    if isinstance(value, list) and value and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(value) - 1))
        return [_replaced(data, each) if n == at else each for n, each in enumerate(value)]
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        at = data.draw(st.sampled_from(sorted(value, key=str)))
        return {name: _replaced(data, each) if name == at else each for name, each in value.items()}
    return data.draw(values())


@given(id=st.integers(1, 2**63 - 1), args=st.lists(st.text(st.sampled_from("ab\ud83d\ude00😀")), max_size=3))
@SETTINGS
def test_any_halves_of_characters_in_a_call(id: int, args: list[str]) -> None:
    message = parse_client_message(Encoding.JSON, json.dumps(["call", id, "say", args]).encode())
    # What stands side by side is a character.
    together = [arg.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for arg in args]
    if "\ufffd" in "".join(together):
        assert isinstance(message, Unreadable)
        assert (message.id, message.error.code) == (id, "validation_error")
    else:
        assert message == Call(id, "say", together)


FIELDS = ("key", "lookup", "actor_id", "input", "attempt", "params", "subscriptions", "resume")


@given(actor=st.text(), body=st.dictionaries(st.sampled_from(FIELDS) | st.text(), values(), max_size=6))
@SETTINGS
def test_any_values_in_a_request(actor: str, body: dict[str, Any]) -> None:
    for parse in (parse_address, parse_connect):
        try:
            assert isinstance(parse(actor, body), Connect)
        except RingcastError as error:
            assert error.code == "invalid_message"
