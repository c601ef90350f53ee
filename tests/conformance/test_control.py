"""RFC 6455, sections 5.5.2 and 5.5.3: pings and pongs."""

from __future__ import annotations

import pytest
from raw_client import PING, PONG, RawClient, frame


@pytest.mark.parametrize("size", [0, 1, 2, 124, 125])
def test_ping_is_answered_with_its_payload(client: RawClient, size: int) -> None:
    payload = bytes(range(size))
    client.send(frame(PING, payload))
    got = client.read_frame()
    assert (got.opcode, got.payload) == (PONG, payload)


def test_ping_in_single_bytes(client: RawClient) -> None:
    client.send(*(bytes([byte]) for byte in frame(PING, b"hello")))
    got = client.read_frame()
    assert (got.opcode, got.payload) == (PONG, b"hello")


def test_ping_before_the_connect_message(raw: RawClient) -> None:
    assert raw.upgrade().status == 101
    raw.send(frame(PING, b"early"))
    got = raw.read_frame()
    assert (got.opcode, got.payload) == (PONG, b"early")


def test_many_pings_at_once(client: RawClient) -> None:
    """Section 5.5.3: only the last need be answered, but in order."""
    sent = [str(number).encode() for number in range(10)]
    client.send(b"".join(frame(PING, payload) for payload in sent))
    received: list[bytes] = []
    while not received or received[-1] != sent[-1]:
        got = client.read_frame()
        assert got.opcode == PONG
        received.append(got.payload)
    assert received == [payload for payload in sent if payload in received]
    assert client.call("echo", "after") == "after"


def test_unsolicited_pongs_are_ignored(client: RawClient) -> None:
    client.send(frame(PONG), frame(PONG, b"x" * 125), frame(PONG) + frame(PONG, b"y"))
    assert client.call("echo", 1) == 1


@pytest.mark.parametrize("behind", [PING, PONG])
def test_replies_do_not_wait_behind_a_control_frame(client: RawClient, behind: int) -> None:
    """The call is not the last frame of its read; its reply must come all the same."""
    id_, message = client.new_call("echo", "x")
    client.send(frame(client.data_opcode, client.encode(message)) + frame(behind, b"p"))
    got = [client.read_frame() for _ in range(2 if behind == PING else 1)]
    assert sorted(one.opcode for one in got) == sorted(
        [client.data_opcode, PONG] if behind == PING else [client.data_opcode]
    )
    assert any(one.payload == client.encode(["reply", id_, "x"]) for one in got)


def test_replies_do_not_wait_behind_half_a_message(client: RawClient) -> None:
    id_, message = client.new_call("echo", "x")
    client.send(
        frame(client.data_opcode, client.encode(message)) + frame(client.data_opcode, b"[", fin=False)
    )
    assert client.expect_reply(id_) == "x"


def test_flood_of_pings_leaves_the_connection_usable(client: RawClient) -> None:
    client.send(b"".join(frame(PING, b"x" * 100) for _ in range(2000)) + frame(PING, b"last"))
    while client.read_frame().payload != b"last":
        pass
    assert client.call("echo", 1) == 1
