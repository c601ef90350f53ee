"""Requests, frames and messages that are larger than they may be, or become so: refused before they cost.

Each attack comes twice; what the server holds is compared between the ends of both. Meanwhile others get
every event.
"""

from __future__ import annotations

import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from conformance.raw_client import CLOSE, CONTINUATION, PING, deflate, frame

from .attackers import Attacker, Attackers
from .conftest import Siege

MAX_MESSAGE_BYTES: Final = 65_536
MOST_AT_ONCE_BYTES: Final = 24 << 20
"""By how much a server's memory may grow while a bomb of gigabytes comes, over what it had before."""
RSV1: Final = 4
LINE: Final = b"GET /connect HTTP/1.1\r\nhost: a\r\n"
LARGE_HEADS: Final = {
    "request line": b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
    "query": b"GET /connect?" + b"a" * 1_000_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
    "method": b"A" * 1_000_000,
    "header": LINE + b"x: " + b"y" * 1_000_000 + b"\r\n\r\n",
    "header name": LINE + b"x" * 1_000_000 + b": y\r\n\r\n",
    "header count": LINE + b"".join(b"x%d: y\r\n" % n for n in range(50_000)) + b"\r\n",
    "empty headers": LINE + b"a:\r\n" * 100_000 + b"\r\n",
    "folded header": LINE + b"x: y" + b"\r\n y" * 100_000 + b"\r\n\r\n",
    "cookies": LINE + b"cookie: a=b\r\n" * 50_000 + b"\r\n",
    "extensions": LINE + b"sec-websocket-extensions: permessage-deflate\r\n" * 10_000 + b"\r\n",
    "content length": LINE + b"content-length: " + b"9" * 100_000 + b"\r\n\r\n",
    "chunk size": LINE + b"transfer-encoding: chunked\r\n\r\n" + b"f" * 100_000,
    "trailers": LINE + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 100_000,
}


async def test_giant_heads(hasty_siege: Siege) -> None:
    def attack(attackers: Attackers) -> None:
        for name, head in LARGE_HEADS.items():
            large = attackers.open()
            large.send_until_refused(head)
            answer = large.refusal()
            assert answer is None or 400 <= answer.status < 500, (name, answer)

    await hasty_siege.withstand(attack)


async def test_bodies_that_go_on_for_ever(hasty_siege: Siege) -> None:
    head = b"POST /actors/room/actions/echo HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    bodies = (
        (b"content-length: 9000000000000\r\n\r\n", b"x" * 65_536),
        (b"transfer-encoding: chunked\r\n\r\n", chunk),
    )

    def attack(attackers: Attackers) -> None:
        sending = [(attackers.open(), part) for _, part in bodies]
        for (large, _), (kind, _) in zip(sending, bodies, strict=True):
            large.send(head + kind)
        with ThreadPoolExecutor() as senders:
            assert [*senders.map(_refused_while_sending, *zip(*sending, strict=True))] == [413, 413]

    hit = await hasty_siege.withstand(attack)
    assert hit["max_message_bytes"] == 2
    assert hit["connect_timeout_s"] == 2


def _refused_while_sending(large: Attacker, part: bytes) -> int:
    """Send until the server hangs up; return the status of its answer, which comes before that."""
    large.send(part, part)
    status = large.read_response().status
    while True:
        try:
            large.send(part)
        except (ConnectionResetError, BrokenPipeError):
            return status


