"""RFC 6455, section 8.1: text is UTF-8, however it is cut."""

from __future__ import annotations

import json

import pytest
from raw_client import BINARY, CLOSE, CONTINUATION, TEXT, RawClient, frame

GOOD = {
    "two bytes": "ñ",
    "three bytes": "日本",
    "four bytes": "😀",
    "the last code point": "\U0010ffff",
    "around the surrogates": "\ud7ff\ue000",
    "no characters": "\ufffe\uffff",
    "combining marks": "e\u0301",
    "Greek, as in section 8.1's examples": "κόσμε",
}

BAD = {
    "a byte that is never used": b"\xff",
    "another byte that is never used": b"\xc0",
    "a lone continuation": b"\x80",
    "an overlong slash": b"\xc0\xaf",
    "an overlong NUL": b"\xe0\x80\x80",
    "an overlong character of four bytes": b"\xf0\x80\x80\xaf",
    "a high surrogate": b"\xed\xa0\x80",
    "a low surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond the last code point": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "cut off after one byte": b"\xce",
    "cut off after three bytes": b"\xf0\x9f\x98",
    "Latin-1": b"gr\xf6\xdfe",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_valid_text(json_client: RawClient, text: str) -> None:
    assert json_client.call("echo", text) == text


@pytest.mark.parametrize("text", ["ñ", "日", "😀"])
def test_character_cut_at_every_byte(json_client: RawClient, text: str) -> None:
    for cut in range(1, len(text.encode())):
        id_, message = json_client.new_call("echo", text)
        payload = json_client.encode(message)
        at = payload.index(text.encode()) + cut
        json_client.send(frame(TEXT, payload[:at], fin=False), frame(CONTINUATION, payload[at:]))
        assert json_client.expect_reply(id_) == text


def test_every_byte_in_a_fragment_of_its_own(json_client: RawClient) -> None:
    text = "".join(GOOD.values())
    id_, message = json_client.new_call("echo", text)
    payload = json_client.encode(message)
    last = len(payload) - 1
    for at in range(len(payload)):
        json_client.send(frame(CONTINUATION if at else TEXT, payload[at : at + 1], fin=at == last))
    assert json_client.expect_reply(id_) == text


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_invalid_text(json_client: RawClient, data: bytes) -> None:
    json_client.send(frame(TEXT, b'["call",1,"echo",["' + data + b'"]]'))
    json_client.expect_close(1007)


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_invalid_text_in_fragments(json_client: RawClient, data: bytes) -> None:
    whole = b'["call",1,"echo",["' + data + b'"]]'
    json_client.send(frame(TEXT, whole[:20], fin=False), frame(CONTINUATION, whole[20:]))
    json_client.expect_close(1007)


def test_invalid_text_is_found_before_the_message_ends(json_client: RawClient) -> None:
    json_client.send(frame(TEXT, b'["call",1,"echo",["', fin=False), frame(CONTINUATION, b"\xff", fin=False))
    json_client.expect_close(1007)


def test_text_that_ends_inside_a_character(json_client: RawClient) -> None:
    json_client.send(frame(TEXT, b'["x', fin=False), frame(CONTINUATION, b"\xf0\x9f", fin=False))
    json_client.send(frame(CONTINUATION))
    json_client.expect_close(1007)


def test_invalid_text_before_the_connect_message(raw: RawClient) -> None:
    assert raw.upgrade().status == 101
    raw.send(frame(TEXT, b"\xff"))
    raw.expect_close(1007)


def test_binary_messages_are_not_text(address: tuple[str, int]) -> None:
    """On a MessagePack connection invalid UTF-8 is the fault of a request, not of a frame."""
    with RawClient(address, "msgpack") as client:
        client.connect()
        client.send(frame(BINARY, b"\x94\xa4call\x01\xa4echo\x91\xa1\xff"))
        assert client.read_message()[:2] == ["error", 1]
        client.next_id = 2
        assert client.call("echo", "still open") == "still open"


def test_invalid_text_in_a_close_reason(json_client: RawClient) -> None:
    """Section 7.1.6."""
    json_client.send(frame(CLOSE, b"\x03\xe8" + b"\xff\xfe"))
    json_client.expect_close(1007)


def test_events_and_replies_are_valid_text(address: tuple[str, int]) -> None:
    with RawClient(address) as client:
        client.connect("shouted", key="utf8")
        text = "".join(GOOD.values())
        client.send_message(["call", 1, "shout", [text]])
        event = client.read_frame()
        assert json.loads(event.payload.decode())[4] == [text]
