"""The golden messages in `tests/wire`, held against the Python side of the protocol, both ways."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ringcast.errors import CloseCode, ProtocolError, may_come_back
from ringcast.wire.deflate import inflate
from ringcast.wire.encoding import Encoding
from ringcast.wire.parsing import parse_client_message, parse_server_message
from ringcast.wire.protocol import Connect, Connected, Gap, Unreadable

WIRE = Path(__file__).parents[1] / "wire"


def load(file: str, *lists: str) -> list[Any]:
    content = json.loads((WIRE / file).read_text())
    return [pytest.param(case, id=f"{name}: {case['name']}") for name in lists for case in content[name]]


def payload(case: dict[str, Any], encoding: Encoding) -> bytes:
    if encoding is Encoding.JSON:
        return str(case["json"]).encode()
    return bytes.fromhex(case["msgpack_hex"])


def frame(case: dict[str, Any], encoding: Encoding) -> bytes:
    return bytes.fromhex(case[f"{encoding.name.lower()}_frame_hex"])


def to_wire(message: Any) -> Any:
    return ["gap", message.to_wire()] if isinstance(message, Gap) else message.to_wire()


def unwrap(data: bytes) -> tuple[int, bytes]:
    """Take an unmasked, unfragmented frame apart: its opcode and payload."""
    first, length = data[0], data[1]
    assert first & 0xF0 == 0x80, "FIN and no reserved bit"
    assert length < 0x80, "not masked"
    start = 2
    if length == 126:
        (length,), start = struct.unpack_from(">H", data, 2), 4
        assert length >= 126, "shortest form"
    elif length == 127:
        (length,), start = struct.unpack_from(">Q", data, 2), 10
        assert length >= 65536, "shortest form"
    assert len(data) == start + length
    return first & 0x0F, data[start:]


@pytest.fixture(params=list(Encoding), ids=lambda encoding: encoding.name.lower())
def encoding(request: pytest.FixtureRequest) -> Encoding:
    assert isinstance(request.param, Encoding)
    return request.param


@pytest.mark.parametrize("case", load("messages.json", "client", "server"))
def test_value_is_written_byte_for_byte(case: dict[str, Any], encoding: Encoding) -> None:
    assert encoding.encode(case["value"]) == payload(case, encoding)


@pytest.mark.parametrize("case", load("messages.json", "client", "client_variants"))
def test_client_message_is_read(case: dict[str, Any], encoding: Encoding) -> None:
    message = parse_client_message(encoding, payload(case, encoding))
    assert message.to_wire() == case["value"]


@pytest.mark.parametrize("case", load("messages.json", "server"))
def test_server_message_is_read(case: dict[str, Any], encoding: Encoding) -> None:
    message = parse_server_message(encoding, payload(case, encoding))
    assert to_wire(message) == case["value"]


@pytest.mark.parametrize("case", load("messages.json", "server_unknown"))
def test_unknown_server_message_is_ignored(case: dict[str, Any], encoding: Encoding) -> None:
    assert parse_server_message(encoding, payload(case, encoding)) is None


@pytest.mark.parametrize("case", load("malformed.json", "client"))
def test_malformed_client_message_is_refused(case: dict[str, Any]) -> None:
    data = case["text"].encode() if "text" in case else bytes.fromhex(case["hex"])
    with pytest.raises(ProtocolError) as caught:
        parse_client_message(Encoding[case["encoding"].upper()], data)
    assert (caught.value.code, caught.value.close_code) == (case["error_code"], case["close_code"])


@pytest.mark.parametrize("parse", [parse_client_message, parse_server_message])
@pytest.mark.parametrize(("encoding", "data"), [(Encoding.JSON, b"["), (Encoding.MSGPACK, b"\x91")])
def test_what_is_no_json_or_messagepack_is_told_to_be_none(
    parse: Callable[[Encoding, bytes], object], encoding: Encoding, data: bytes
) -> None:
    with pytest.raises(ProtocolError, match=f"the message is not valid {encoding.name}: .") as caught:
        parse(encoding, data)
    assert (caught.value.code, caught.value.close_code) == ("invalid_message", 4001)


@pytest.mark.parametrize("case", load("malformed.json", "unreadable"))
def test_request_with_text_that_is_no_unicode_is_an_error_of_that_request(case: dict[str, Any]) -> None:
    data = case["text"].encode() if "text" in case else bytes.fromhex(case["hex"])
    message = parse_client_message(Encoding[case["encoding"].upper()], data)
    assert isinstance(message, Unreadable)
    assert (message.id, message.error.code) == (case["id"], case["error_code"])


@pytest.mark.parametrize("name", ["params", "input"])
def test_a_connect_message_with_text_that_is_no_unicode_is_told_where(name: str) -> None:
    for encoding, data in (
        (Encoding.JSON, b'["connect",{"actor":"a","%s":{"n":"\\ud83d"}}]' % name.encode()),
        (Encoding.MSGPACK, Encoding.MSGPACK.encode(["connect", {"actor": "a", name: "?"}])[:-1] + b"\xff"),
    ):
        with pytest.raises(ProtocolError, match=f"connect.{name} has text") as caught:
            parse_client_message(encoding, data)
        assert (caught.value.code, caught.value.close_code) == ("invalid_message", 4001)


@pytest.mark.parametrize("case", load("malformed.json", "server"))
def test_malformed_server_message_is_refused(case: dict[str, Any]) -> None:
    data = case["text"].encode() if "text" in case else bytes.fromhex(case["hex"])
    with pytest.raises(ProtocolError):
        parse_server_message(Encoding[case["encoding"].upper()], data)


@pytest.mark.parametrize("case", load("frames.json", "events"))
def test_event_frame_holds_the_event(case: dict[str, Any], encoding: Encoding) -> None:
    opcode, data = unwrap(frame(case, encoding))
    assert opcode == (1 if encoding.is_text else 2)
    value = ["event", case["stream"], case["offset"], case["event"], case["args"]]
    assert data == encoding.encode(value)
    message = parse_server_message(encoding, data)
    assert message is not None and to_wire(message) == value


@pytest.mark.parametrize("case", load("frames.json", "long_events"))
def test_long_event_frame_holds_the_event(case: dict[str, Any]) -> None:
    encoding = Encoding[case["encoding"].upper()]
    text = case["argument"]["character"] * case["argument"]["times"]
    whole = bytes.fromhex(case["head_hex"]) + text.encode() + bytes.fromhex(case["tail_hex"])
    opcode, data = unwrap(whole)
    assert opcode == (1 if encoding.is_text else 2)
    assert len(data) == case["payload_bytes"]
    assert encoding.decode(data) == ["event", case["stream"], case["offset"], case["event"], [text]]


@pytest.mark.parametrize("case", load("frames.json", "messages"))
def test_message_frame_holds_the_message(case: dict[str, Any], encoding: Encoding) -> None:
    opcode, data = unwrap(frame(case, encoding))
    assert opcode == (1 if encoding.is_text else 2)
    assert data == encoding.encode(case["value"])


@pytest.mark.parametrize("case", load("frames.json", "compressed"))
def test_compressed_frame_holds_the_message(case: dict[str, Any], encoding: Encoding) -> None:
    first, *rest = frame(case, encoding)
    assert first == 0xC0 | (1 if encoding.is_text else 2)
    _, data = unwrap(bytes([first & 0x8F, *rest]))
    assert encoding.decode(inflate(data, 10_000)) == case["value"]


@pytest.mark.parametrize("case", load("frames.json", "control"))
def test_control_frame_is_well_formed(case: dict[str, Any]) -> None:
    opcode, data = unwrap(bytes.fromhex(case["frame_hex"]))
    assert len(data) <= 125
    if case["kind"] != "close":
        assert opcode == {"ping": 9, "pong": 10}[case["kind"]]
        assert data == bytes.fromhex(case["payload_hex"])
    elif case["code"] is None:
        assert (opcode, data) == (8, b"")
    else:
        assert opcode == 8
        assert int.from_bytes(data[:2], "big") == case["code"]
        reason = data[2:].decode()
        assert case["reason"].startswith(reason)
        assert reason == case["reason"] or len(case["reason"].encode()) > 123


def test_close_codes_are_the_table() -> None:
    content = json.loads((WIRE / "close_codes.json").read_text())
    assert {row["name"].upper(): row["code"] for row in content["named"]} == {
        code.name: code.value for code in CloseCode
    }
    for row in content["named"] + content["others"]:
        assert may_come_back(row["code"]) is row["come_back"], row


def test_every_message_kind_has_a_golden_message() -> None:
    content = json.loads((WIRE / "messages.json").read_text())
    assert {case["value"][0] for case in content["client"]} == {
        "connect",
        "call",
        "subscribe",
        "unsubscribe",
        "received",
    }
    assert {case["value"][0] for case in content["server"]} == {
        "connected",
        "event",
        "reply",
        "error",
        "gap",
        "heartbeat",
    }
    parsed = [parse_server_message(Encoding.JSON, payload(case, Encoding.JSON)) for case in content["server"]]
    assert any(isinstance(message, Connected) and message.gap is not None for message in parsed)
    connects = [parse_client_message(Encoding.JSON, payload(c, Encoding.JSON)) for c in content["client"]]
    lookups = {message.lookup for message in connects if isinstance(message, Connect)}
    assert lookups == {"get", "get_or_create", "create", "id"}