async def test_compressed_bombs(siege: Siege) -> None:
    bomb = deflate(bytes(64 << 20))
    assert len(bomb) <= MAX_MESSAGE_BYTES
    # A part that can be repeated: nothing in it refers to what was before.
    deflater = zlib.compressobj(wbits=-15)
    gigabytes = (deflater.compress(bytes(16 << 20)) + deflater.flush(zlib.Z_FULL_FLUSH)) * 128

    def attack(attackers: Attackers) -> None:
        for encoding in ("json", "msgpack"):
            for _ in range(10):
                each = attackers.connected(encoding=encoding, sec_websocket_extensions="permessage-deflate")
                assert each.compression
                each.send(frame(each.data_opcode, bomb, rsv=RSV1))
                each.expect_close(1009)
            each = attackers.connected(encoding=encoding, sec_websocket_extensions="permessage-deflate")
            each.send(frame(each.data_opcode, b"", fin=False, rsv=RSV1))
            for start in range(0, len(gigabytes), 1000):
                each.send_until_refused(frame(CONTINUATION, gigabytes[start : start + 1000], fin=False))
            assert frame_code(each.rest()) in (1009, None)

    await siege.during(attack)
    before = await siege.vitals.measure()
    await siege.vitals.forget_peak()
    await siege.withstand(attack)
    after = await siege.vitals.measure()
    if sys.platform == "linux":
        assert after.peak - before.resident < MOST_AT_ONCE_BYTES


def frame_code(data: bytes) -> int | None:
    """Return the code of a close frame; None if it was lost on the way."""
    return int.from_bytes(data[2:4], "big") if data else None


async def test_fragments_without_an_end(siege: Siege) -> None:
    def attack(attackers: Attackers) -> None:
        for encoding in ("json", "msgpack"):
            for size in (0, 1, 1000):
                each = attackers.connected(encoding=encoding)
                each.send(frame(each.data_opcode, b"x", fin=False))
                part = frame(CONTINUATION, b"x" * size, fin=False) + frame(PING)
                each.send_until_refused(part * 3000)
                if size == 1000:
                    each.until_hung_up()
                else:
                    # They may go on as long as they like: it costs nothing.
                    each.send(frame(PING, b"still here?"))
                    each.until_answered(b"still here?")
            for _ in range(20):
                each = attackers.connected(encoding=encoding)
                each.send(frame(each.data_opcode, b"x" * MAX_MESSAGE_BYTES, fin=False))

    hit = await siege.withstand(attack)
    assert hit["max_message_bytes"] == 2


def nested(depth: int, encoding: str) -> list[bytes]:
    """Return what nests so deep, as arrays and as objects."""
    if encoding == "json":
        return [b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth, b"[" * depth]
    return [b"\x91" * depth + b"\xc0", b"\x81\xa1a" * depth + b"\xc0", b"\x91" * depth]


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_deep_nesting(siege: Siege, encoding: str) -> None:
    # How a message begins that has a value of the client's own in it, and how it ends.
    around: dict[str, Any] = {
        "json": [
            (b"", b""),
            (b'["call",1,"take",[', b"]]"),
            (b'["subscribe",1,["placed",', b"]]"),
            (b'["connect",{"actor":"room","params":', b"}]"),
        ],
        "msgpack": [
            (b"", b""),
            (b"\x94\xa4call\x01\xa4take\x91", b""),
            (b"\x93\xa9subscribe\x01\x92\xa6placed", b""),
            (b"\x92\xa7connect\x82\xa5actor\xa4room\xa6params", b""),
        ],
    }

    def attack(attackers: Attackers) -> None:
        for before, after in around[encoding]:
            for depth in (200, 1000, 1100, 10_000):
                for value in nested(depth, encoding):
                    is_connect = b"connect" in before
                    each = attackers.open(encoding) if is_connect else attackers.connected(encoding=encoding)
                    if is_connect:
                        each.upgrade()
                    each.send(frame(each.data_opcode, before + value + after))
                    each.send(frame(CLOSE, (1000).to_bytes(2, "big")))
                    # Answered or refused, for what it is, and never for a fault of the server's.
                    assert each.until_closed() in (1000, 4000, 4001)
        if encoding == "json":
            for value in nested(20_000, encoding):
                body = b'{"key":["a"],"args":[' + value + b"]}"
                for path in (b"actions/take", b"resolve", b"events"):
                    each = attackers.open()
                    each.send(
                        b"POST /actors/room/" + path + b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
                        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
                    )
                    assert each.read_response().status in (200, 400, 413, 422)

    await siege.withstand(attack)
