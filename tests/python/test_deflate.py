"""permessage-deflate, without sockets: what is agreed on, and single messages."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest

from ringcast.errors import CloseCode
from ringcast.wire.deflate import (
    OFFER,
    BrokenMessage,
    MalformedExtensions,
    accept_answer,
    answer_offers,
    deflate,
    inflate,
)


def test_the_server_agrees_to_what_the_client_offers() -> None:
    answer = answer_offers([OFFER])
    assert answer is not None
    assert accept_answer([answer])


@pytest.mark.parametrize(
    ("lines", "agreed"),
    [
        ([], False),
        (["permessage-deflate; server_no_context_takeover"], True),
        (["permessage-deflate; client_no_context_takeover; server_no_context_takeover"], True),
        (["permessage-deflate; server_no_context_takeover; server_max_window_bits=10"], True),
    ],
)
def test_answers_that_a_client_takes(lines: list[str], agreed: bool) -> None:
    assert accept_answer(lines) is agreed


@pytest.mark.parametrize(
    "line",
    [
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover; client_max_window_bits=12",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; server_no_context_takeover; made_up",
        "permessage-deflate; server_no_context_takeover, permessage-deflate; server_no_context_takeover",
        "permessage-bzip2; server_no_context_takeover",
        "permessage-deflate;",
        "",
    ],
)
def test_answers_that_a_client_does_not_take(line: str) -> None:
    """RFC 7692, section 7.1: without `server_no_context_takeover` messages would refer to earlier ones."""
    with pytest.raises(MalformedExtensions):
        accept_answer([line])


@pytest.mark.parametrize(
    "payload",
    [
        "f248cdc9c90700",  # one block
        "f348cdc9c9070000",  # a last block
        "000500faff48656c6c6f00",  # a block that is not compressed
        "f24805000000ffffcac9c90700",  # two blocks
    ],
)
def test_the_examples_of_the_specification(payload: str) -> None:
    """RFC 7692, section 7.2.3."""
    assert inflate(bytes.fromhex(payload), 5) == b"Hello"


@pytest.mark.parametrize("length", [0, 1, 100, 1000, 70_000])
def test_what_was_compressed_is_there_again(length: int) -> None:
    message = b"what a text; " * (length // 13 + 1)
    compressed = deflate(message)
    assert compressed is None or (len(compressed) < len(message) and inflate(compressed, 100_000) == message)
    assert compressed is not None or len(message) < 100


def test_what_does_not_get_smaller_stays_as_it_is() -> None:
    assert deflate(b"") is None
    assert deflate(bytes(range(256))) is None


def test_a_bomb_takes_no_more_memory_than_a_message_may_have() -> None:
    bomb = zlib.compress(bytes(200 << 20), 9, -15)
    most = 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(BrokenMessage) as raised:
            inflate(bomb, most)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert raised.value.code is CloseCode.MESSAGE_TOO_BIG
    # The output, as it grows, and a copy of the rest of the input.
    assert peak < 3 * most + 2 * len(bomb)
