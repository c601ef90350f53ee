"""Clients that mean harm: raw sockets from an address of their own, all gone without a goodbye at the end."""

from __future__ import annotations

import contextlib
import json
import select
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from conformance.raw_client import CLOSE, PONG, Frame, RawClient, Response

__all__ = ["ADDRESS", "Attacker", "Attackers"]

ADDRESS: Final = "127.0.0.66"
TIMEOUT_S: Final = 60.0
"""For anything that is waited for: reached only by a failing test."""
FULL_AFTER_MS: Final = 200


class Attacker(RawClient):
    """One socket."""

    goes_on = b""
    """What it goes on with, again and again."""

    def __post_init__(self) -> None:
        self.sock = socket.socket()
        # Whoever reads nothing is full soon.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.bind((ADDRESS, 0))
        self.sock.connect(self.address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send_until_refused(self, data: bytes) -> None:
        """Send all of it, or as much as the server takes before it hangs up."""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            self.sock.sendall(data)

    def send_until_full(self, data: bytes) -> None:
        """Send it again and again, until nothing more goes in: the other side has stopped to read."""
        writable = select.poll()
        writable.register(self.sock, select.POLLOUT)
        self.sock.setblocking(False)
        try:
            while data and writable.poll(FULL_AFTER_MS):
                self.sock.send(data)
        except (ConnectionResetError, BrokenPipeError):
            pass  # it has had enough
        self.sock.settimeout(TIMEOUT_S)

    def until_hung_up(self) -> None:
        """Wait until the server has let go of the socket, of which nothing is read meanwhile."""
        ended = select.poll()
        ended.register(self.sock, select.POLLRDHUP)
        assert ended.poll(TIMEOUT_S * 1000), "the server still has the socket"

    def until_answered(self, ping: bytes) -> None:
        """Read on to the answer to a ping."""
        while self.read_frame() != Frame(PONG, ping):
            pass

    def rest(self) -> bytes:
        """Return whatever still comes until the server has closed."""
        try:
            while self._fill():
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass  # it closed with something of ours unread
        return self._buffer

    def next_event(self) -> list[Any]:
        """Return the next message of a stream of server-sent events."""
        while (start := self._buffer.find(b"\ndata: ")) < 0 or b"\n\n" not in self._buffer[start:]:
            assert self._fill(), self._buffer
        data, _, self._buffer = self._buffer[start:].partition(b"\n\n")
        message: list[Any] = json.loads(data.removeprefix(b"\ndata: "))
        return message

    def answers(self, count: int) -> Counter[str]:
        """Read so many answers to requests; return how many of them are of which kind."""
        kinds: Counter[str] = Counter()
        while kinds.total() < count:
            kind = self.read_message()[0]
            kinds[kind] += kind in ("reply", "error")
        return +kinds

    def until_closed(self) -> int | None:
        """Read on to the server's close frame, and return its code."""
        while (found := self.read_frame()).opcode != CLOSE:
            pass
        return found.close_code

    def end(self) -> None:
        """Say that nothing more will be sent."""
        with contextlib.suppress(OSError):  # it may be over already
            self.sock.shutdown(socket.SHUT_WR)

    def until_closed_or_gone(self) -> int | None:
        """As `until_closed`; None where the server has hung up without one, or the client's code was none."""
        self._buffer = self.rest()
        while self._buffer:
            found = self.read_frame()
            if found.opcode == CLOSE:
                return found.close_code
        return None

    def refusal(self) -> Response | None:
        """Return the answer to a request that is refused; None if the server hung up with our bytes unread,
        which loses its answer on the way."""
        self._buffer = self.rest()
        return self.read_response() if self._buffer else None


class Attackers:
    """Many of them."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None and parts.port is not None
        self.address = parts.hostname, parts.port
        self.all: list[Attacker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for each in self.all:
            if each.sock.fileno() >= 0:
                each.reset()

    def open(self, encoding: str = "json") -> Attacker:
        """Open a socket, and say nothing yet."""
        opened = Attacker(self.address, encoding)
        self.all.append(opened)
        return opened

    def connected(
        self, *subscriptions: str, encoding: str = "json", actor: str = "room", **changes: str
    ) -> Attacker:
        """Connect to an actor."""
        opened = self.open(encoding)
        opened.connect(*subscriptions, actor=actor, key="attacked", **changes)
        return opened

    def many(self, count: int, open_one: Callable[[], Attacker]) -> list[Attacker]:
        return [open_one() for _ in range(count)]


def until_closed(sockets: Iterable[Attacker]) -> None:
    """Read until the server has closed each of them; meanwhile all go on with what they have."""
    deadline = time.monotonic() + TIMEOUT_S
    with selectors.DefaultSelector() as selector:
        for each in sockets:
            selector.register(each.sock, selectors.EVENT_READ, each)
        while selector.get_map():
            assert time.monotonic() < deadline, f"{len(selector.get_map())} sockets are still open"
            for key, _ in selector.select(0.05):
                try:
                    ended = not key.data.sock.recv(65_536)
                except ConnectionResetError:
                    ended = True
                if ended:
                    selector.unregister(key.data.sock)
            for key in selector.get_map().values():
                if key.data.goes_on:
                    key.data.send_until_refused(key.data.goes_on)
