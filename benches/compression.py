"""What compressing events saves, and what it costs: `python benches/compression.py`.

For typical events in JSON it tells the bytes that one connection gets for each event, and the processor time
that publishing takes on the thread that publishes, with a connection that takes compressed frames and with
one that does not; and what a Python client spends on decompressing. An event is compressed once, so what is
saved grows with the number of connections, and what is spent does not. Both kinds take turns in one run;
figures are medians.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import statistics
import sys
import threading
import time
import zlib
from dataclasses import asdict, dataclass

from ringcast import _core
from ringcast.wire.deflate import inflate

SIZES = (128, 300, 1024, 16_384)
WORDS = [
    "price",
    "market",
    "room",
    "player",
    "moved",
    "update",
    "order",
    "filled",
]
END = b"\x00\x00\xff\xff"
ROUND_BYTES = 1 << 20


@dataclass(frozen=True)
class Result:
    """Figures of one size of event."""

    args_bytes: int
    plain_bytes: int
    compressed_bytes: int
    saved_percent: float
    publish_plain_us: float
    publish_compressed_us: float
    inflate_us: float
    saved_bytes_per_extra_us: float
    """With 1,000 connections; 0 where nothing is spent."""


def arguments(length: int, chance: random.Random) -> bytes:
    """Return the encoded arguments of an event with so many bytes: a list of articles."""

    def text() -> str:
        return " ".join(chance.choices(WORDS, k=6))

    def encoded() -> bytes:
        return json.dumps([articles], separators=(",", ":")).encode()

    articles: list[dict[str, str | int]] = []
    while length - len(encoded()) > 110:
        number = chance.getrandbits(32)
        articles.append({"id": f"{number:08x}", "score": number % 10_000, "content": text()})
    last = articles[-1]
    content = f"{last['content']} {text()} {text()} {text()} {text()}"
    last["content"] = content
    last["content"] = content[: len(content) - (len(encoded()) - length)]
    return encoded()


class Receiver:
    """One connection, and a thread that reads all it gets."""

    def __init__(self, core: _core.Core, compressed: bool) -> None:
        self.stream = core.open_stream("bench", max_events=1 << 20, max_bytes=64 << 20)
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._sink = core.open_sink(self._near.fileno(), 0, compressed)
        self.received = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.stream.attach(self.stream.open(0, ["news"]), self._sink, 0, b'["connected",{}]')

    def _read(self) -> None:
        buffer = bytearray(1 << 20)
        while count := self._far.recv_into(buffer):
            self.received += count

    def publish(self, events: list[bytes]) -> tuple[float, float]:
        """Publish them; return the bytes and the processor time in microseconds that each took."""
        before = self._settled()
        started = time.thread_time_ns()
        for event in events:
            self.stream.publish("news", event, None)
        spent_us = (time.thread_time_ns() - started) / 1000
        return (self._settled() - before) / len(events), spent_us / len(events)

    def _settled(self) -> int:
        deadline = time.monotonic() + 30
        seen = -1
        while self.stream.swept < self.stream.head or seen != self.received:
            if time.monotonic() > deadline:
                sys.exit("the receiver does not get everything")
            seen = self.received
            time.sleep(0.02)
        return self.received

    def close(self) -> None:
        self._sink.close(1000)
        self._thread.join(10)
        self._near.close()
        self._far.close()


def inflate_us(events: list[bytes]) -> float:
    """Return what decompressing one costs a Python client, in microseconds."""
    packed = []
    for event in events:
        deflater = zlib.compressobj(2, zlib.DEFLATED, -12)
        packed.append((deflater.compress(event) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(END))
    started = time.thread_time_ns()
    for payload in packed:
        inflate(payload, 1 << 20)
    return (time.thread_time_ns() - started) / 1000 / len(events)


def measure(length: int, runs: int) -> Result:
    """Compare both kinds of connection for events of one size."""
    chance = random.Random(length)
    events = [arguments(length, chance) for _ in range(max(ROUND_BYTES // length // 4, 50))]
    core = _core.Core()
    plain, packed = Receiver(core, False), Receiver(core, True)
    rounds = [(plain.publish(events), packed.publish(events), inflate_us(events)) for _ in range(runs + 1)][
        1:
    ]
    for receiver in (plain, packed):
        receiver.close()
    core.close()
    plain_bytes, packed_bytes = rounds[0][0][0], rounds[0][1][0]
    plain_us = statistics.median(plain[1] for plain, _, _ in rounds)
    packed_us = statistics.median(packed[1] for _, packed, _ in rounds)
    saved, extra_us = plain_bytes - packed_bytes, packed_us - plain_us
    return Result(
        args_bytes=length,
        plain_bytes=round(plain_bytes),
        compressed_bytes=round(packed_bytes),
        saved_percent=round(100 * saved / plain_bytes, 1),
        publish_plain_us=round(plain_us, 2),
        publish_compressed_us=round(packed_us, 2),
        inflate_us=0.0 if saved < 1 else round(statistics.median(us for _, _, us in rounds), 2),
        saved_bytes_per_extra_us=0.0 if saved < 1 else round(1000 * saved / max(extra_us, 0.01)),
    )


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description="What compressing events saves, and what it costs.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--runs", type=int, default=5, help="how often each figure is taken (default 5)")
    options = parser.parse_args()
    if _core.BUILD_PROFILE != "release":
        sys.exit("a debug build says nothing about speed")
    results = [measure(length, options.runs) for length in SIZES]
    if options.json:
        print(
            json.dumps({"build_profile": _core.BUILD_PROFILE, "results": [asdict(each) for each in results]})
        )
        return
    print("| arguments | frame | compressed | saved | publish | publish, compressed | decompress in Python |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for each in results:
        print(
            f"| {each.args_bytes} B | {each.plain_bytes} B | {each.compressed_bytes} B"
            f" | {each.saved_percent:.0f} % | {each.publish_plain_us:.1f} µs"
            f" | {each.publish_compressed_us:.1f} µs | {each.inflate_us:.1f} µs |"
        )


if __name__ == "__main__":
    main()
