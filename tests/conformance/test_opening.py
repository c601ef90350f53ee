"""RFC 6455, section 4: the opening handshake, and what of HTTP surrounds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from echo_server import CONNECT_TIMEOUT_S
from raw_client import ACCEPT, BINARY, KEY, TEXT, RawClient, frame

JSON = "ringcast.v1.json"
MSGPACK = "ringcast.v1.msgpack"


@dataclass(frozen=True)
class Opening:
    section: str
    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    status: int = 101
    subprotocol: str | None = JSON

    def __str__(self) -> str:
        return f"{self.section} {self.name}"


ACCEPTED = [
    Opening("4.1", "a plain request"),
    Opening("4.1", "a query is no part of the path", {"path": "/connect?token=x"}),
    Opening("4.1", "an absolute target", {"path": "http://example.org/connect"}),
    Opening("4.2.1", "Upgrade in another case", {"upgrade": "WebSocket"}),
    Opening("4.2.1", "Connection in another case", {"connection": "UPGRADE"}),
    Opening("4.2.1", "Connection with several tokens", {"connection": "keep-alive, Upgrade"}),
    Opening("4.2.1", "Connection twice", {"connection": ["keep-alive", "Upgrade"]}),
    Opening("4.2.1", "headers that mean nothing here", {"cookie": "c" * 4000, "referer": "http://a.example"}),
    Opening("4.2.2", "the other subprotocol", {"sec_websocket_protocol": MSGPACK}, subprotocol=MSGPACK),
    Opening("4.2.2", "both, JSON preferred", {"sec_websocket_protocol": f"{JSON}, {MSGPACK}"}),
    Opening(
        "4.2.2",
        "both, MessagePack preferred",
        {"sec_websocket_protocol": f"{MSGPACK},{JSON}"},
        subprotocol=MSGPACK,
    ),
    Opening("4.2.2", "one known among unknown ones", {"sec_websocket_protocol": f"chat,, soap , {JSON}"}),
    Opening("11.3.4", "the subprotocol header twice", {"sec_websocket_protocol": ["chat", JSON]}),
    Opening("9.1", "an extension is offered", {"sec_websocket_extensions": "permessage-deflate"}),
]

REFUSED = [
    Opening("4.2.1", "another path", {"path": "/other"}, 404),
    Opening("4.2.1", "a longer path", {"path": "/connect/more"}, 404),
    Opening("4.2.1", "no path at all", {"path": "/"}, 404),
    Opening("4.2.1", "not GET", {"method": "POST"}, 400),
    Opening("4.2.1", "HTTP/1.0", {"version": "1.0"}, 400),
    Opening("4.2.1", "Host missing", {"host": None}, 400),
    Opening("4.2.1", "Upgrade missing", {"upgrade": None}, 426),
    Opening("4.2.1", "Upgrade to something else", {"upgrade": "h2c"}, 426),
    Opening("4.2.1", "Connection missing", {"connection": None}, 426),
    Opening("4.2.1", "Connection without the token", {"connection": "keep-alive"}, 426),
    Opening("4.2.1", "key missing", {"sec_websocket_key": None}, 400),
    Opening("4.2.1", "key empty", {"sec_websocket_key": ""}, 400),
    Opening("4.2.1", "key not base64", {"sec_websocket_key": "!" * 24}, 400),
    Opening("4.2.1", "key too short", {"sec_websocket_key": "MDEyMzQ1Njc4OQ=="}, 400),
    Opening("4.2.1", "key too long", {"sec_websocket_key": KEY[:-2] + "AAAA"}, 400),
    Opening("11.3.1", "key twice", {"sec_websocket_key": [KEY, KEY]}, 400),
    Opening("4.2.1", "version missing", {"sec_websocket_version": None}, 426),
    Opening("4.4", "version 12", {"sec_websocket_version": "12"}, 426),
    Opening("4.4", "version 8, of a draft", {"sec_websocket_version": "8"}, 426),
    Opening("4.4", "version no number", {"sec_websocket_version": "thirteen"}, 426),
    Opening("4.2.2", "no subprotocol", {"sec_websocket_protocol": None}, 400),
    Opening("4.2.2", "no known subprotocol", {"sec_websocket_protocol": "chat, ringcast.v2.json"}, 400),
    Opening("4.2.2", "the subprotocol in another case", {"sec_websocket_protocol": "RINGCAST.V1.JSON"}, 400),
]


@pytest.mark.parametrize("case", ACCEPTED, ids=str)
def test_upgrade_is_accepted(raw: RawClient, case: Opening) -> None:
    response = raw.upgrade(**case.changes)
    assert response.status == 101, response
    assert response.headers["sec-websocket-accept"] == ACCEPT
    assert response.headers["upgrade"].lower() == "websocket"
    assert response.headers["connection"].lower() == "upgrade"
    assert response.headers["sec-websocket-protocol"] == case.subprotocol
    assert "sec-websocket-extensions" not in response.headers
    raw.encoding = "json" if case.subprotocol == JSON else "msgpack"
    raw.send_message(["connect", {"actor": "echo", "key": ["opening"]}])
    assert raw.read_message()[0] == "connected"
    assert raw.call("echo", "hello") == "hello"


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_upgrade_is_refused(raw: RawClient, case: Opening) -> None:
    response = raw.upgrade(**case.changes)
    assert response.status == case.status, response
    assert response.body, "a refusal says why"


def test_refused_version_names_the_right_one(raw: RawClient) -> None:
    """Section 4.4."""
    assert raw.upgrade(sec_websocket_version="25").headers["sec-websocket-version"] == "13"


def test_refused_subprotocol_names_the_right_ones(raw: RawClient) -> None:
    body = raw.upgrade(sec_websocket_protocol="chat").body.decode()
    assert JSON in body and MSGPACK in body


def test_request_in_single_bytes(raw: RawClient) -> None:
    """Section 4.1: TCP may cut a request anywhere."""
    raw.send(*(bytes([byte]) for byte in raw.request_bytes()))
    assert raw.read_response().status == 101


def test_client_that_talks_too_early_hurts_only_itself(raw: RawClient) -> None:
    """Section 4.1: a client must wait for the answer to its handshake."""
    raw.send(raw.request_bytes() + frame(TEXT, b'["call",1,"echo",[1]]') + b"\x81")
    assert raw.read_response().status == 101
    raw.send(b"\x83\x00")
    assert raw.read_frame().close_code in {1002, 4002}


def test_upgrade_behind_an_unanswered_request(raw: RawClient) -> None:
    """What answers the first request would be written in the middle of frames."""
    health = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    raw.send(health + raw.request_bytes())
    assert raw.read_response().status == 400
    raw.expect_eof()


def test_upgrade_after_an_answered_request(raw: RawClient) -> None:
    raw.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
    assert raw.read_response().status == 200
    raw.connect()
    assert raw.call("echo", 1) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"\x00" * 100,
        b"GET /connect HTTP/9.9\r\nhost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /connect HTTP/1.1\r\nhost x\r\n\r\n",
    ],
    ids=["TLS", "no target", "zeros", "version", "HTTP/2", "header without colon"],
)
def test_what_is_no_http_is_refused(raw: RawClient, data: bytes) -> None:
    raw.send(data)
    assert raw.read_response().status == 400
    raw.expect_eof()


def test_endless_head_is_refused(raw: RawClient) -> None:
    raw.send(b"GET /connect HTTP/1.1\r\nx: ")
    with pytest.raises(OSError, match=r"Broken pipe|reset by peer"):
        for _ in range(10_000):  # more than the system buffers
            raw.send(b"y" * 4096)


def test_slow_head_is_given_up(raw: RawClient) -> None:
    raw.send(b"GET /connect HTTP/1.1\r\n")
    raw.sock.settimeout(CONNECT_TIMEOUT_S * 3)
    raw.expect_eof()


def test_silent_socket_is_given_up(raw: RawClient) -> None:
    raw.sock.settimeout(CONNECT_TIMEOUT_S * 3)
    raw.expect_eof()


@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize("at", [1, 20, 60])
def test_client_that_leaves_during_the_handshake(raw: RawClient, at: int, ending: str) -> None:
    raw.send(raw.request_bytes()[:at])
    if ending == "reset":
        raw.reset()
    raw.sock.close()


def test_no_connect_message_in_time(raw: RawClient) -> None:
    assert raw.upgrade().status == 101
    raw.sock.settimeout(CONNECT_TIMEOUT_S * 3)
    raw.expect_close(4501)


def test_half_a_connect_message_in_time(raw: RawClient) -> None:
    assert raw.upgrade().status == 101
    raw.send(frame(BINARY, b"x" * 100)[:50])
    raw.sock.settimeout(CONNECT_TIMEOUT_S * 3)
    raw.expect_close(4501)
