"""RFC 6455, section 5.2 and 5.3: the bytes of a frame."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from raw_client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawClient, frame

MAX_MESSAGE_BYTES = 65_536


@dataclass(frozen=True)
class Broken:
    section: str
    name: str
    data: bytes
    code: int = 1002

    def __str__(self) -> str:
        return f"{self.section} {self.name}"


@pytest.mark.parametrize("total", [40, 124, 125, 126, 127, 128, 255, 258, 65534, 65535, 65536])
def test_message_of_every_length_form(client: RawClient, total: int) -> None:
    """Section 5.2."""
    id_, payload, text = client.new_echo(total)
    client.send(frame(client.data_opcode, payload))
    assert client.expect_reply(id_) == text


def test_message_over_the_limit(client: RawClient) -> None:
    """Section 7.4.1, code 1009."""
    client.send(frame(client.data_opcode, b"x" * (MAX_MESSAGE_BYTES + 1)))
    client.expect_close(1009)


@pytest.mark.parametrize("claimed", [MAX_MESSAGE_BYTES + 1, 2**31, 2**40, 2**63 - 1])
def test_claimed_length_over_the_limit_is_refused_before_it_comes(client: RawClient, claimed: int) -> None:
    """Section 10.4."""
    client.send(bytes([0x80 | client.data_opcode, 0xFF]) + claimed.to_bytes(8, "big"))
    client.expect_close(1009)


BROKEN = [
    Broken("5.2", "16-bit length of 0", frame(TEXT, length_bytes=2)),
    Broken("5.2", "16-bit length of 125", frame(TEXT, b"x" * 125, length_bytes=2)),
    Broken("5.2", "64-bit length of 125", frame(TEXT, b"x" * 125, length_bytes=8)),
    Broken("5.2", "64-bit length of 65535", frame(TEXT, b"x" * 65535, length_bytes=8)),
    Broken("5.2", "64-bit length with the highest bit", b"\x81\xff" + b"\xff" * 8),
    Broken("5.2", "64-bit length with only the highest bit", b"\x81\xff\x80" + b"\x00" * 7),
    *(Broken("5.2", f"reserved opcode {opcode:#x}", frame(opcode, b"x")) for opcode in range(0x3, 0x8)),
    *(Broken("5.2", f"reserved opcode {opcode:#x}", frame(opcode, b"x")) for opcode in range(0xB, 0x10)),
    *(
        Broken("5.2", f"{bit} on {kind}", frame(opcode, payload, rsv=rsv))
        for bit, rsv in (("RSV1", 4), ("RSV2", 2), ("RSV3", 1), ("all reserved bits", 7))
        for kind, opcode, payload in (
            ("text", TEXT, b'["call",1,"echo",[1]]'),
            ("binary", BINARY, b"x"),
            ("ping", PING, b"x"),
            ("pong", PONG, b"x"),
            ("close", CLOSE, b"\x03\xe8"),
        )
    ),
    Broken("5.1", "text not masked", frame(TEXT, b'["call",1,"echo",[1]]', mask=None)),
    Broken("5.1", "empty text not masked", frame(TEXT, mask=None)),
    Broken("5.1", "ping not masked", frame(PING, b"x", mask=None)),
    Broken("5.1", "close not masked", frame(CLOSE, b"\x03\xe8", mask=None)),
    Broken("5.5", "ping of 126 bytes", frame(PING, b"x" * 126)),
    Broken("5.5", "pong of 126 bytes", frame(PONG, b"x" * 126)),
    Broken("5.5", "close of 126 bytes", frame(CLOSE, b"\x03\xe8" + b"x" * 124)),
    Broken("5.5", "ping of 65536 bytes", frame(PING, b"x" * 65536)),
    Broken("5.5", "fragmented ping", frame(PING, b"x", fin=False)),
    Broken("5.5", "fragmented pong", frame(PONG, fin=False)),
    Broken("5.5", "fragmented close", frame(CLOSE, b"\x03\xe8", fin=False)),
    Broken(
        "5.4", "reserved bit on a continuation", frame(TEXT, b"[", fin=False) + frame(CONTINUATION, rsv=4)
    ),
]


@pytest.mark.parametrize("case", BROKEN, ids=str)
def test_broken_frame(json_client: RawClient, case: Broken) -> None:
    json_client.send(case.data)
    json_client.expect_close(case.code)


@pytest.mark.parametrize("case", BROKEN[:12], ids=str)
def test_broken_frame_right_behind_a_message(json_client: RawClient, case: Broken) -> None:
    """What was well formed is answered; nothing after the broken frame is."""
    id_, message = json_client.new_call("echo", "before")
    _, after = json_client.new_call("echo", "after")
    json_client.send(
        frame(TEXT, json_client.encode(message)) + case.data + frame(TEXT, json_client.encode(after))
    )
    assert json_client.expect_reply(id_) == "before"
    json_client.expect_close(case.code)


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"], ids=bytes.hex)
@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 63, 64, 65, 1000])
def test_masks(client: RawClient, mask: bytes, size: int) -> None:
    """Section 5.3."""
    text = "".join(chr(ord("a") + number % 26) for number in range(size))
    id_, message = client.new_call("echo", text)
    client.send(frame(client.data_opcode, client.encode(message), mask=mask))
    assert client.expect_reply(id_) == text


def test_frame_in_single_bytes(client: RawClient) -> None:
    """Section 5.2: TCP may cut a frame anywhere."""
    id_, payload, text = client.new_echo(200)
    client.send(*(bytes([byte]) for byte in frame(client.data_opcode, payload)))
    assert client.expect_reply(id_) == text


def test_many_frames_in_one_write(client: RawClient) -> None:
    calls = [client.new_call("echo", number) for number in range(200)]
    client.send(b"".join(frame(client.data_opcode, client.encode(message)) for _, message in calls))
    assert [client.expect_reply(id_) for id_, _ in calls] == list(range(200))


def test_many_frames_in_one_write_ending_in_half_a_frame(client: RawClient) -> None:
    calls = [client.new_call("echo", number) for number in range(50)]
    data = b"".join(frame(client.data_opcode, client.encode(message)) for _, message in calls)
    client.send(data[:-5])
    assert [client.expect_reply(id_) for id_, _ in calls[:-1]] == list(range(49))
    client.send(data[-5:])
    assert client.expect_reply(calls[-1][0]) == 49


def test_messages_far_larger_than_a_read(client: RawClient) -> None:
    calls = [client.new_call("echo", "y" * 50_000) for _ in range(20)]
    data = b"".join(frame(client.data_opcode, client.encode(message)) for _, message in calls)
    # Both sides have more to say than a socket holds: sending goes on while replies are read.
    with ThreadPoolExecutor(1) as sender:
        sending = sender.submit(client.send, data)
        for id_, _ in calls:
            assert client.expect_reply(id_) == "y" * 50_000
        sending.result()


def test_client_that_calls_and_does_not_read(client: RawClient) -> None:
    """It is held up until it reads, and loses nothing."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    calls = [client.new_call("echo", "z" * 60_000) for _ in range(200)]
    data = b"".join(frame(client.data_opcode, client.encode(message)) for _, message in calls)
    with ThreadPoolExecutor(1) as sender:
        sending = sender.submit(client.send, data)
        with pytest.raises(TimeoutError):
            sending.result(timeout=0.5)
        for id_, _ in calls:
            assert client.expect_reply(id_) == "z" * 60_000
        sending.result()


@pytest.mark.parametrize("cut", [1, 2, 4, 6, 20])
@pytest.mark.parametrize("ending", ["close", "reset"])
def test_client_that_leaves_inside_a_frame(json_client: RawClient, cut: int, ending: str) -> None:
    json_client.send(frame(TEXT, b"x" * 300)[:cut])
    if ending == "reset":
        json_client.reset()
    json_client.sock.close()
