"""RFC 6455, section 5.4: messages in several frames."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
from raw_client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawClient, frame


def fragments(client: RawClient, *parts: bytes) -> list[bytes]:
    """Return the frames of a message in `parts`."""
    last = len(parts) - 1
    return [
        frame(client.data_opcode if number == 0 else CONTINUATION, part, fin=number == last)
        for number, part in enumerate(parts)
    ]


@pytest.mark.parametrize("together", [True, False], ids=["in one write", "in many writes"])
@pytest.mark.parametrize("size", [1, 2, 7, 20, 1000])
def test_message_in_parts_of(client: RawClient, size: int, together: bool) -> None:
    id_, message = client.new_call("echo", "größe 😀 " * 5)
    payload = client.encode(message)
    frames = fragments(client, *(payload[at : at + size] for at in range(0, len(payload), size)))
    client.send(b"".join(frames)) if together else client.send(*frames)
    assert client.expect_reply(id_) == "größe 😀 " * 5


@pytest.mark.parametrize(
    "cuts", [(0,), (5,), (0, 0, 0), (3, 3, 3), (5, 30), (0, 30)], ids=lambda cuts: f"cut at {cuts}"
)
def test_empty_fragments(client: RawClient, cuts: tuple[int, ...]) -> None:
    id_, message = client.new_call("echo", "hello, fragments")
    payload = client.encode(message)
    edges = [0, *cuts, len(payload)]
    client.send(*fragments(client, *(payload[a:b] for a, b in pairwise(edges)), b""))
    assert client.expect_reply(id_) == "hello, fragments"


def test_pings_and_pongs_in_between(client: RawClient) -> None:
    id_, message = client.new_call("echo", "hello")
    payload = client.encode(message)
    first, second, third = fragments(client, payload[:4], payload[4:9], payload[9:])
    client.send(first, frame(PING, b"one"), second, frame(PONG, b"nobody asked"), frame(PING, b"two"), third)
    for expected in (b"one", b"two"):
        got = client.read_frame()
        assert (got.opcode, got.payload) == (PONG, expected)
    assert client.expect_reply(id_) == "hello"


def test_close_in_between(client: RawClient) -> None:
    _, message = client.new_call("count")
    client.send(fragments(client, client.encode(message), b"")[0], frame(CLOSE, b"\x03\xe8"))
    client.expect_close(1000)


def test_two_fragmented_messages_in_a_row(client: RawClient) -> None:
    calls = [client.new_call("echo", text) for text in ("first", "second")]
    for _, message in calls:
        payload = client.encode(message)
        client.send(*fragments(client, payload[:6], payload[6:]))
    assert [client.expect_reply(id_) for id_, _ in calls] == ["first", "second"]


@dataclass(frozen=True)
class Broken:
    name: str
    frames: tuple[bytes, ...]
    code: int

    def __str__(self) -> str:
        return f"5.4 {self.name}"


LIMIT = 65_536
HALF_A_TEXT = frame(TEXT, b"[", fin=False)

BROKEN = [
    Broken("continuation without a message", (frame(CONTINUATION, b"x"),), 1002),
    Broken("unfinished continuation without a message", (frame(CONTINUATION, b"x", fin=False),), 1002),
    Broken("empty continuation without a message", (frame(CONTINUATION),), 1002),
    Broken(
        "continuation after a whole message",
        (frame(TEXT, b'["', fin=False), frame(CONTINUATION, b'x"]'), frame(CONTINUATION, b"y")),
        4001,
    ),
    Broken("text inside a text", (HALF_A_TEXT, frame(TEXT, b"]")), 1002),
    Broken("unfinished text inside a text", (HALF_A_TEXT, frame(TEXT, b"]", fin=False)), 1002),
    Broken("binary inside a text", (HALF_A_TEXT, frame(BINARY, b"]")), 1002),
    Broken("binary fragment on a JSON connection", (frame(BINARY, b"[", fin=False),), 1003),
    Broken(
        "more than the limit in two parts",
        (frame(TEXT, b"x" * 40_000, fin=False), frame(CONTINUATION, b"x" * 30_000)),
        1009,
    ),
    Broken("the limit and one byte", (frame(TEXT, b"x" * LIMIT, fin=False), frame(CONTINUATION, b"x")), 1009),
    Broken("a fragment over the limit", (HALF_A_TEXT, frame(CONTINUATION, b"x" * (LIMIT + 1))), 1009),
]


@pytest.mark.parametrize("case", BROKEN, ids=str)
def test_broken_fragments(json_client: RawClient, case: Broken) -> None:
    json_client.send(*case.frames)
    got = json_client.read_frame()
    if case.code >= 4000:  # the first message was whole, and is answered with an error
        assert got.opcode == TEXT
        got = json_client.read_frame()
    assert got.opcode == CLOSE, got
    assert got.close_code == case.code
    json_client.expect_eof()


def test_message_of_exactly_the_limit(client: RawClient) -> None:
    id_, payload, text = client.new_echo(65_536)
    client.send(*fragments(client, payload[:30_000], payload[30_000:60_000], payload[60_000:]))
    assert client.expect_reply(id_) == text


def test_endless_message_of_small_parts_hits_the_limit(json_client: RawClient) -> None:
    json_client.send(frame(TEXT, b"[", fin=False))
    json_client.send(b"".join(frame(CONTINUATION, b"x" * 100, fin=False) for _ in range(700)))
    json_client.expect_close(1009)


def test_unfinished_message_harms_nobody_when_its_client_leaves(json_client: RawClient) -> None:
    json_client.send(frame(TEXT, b"[" * 1000, fin=False))
    json_client.reset()
