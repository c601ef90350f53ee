"""What is well formed as WebSocket and is still wrong: each has its error and its close code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from raw_client import BINARY, TEXT, RawClient, frame

GOLDEN = json.loads((Path(__file__).parents[1] / "wire" / "malformed.json").read_text())
MALFORMED, UNREADABLE = GOLDEN["client"], GOLDEN["unreadable"]


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: f"{case['encoding']}: {case['name']}")
def test_malformed_message(address: tuple[str, int], case: dict[str, Any]) -> None:
    with RawClient(address, case["encoding"]) as client:
        client.connect()
        payload = case["text"].encode() if "text" in case else bytes.fromhex(case["hex"])
        client.send(frame(client.data_opcode, payload))
        kind, id_, error = client.read_message()
        assert (kind, id_, error["code"]) == ("error", None, case["error_code"])
        client.expect_close(case["close_code"])


@pytest.mark.parametrize("case", UNREADABLE, ids=lambda case: f"{case['encoding']}: {case['name']}")
def test_request_with_text_that_is_no_unicode_leaves_the_connection_open(
    address: tuple[str, int], case: dict[str, Any]
) -> None:
    with RawClient(address, case["encoding"], next_id=case["id"] + 1) as client:
        client.connect("shouted", key=case["name"])
        payload = case["text"].encode() if "text" in case else bytes.fromhex(case["hex"])
        for _ in range(2):  # a request that is sent again has the same answer
            client.send(frame(client.data_opcode, payload))
            kind, id_, error = client.read_message()
            assert (kind, id_, error["code"]) == ("error", case["id"], case["error_code"])
        client.send_message(client.new_call("shout", "still open")[1])
        assert client.read_message()[3:] == ["shouted", ["still open"]]
        assert client.read_message()[0] == "reply"


@pytest.mark.parametrize("message", [["call", 1, "echo", [1]], ["subscribe", 1, "shouted"]], ids=str)
def test_first_message_is_no_connect_message(raw: RawClient, message: Any) -> None:
    assert raw.upgrade().status == 101
    raw.send_message(message)
    assert raw.read_message()[0] == "error"
    raw.expect_close(4002)


def test_second_connect_message(client: RawClient) -> None:
    client.send_message(["connect", {"actor": "echo", "key": ["x"]}])
    assert client.read_message()[0] == "error"
    client.expect_close(4001)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"actor": "nobody"}, "unknown_actor"),
        ({"actor": "echo", "lookup": "get", "key": ["never made"]}, "actor_not_found"),
        ({"actor": "echo", "lookup": "id", "actor_id": "0" * 24}, "actor_not_found"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_connect(raw: RawClient, body: dict[str, Any], code: str) -> None:
    assert raw.upgrade().status == 101
    raw.send_message(["connect", body])
    kind, id_, error = raw.read_message()
    assert (kind, id_, error["code"]) == ("error", None, code)
    raw.expect_close(4000)


def test_binary_frame_on_a_json_connection(json_client: RawClient) -> None:
    json_client.send(frame(BINARY, b'["call",1,"echo",[1]]'))
    json_client.expect_close(1003)


def test_text_frame_on_a_msgpack_connection(address: tuple[str, int]) -> None:
    with RawClient(address, "msgpack") as client:
        client.connect()
        client.send(frame(TEXT, b'["call",1,"echo",[1]]'))
        client.expect_close(1003)


@pytest.mark.parametrize(
    ("action", "args", "code"),
    [
        ("missing", [], "unknown_action"),
        ("on_start", [], "unknown_action"),
        ("__init__", [], "unknown_action"),
        ("echo", [], "validation_error"),
        ("echo", [1, 2], "validation_error"),
        ("shout", [5], "validation_error"),
    ],
)
def test_failed_call_leaves_the_connection_open(
    client: RawClient, action: str, args: list[Any], code: str
) -> None:
    id_, message = client.new_call(action, *args)
    client.send_message(message)
    kind, got, error = client.read_message()
    assert (kind, got, error["code"]) == ("error", id_, code)
    assert client.call("echo", "still open") == "still open"


def test_unsubscribing_from_what_was_never_subscribed(client: RawClient) -> None:
    client.send_message(["unsubscribe", 1, "shouted"])
    client.next_id = 2
    assert client.expect_reply(1) is None
    assert client.call("echo", 1) == 1
