"""Clients that come and go by the thousand, with sessions and subscriptions, on bare sockets.

A batch of them is at the same step at a time, so that the server and not this is what takes the time.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from conformance.raw_client import CLOSE, RawClient, frame

__all__ = ["BATCH", "come_and_go", "come_and_go_for_events"]

BATCH: Final = 200
TIMEOUT_S: Final = 60.0
_RESET: Final = struct.pack("ii", 1, 0)
_SUBPROTOCOLS: Final = ("json", "msgpack")
_GOODBYE: Final = frame(CLOSE, (1000).to_bytes(2, "big"))


class Guest(RawClient):
    """One socket; numbered, so that no two do quite the same."""

    number = 0

    def __post_init__(self) -> None:
        self.sock = socket.socket()
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self.address)
        # It leaves with a reset, so that no port stays behind.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    @property
    def body(self) -> dict[str, Any]:
        """What it connects with: names that many listen for, and one that few do."""
        return {
            "actor": "hall",
            "key": [f"floor {self.number % 7}"],
            "subscriptions": ["said", f"said to {self.number % 1000}"],
            "params": {"number": self.number},
        }

    def connected(self) -> dict[str, Any]:
        kind, answer = self.read_message()
        assert kind == "connected", (kind, answer)
        return answer  # type: ignore[no-any-return]


def _arrive(address: tuple[str, int], numbers: list[int], resume: list[Any]) -> list[tuple[Guest, Any]]:
    """Connect so many, some of which go on with a session."""
    guests = []
    for number in numbers:
        guest = Guest(address, _SUBPROTOCOLS[number % 2])
        guest.number = number
        guests.append(guest)
        guest.send(guest.request_bytes())
    for guest in guests:
        assert guest.read_response().status == 101
    for guest, session in zip(guests, resume, strict=True):
        body = guest.body if session is None else {**guest.body, "resume": session}
        guest.send_message(["connect", body])
    return [(guest, guest.connected()) for guest in guests]


def come_and_go(address: tuple[str, int], count: int) -> int:
    """Have `count` clients connect over WebSockets and leave; return how many of them went on with a session.

    A third says goodbye, a third is lost, and a third is lost and comes back before it says goodbye.
    """
    resumed = 0
    for numbers in _batches(count):
        here = _arrive(address, numbers, [None] * len(numbers))
        coming_back = []
        for guest, answer in here:
            if guest.number % 3 == 0:
                guest.send(_GOODBYE)
            elif guest.number % 3 == 1:
                coming_back.append((guest.number, answer))
        for guest, _ in here:
            if guest.number % 3 == 0:
                assert guest.read_frame().close_code == 1000
            guest.sock.close()
        sessions = [{name: each[name] for name in ("session", "epoch", "offset")} for _, each in coming_back]
        back = _arrive(address, [number for number, _ in coming_back], sessions)
        for (guest, answer), (_, first) in zip(back, coming_back, strict=True):
            assert answer["session"] == first["session"], answer
            resumed += 1
            guest.send(_GOODBYE)
        for guest, _ in back:
            assert guest.read_frame().close_code == 1000
            guest.sock.close()
    return resumed


def come_and_go_for_events(address: tuple[str, int], count: int, first: int = 0) -> None:
    """Have `count` clients open streams of server-sent events and leave: their sessions end by themselves.

    They are numbered from `first` on, and named by that.
    """
    for numbers in _batches(count, first):
        guests = []
        for number in numbers:
            guest = Guest(address)
            guests.append(guest)
            path = f"/actors/hall/events?key=floor&subscribe=said&subscribe=said%20to%20{number % 1000}"
            guest.send(f"GET {path}&session_name=n{number} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        for guest in guests:
            assert guest.read_response().status == 200
        for guest in guests:
            guest.sock.close()


def _batches(count: int, first: int = 0) -> Iterator[list[int]]:
    numbers = iter(range(first, first + count))
    while batch := list(islice(numbers, BATCH)):
        yield batch
