"""RFC 6455, sections 5.5.1 and 7: close frames, close codes, and the end of the socket."""

from __future__ import annotations

import socket

import pytest
from echo_server import CLOSE_TIMEOUT_S
from raw_client import CLOSE, PING, RawClient, frame


def close_payload(code: int, reason: str = "") -> bytes:
    return code.to_bytes(2, "big") + reason.encode()


@pytest.mark.parametrize(
    "code",
    [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4500, 4999],
)
def test_valid_code_is_echoed(json_client: RawClient, code: int) -> None:
    """Section 7.4."""
    json_client.send(frame(CLOSE, close_payload(code)))
    json_client.expect_close(code)


@pytest.mark.parametrize(
    "code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 9999, 65535]
)
def test_invalid_code_is_a_protocol_error(json_client: RawClient, code: int) -> None:
    """Section 7.4."""
    json_client.send(frame(CLOSE, close_payload(code)))
    json_client.expect_close(1002)


def test_empty_close_is_answered_with_an_empty_one(client: RawClient) -> None:
    """Section 5.5.1."""
    client.send(frame(CLOSE))
    client.expect_close(None)


def test_close_payload_of_one_byte(client: RawClient) -> None:
    """Section 5.5.1."""
    client.send(frame(CLOSE, b"\x03"))
    client.expect_close(1002)


@pytest.mark.parametrize("reason", ["bye", "größe 😀", "r" * 123])
def test_reason_is_accepted(client: RawClient, reason: str) -> None:
    client.send(frame(CLOSE, close_payload(1000, reason)))
    client.expect_close(1000)


def test_close_before_the_connect_message(raw: RawClient) -> None:
    assert raw.upgrade().status == 101
    raw.send(frame(CLOSE, close_payload(1000)))
    raw.expect_close(1000)


def test_close_in_single_bytes(client: RawClient) -> None:
    client.send(*(bytes([byte]) for byte in frame(CLOSE, close_payload(1000))))
    client.expect_close(1000)


def test_two_closes_in_one_write(client: RawClient) -> None:
    client.send(frame(CLOSE, close_payload(4001)) + frame(CLOSE, close_payload(1000)))
    client.expect_close(4001)


def test_call_right_before_a_close_is_answered(client: RawClient) -> None:
    """Section 7.1.2: the close frame is the last one."""
    id_, message = client.new_call("echo", "last words")
    client.send(frame(client.data_opcode, client.encode(message)) + frame(CLOSE, close_payload(1000)))
    assert client.expect_reply(id_) == "last words"
    client.expect_close(1000)


@pytest.mark.parametrize("together", [True, False], ids=["in one write", "in many writes"])
def test_nothing_after_a_close_is_handled(
    address: tuple[str, int], client: RawClient, together: bool
) -> None:
    """Section 5.5.1."""
    before = client.call("count")
    _, message = client.new_call("count")
    chunks = [
        frame(CLOSE, close_payload(1000)),
        frame(client.data_opcode, client.encode(message)),
        frame(PING, b"x"),
        frame(0x3, b"garbage"),
    ]
    client.send(b"".join(chunks)) if together else client.send(*chunks)
    client.expect_close(1000)
    with RawClient(address) as other:
        assert other.connect().call("count") == before + 1


@pytest.mark.parametrize("behind", [b"\xff" * 10_000, frame(0x1, b"{}") * 1000], ids=["bytes", "messages"])
def test_nothing_after_a_violation_is_handled(json_client: RawClient, behind: bytes) -> None:
    """Section 7.1.7: one close frame, then the end, whatever else the client sends."""
    json_client.send(frame(0x1, b"\xff") + behind)
    json_client.expect_close(1007)


def test_client_that_stops_sending_right_after_its_close(client: RawClient) -> None:
    """A half-closed socket still takes the answer."""
    client.send(frame(CLOSE, close_payload(1000)))
    client.sock.shutdown(socket.SHUT_WR)
    client.expect_close(1000)


def test_client_that_only_stops_sending(client: RawClient) -> None:
    """Section 7.1.5, code 1006: no close frame came, the connection is over."""
    client.sock.shutdown(socket.SHUT_WR)
    client.expect_eof()


def test_server_closes_the_socket_when_the_client_does_not(client: RawClient) -> None:
    """Section 7.1.1: the server does not wait for ever for a client to close."""
    client.send(frame(CLOSE, close_payload(1000)))
    client.expect_close(1000)
    client.expect_gone(CLOSE_TIMEOUT_S * 5)


def test_server_closes_the_socket_when_its_close_is_not_answered(json_client: RawClient) -> None:
    json_client.send(frame(0x1, b"\xff"))
    json_client.expect_close(1007)
    json_client.expect_gone(CLOSE_TIMEOUT_S * 5)


def test_answer_to_the_servers_close_is_taken(json_client: RawClient) -> None:
    """Section 7.1.2: after both close frames the server is the first to close."""
    json_client.send_message(["nonsense"])
    assert json_client.read_message()[0] == "error"
    got = json_client.expect_close(4001)
    json_client.send(frame(CLOSE, got.payload))


@pytest.mark.parametrize("when", ["idle", "after a call", "after a close"])
def test_reset(client: RawClient, when: str) -> None:
    if when == "after a call":
        client.send_message(client.new_call("shout", "into the void")[1])
    elif when == "after a close":
        client.send(frame(CLOSE, close_payload(1000)))
    client.reset()


def test_session_ends_with_code_1000_and_waits_with_another(address: tuple[str, int]) -> None:
    """`docs/protocol.md`: only 1000 says that the client is done."""
    for code, gap in ((1001, None), (1000, {"reason": "session_expired"})):
        with RawClient(address) as client:
            assert client.upgrade().status == 101
            client.send_message(["connect", {"actor": "echo", "key": ["ends"]}])
            body = client.read_message()[1]
            client.send(frame(CLOSE, close_payload(code)))
            client.expect_close(code)
        with RawClient(address) as client:
            assert client.upgrade().status == 101
            resume = {name: body[name] for name in ("session", "epoch", "offset")}
            client.send_message(["connect", {"actor": "echo", "key": ["ends"], "resume": resume}])
            assert client.read_message()[1].get("gap") == gap
