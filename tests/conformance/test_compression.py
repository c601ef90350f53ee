"""RFC 7692: permessage-deflate, negotiated and used, rightly and wrongly."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from raw_client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawClient, deflate, frame
from websockets.sync.client import connect
from websockets.typing import Subprotocol

MAX_MESSAGE_BYTES = 65_536
RSV1 = 4
AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
LONG = "a text that says itself again and again; " * 20

Address = tuple[str, int]


@pytest.fixture
def raw(compressing_address: Address) -> Iterator[RawClient]:
    with RawClient(compressing_address) as client:
        yield client


@pytest.fixture(params=["json", "msgpack"])
def client(compressing_address: Address, request: pytest.FixtureRequest) -> Iterator[RawClient]:
    """A connected client that has agreed on compression, once for each encoding."""
    with RawClient(compressing_address, request.param) as client:
        client.connect("shouted", sec_websocket_extensions="permessage-deflate")
        assert client.compression
        yield client


@pytest.fixture
def json_client(raw: RawClient) -> RawClient:
    return raw.connect("shouted", sec_websocket_extensions="permessage-deflate")


# Section 5 and 7.1: what is agreed on.


@dataclass(frozen=True)
class Offer:
    header: str | list[str]
    answer: str | None = field(default=AGREED)

    def __str__(self) -> str:
        return " | ".join(self.header) if isinstance(self.header, list) else self.header


TWELVE = f"{AGREED}; server_max_window_bits=12"

OFFERS = [
    Offer("permessage-deflate"),
    Offer("permessage-deflate; client_max_window_bits"),
    Offer("permessage-deflate; client_max_window_bits=15"),
    Offer("permessage-deflate; client_max_window_bits=8"),
    Offer("permessage-deflate;server_no_context_takeover;client_no_context_takeover"),
    Offer("permessage-deflate; server_max_window_bits=15", TWELVE),
    Offer("permessage-deflate; server_max_window_bits=12; client_max_window_bits", TWELVE),
    Offer('permessage-deflate ;\tserver_max_window_bits = "12"', TWELVE),
    Offer("x-webkit-deflate-frame, permessage-deflate"),
    Offer("permessage-deflate; server_max_window_bits=9, permessage-deflate"),
    Offer("permessage-deflate; made_up=1, permessage-deflate; server_max_window_bits=13", TWELVE),
    Offer(["permessage-deflate; server_max_window_bits=8", ",, permessage-deflate ,"]),
    Offer("permessage-deflate; server_max_window_bits=11", None),
    Offer("permessage-deflate; server_max_window_bits=8", None),
    Offer("permessage-deflate; server_max_window_bits=7", None),
    Offer("permessage-deflate; server_max_window_bits=16", None),
    Offer("permessage-deflate; server_max_window_bits=012", None),
    Offer("permessage-deflate; server_max_window_bits=-12", None),
    Offer("permessage-deflate; server_max_window_bits=twelve", None),
    Offer("permessage-deflate; server_max_window_bits", None),
    Offer("permessage-deflate; client_max_window_bits=7", None),
    Offer("permessage-deflate; client_max_window_bits=16", None),
    Offer("permessage-deflate; server_no_context_takeover=1", None),
    Offer("permessage-deflate; client_no_context_takeover=true", None),
    Offer("permessage-deflate; client_no_context_takeover; client_no_context_takeover", None),
    Offer("permessage-deflate; client_max_window_bits; client_max_window_bits=10", None),
    Offer("permessage-deflate; made_up", None),
    Offer("permessage-bzip2, x-webkit-deflate-frame", None),
    Offer("Permessage-Deflate", None),
]


@pytest.mark.parametrize("offer", OFFERS, ids=str)
def test_offers(raw: RawClient, offer: Offer) -> None:
    response = raw.upgrade(sec_websocket_extensions=offer.header)
    assert response.status == 101
    assert response.headers.get("sec-websocket-extensions") == offer.answer
    raw.compression = offer.answer is not None
    raw.send_message(["connect", {"actor": "echo", "key": ["offers"]}])
    assert raw.read_message()[0] == "connected"


MALFORMED = [
    "",
    ",",
    "permessage-deflate;",
    "permessage-deflate; ;",
    "permessage-deflate; server_max_window_bits=",
    "permessage-deflate; =12",
    'permessage-deflate; server_max_window_bits="12',
    'permessage-deflate; server_max_window_bits="1 2"',
    "permessage-deflate permessage-deflate",
    "permessage-deflate, permessage/deflate",
]


@pytest.mark.parametrize("header", MALFORMED)
def test_malformed_offers(raw: RawClient, header: str) -> None:
    """RFC 6455, section 9.1."""
    assert raw.upgrade(sec_websocket_extensions=header).status == 400


def test_malformed_offers_where_compression_is_off(address: Address) -> None:
    with RawClient(address) as client:
        assert client.upgrade(sec_websocket_extensions="permessage-deflate;").status == 400


# Section 6 and 7.2: messages.


def compressed(client: RawClient, message: Any) -> bytes:
    return frame(client.data_opcode, deflate(client.encode(message)), rsv=RSV1)


def test_long_messages_are_compressed_in_both_directions(client: RawClient) -> None:
    id_, message = client.new_call("echo", LONG)
    client.send(compressed(client, message))
    got = client.read_frame()
    assert got.compressed
    assert client.decode(got.payload) == ["reply", id_, LONG]


def test_short_messages_are_not(client: RawClient) -> None:
    id_, message = client.new_call("echo", "short")
    client.send(compressed(client, message))
    got = client.read_frame()
    assert not got.compressed
    assert client.decode(got.payload) == ["reply", id_, "short"]


def test_events_are_compressed_for_those_who_agreed(client: RawClient) -> None:
    with RawClient(client.address, client.encoding) as other:
        other.connect("shouted")
        for number, text in enumerate(["short", LONG, "short again", LONG[::-1]]):
            assert not number or client.call("echo", number) == number
            client.send_message(client.new_call("shout", text)[1])
            plain, event = other.read_frame(), client.read_frame()
            assert (plain.compressed, event.compressed) == (False, len(text) > 100)
            assert plain.payload == event.payload
            assert client.read_message()[0] == "reply"


def test_messages_that_are_not_compressed_are_taken_as_well(client: RawClient) -> None:
    """Section 6.1."""
    for number in range(3):
        assert client.call("echo", [LONG, number]) == [LONG, number]


def test_a_message_that_says_where_it_ends(client: RawClient) -> None:
    """Section 7.2.3.4."""
    id_, message = client.new_call("echo", LONG)
    client.send(frame(client.data_opcode, deflate(client.encode(message), final=True), rsv=RSV1))
    assert client.expect_reply(id_) == LONG


def test_blocks_that_are_not_compressed(client: RawClient) -> None:
    """Section 7.2.3.3."""
    id_, message = client.new_call("echo", "as it is")
    payload = client.encode(message)
    length = len(payload)
    stored = b"\0" + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little") + payload + b"\0"
    client.send(frame(client.data_opcode, stored, rsv=RSV1))
    assert client.expect_reply(id_) == "as it is"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_fragments(client: RawClient, size: int) -> None:
    """Section 6.1: a message is compressed, then cut; only its first frame is marked."""
    id_, message = client.new_call("echo", LONG)
    whole = deflate(client.encode(message))
    parts = [whole[at : at + size] for at in range(0, len(whole), size)]
    first = frame(client.data_opcode, parts[0], fin=len(parts) == 1, rsv=RSV1)
    rest = (frame(CONTINUATION, part, fin=False) for part in parts[1:])
    client.send(first, frame(PING, b"in between") if len(parts) > 1 else b"", *rest)
    if len(parts) > 1:
        client.send(frame(CONTINUATION, b""))
        got = client.read_frame()
        assert (got.opcode, got.payload) == (PONG, b"in between")
    assert client.expect_reply(id_) == LONG


WRONG = [
    ("a ping", frame(PING, b"x", rsv=RSV1)),
    ("a pong", frame(PONG, b"x", rsv=RSV1)),
    ("a close", frame(CLOSE, b"\x03\xe8", rsv=RSV1)),
    ("a continuation", frame(TEXT, deflate(b"[")[:1], fin=False, rsv=RSV1) + frame(CONTINUATION, rsv=RSV1)),
    ("a continuation of a plain message", frame(TEXT, b"[", fin=False) + frame(CONTINUATION, rsv=RSV1)),
    ("a continuation of nothing", frame(CONTINUATION, b"x", rsv=RSV1)),
    ("a message inside another", frame(TEXT, b"[", fin=False) + frame(TEXT, deflate(b"[]"), rsv=RSV1)),
    ("RSV2", frame(TEXT, b"[]", rsv=2)),
    ("RSV3", frame(TEXT, b"[]", rsv=1)),
    ("RSV1 and RSV2", frame(TEXT, deflate(b"[]"), rsv=6)),
]


@pytest.mark.parametrize("data", [data for _, data in WRONG], ids=[name for name, _ in WRONG])
def test_the_mark_where_it_may_not_be(json_client: RawClient, data: bytes) -> None:
    """Section 6 and RFC 6455, section 5.2."""
    json_client.send(data)
    json_client.expect_close(1002)


def test_the_mark_without_an_agreement(raw: RawClient) -> None:
    raw.connect()
    raw.send(compressed(raw, raw.new_call("count")[1]))
    raw.expect_close(1002)


def test_the_wrong_kind_of_frame(client: RawClient) -> None:
    other = BINARY if client.data_opcode == TEXT else TEXT
    client.send(frame(other, deflate(b"x"), rsv=RSV1))
    client.expect_close(1003)


BROKEN = [
    ("nothing", b""),
    ("noise", b"\xff" * 50),
    ("a reserved kind of block", b"\x06"),
    ("a stored block with a wrong length", b"\x00\x05\x00\x00\x00hello\x00"),
    ("cut inside a block", deflate(LONG.encode())[:-5]),
    ("what a message leaves out, not left out", deflate(LONG.encode()) + b"\x00\x00\xff\xff\x01"),
    ("more behind the end", deflate(LONG.encode(), final=True) + b"more"),
    ("a second stream behind the end", deflate(b"[]", final=True)[:-1] + deflate(b"[]", final=True)),
    ("a header of zlib's", zlib.compress(LONG.encode())),
]


@pytest.mark.parametrize("payload", [data for _, data in BROKEN], ids=[name for name, _ in BROKEN])
def test_what_is_no_compressed_message(client: RawClient, payload: bytes) -> None:
    client.send(frame(client.data_opcode, payload, rsv=RSV1))
    client.expect_close(1007)


def test_text_that_is_not_utf8(json_client: RawClient) -> None:
    """RFC 6455, section 8.1: what counts is the message, not what carries it."""
    json_client.send(frame(TEXT, deflate(b'["call",1,"echo",["\xc3\x28"]]'), rsv=RSV1))
    json_client.expect_close(1007)


def test_an_empty_message(json_client: RawClient) -> None:
    """Section 7.2.3.6: it is one byte. Of the wire protocol it is no message."""
    json_client.send(frame(TEXT, b"\x00", rsv=RSV1))
    assert json_client.read_message()[0] == "error"
    json_client.expect_close(4001)


# Sessions.


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("kinds", [(False, True), (True, False), (True, True)], ids=str)
def test_a_session_goes_on_whatever_the_next_socket_agrees_on(
    compressing_address: Address, encoding: str, kinds: tuple[bool, bool]
) -> None:
    offers = [{"sec_websocket_extensions": "permessage-deflate"} if kind else {} for kind in kinds]
    body: dict[str, Any] = {
        "actor": "echo",
        "key": [f"back {encoding} {kinds}"],
        "subscriptions": ["shouted"],
    }
    texts = ["short", LONG, LONG[::-1], "short again", LONG.upper()]
    with RawClient(compressing_address, encoding) as first:
        first.upgrade(**offers[0])
        first.compression = kinds[0]
        first.send_message(["connect", body])
        connected = first.read_message()[1]
        id_, message = first.new_call("shout", texts[0])
        first.send_message(message)
        offset = first.read_message()[2]
        first.expect_reply(id_)
        # It leaves what comes now to its successor.
        for text in texts[1:]:
            first.send_message(first.new_call("shout", text)[1])
        for _ in range(2 * len(texts) - 2):
            first.read_message()
        first.reset()
    resume = {"session": connected["session"], "epoch": connected["epoch"], "offset": offset}
    with RawClient(compressing_address, encoding) as second:
        second.upgrade(**offers[1])
        second.compression = kinds[1]
        second.send_message(["connect", {**body, "resume": resume}])
        answer = second.read_message()[1]
        assert (answer["replayed"], answer.get("gap")) == (len(texts) - 1, None)
        got = [second.read_frame() for _ in texts[1:]]
        assert [second.decode(frame.payload)[4] for frame in got] == [[text] for text in texts[1:]]
        assert [frame.compressed for frame in got] == [all(kinds) and len(text) > 100 for text in texts[1:]]


# Limits.


def test_the_limit_counts_what_a_message_becomes(client: RawClient) -> None:
    id_, payload, _ = client.new_echo(MAX_MESSAGE_BYTES)
    client.send(frame(client.data_opcode, deflate(payload), rsv=RSV1))
    assert len(client.expect_reply(id_)) > MAX_MESSAGE_BYTES - 50
    client.send(frame(client.data_opcode, deflate(client.new_echo(MAX_MESSAGE_BYTES + 1)[1]), rsv=RSV1))
    client.expect_close(1009)


@pytest.mark.parametrize("parts", [1, 20])
def test_a_bomb(client: RawClient, parts: int) -> None:
    bomb = deflate(bytes(60 << 20))
    assert len(bomb) <= MAX_MESSAGE_BYTES
    size = len(bomb) // parts + 1
    for number in range(parts):
        client.send(
            frame(
                CONTINUATION if number else client.data_opcode,
                bomb[number * size : (number + 1) * size],
                fin=number == parts - 1,
                rsv=0 if number else RSV1,
            )
        )
    client.expect_close(1009)


def test_more_compressed_bytes_than_a_message_may_have(client: RawClient) -> None:
    client.send(frame(client.data_opcode, os.urandom(40_000), fin=False, rsv=RSV1))
    client.send(frame(CONTINUATION, os.urandom(40_000)))
    client.expect_close(1009)


# Another implementation.


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_the_websockets_library(compressing_address: Address, encoding: str) -> None:
    host, port = compressing_address
    codec = RawClient(compressing_address, encoding)
    codec.sock.close()
    with connect(
        f"ws://{host}:{port}/connect", subprotocols=[Subprotocol(f"ringcast.v1.{encoding}")]
    ) as socket:
        assert [extension.name for extension in socket.protocol.extensions] == ["permessage-deflate"]

        def send(message: Any) -> None:
            payload = codec.encode(message)
            socket.send(payload, text=encoding == "json")

        def receive() -> Any:
            got = socket.recv(10)
            return json.loads(got) if isinstance(got, str) else codec.decode(got)

        send(["connect", {"actor": "echo", "key": [f"peer {encoding}"], "subscriptions": ["shouted"]}])
        assert receive()[0] == "connected"
        for number in range(1, 20):
            text = f"{number} {LONG}" * number
            send(["call", number, "shout", [text]])
            assert receive()[3:] == ["shouted", [text]]
            assert receive() == ["reply", number, None]
