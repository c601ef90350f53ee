"""A WebSocket that is lost while the server has stopped to read from it: it is let go of all the same."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import struct
from typing import Any, Final

import httpx
import pytest
from hosting import Hosted, complaints, running

from ringcast.testing import eventually

REPLY_BYTES: Final = 300_000
MOST_REPLIES: Final = 100
"""More than sockets' own buffers take together, whatever the system."""
UNREAD: Final = 10
"""So many calls it does not read without having stopped to."""
UVICORN: Final = [("uvicorn", "--ws", kind) for kind in ("websockets", "websockets-sansio", "wsproto")]


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a masked frame of less than 126 bytes; the mask changes nothing."""
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def send(sock: socket.socket, message: Any) -> None:
    sock.sendall(frame(1, json.dumps(message, separators=(",", ":")).encode()))


def connect(hosted: Hosted, sock: socket.socket) -> None:
    """Connect, and read no more than the head of the response."""
    sock.settimeout(30)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", hosted.port))
    sock.sendall(
        b"GET /realtime/connect HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: ringcast.v1.json\r\n\r\n"
    )
    read = b""
    while b"\r\n\r\n" not in read:
        read += sock.recv(1)
    send(sock, ["connect", {"actor": "clerk", "key": ["a"]}])


async def fall_behind(hosted: Hosted, sock: socket.socket, http: httpx.AsyncClient) -> None:
    """Ask until no more is read."""
    await asyncio.to_thread(connect, hosted, sock)
    for number in range(1, MOST_REPLIES):
        send(sock, ["call", number, "long", [REPLY_BYTES]])
        if number - (await holds(http))["asked"] == UNREAD:
            return
    raise AssertionError(f"the server takes everything: {await holds(http)}")


async def holds(http: httpx.AsyncClient) -> dict[str, int]:
    found: dict[str, int] = (await http.get("/holds")).json()
    return found


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize(
    "server",
    [*UVICORN, ("hypercorn",), ("granian",), ("ringcast",)],
    ids=lambda server: "-".join(server[::2]),
)
async def test_it_is_let_go_of_and_the_server_stops(server: tuple[str, ...], how: str) -> None:
    name, *options = server
    ours = name == "ringcast"
    app = "behind_app:opaque" if ours else "behind_app:app"
    with running(name, app, *options, patient=True) as hosted, socket.socket() as sock:
        async with httpx.AsyncClient(base_url=hosted.host_url, timeout=30) as http:
            await fall_behind(hosted, sock, http)
            if how == "close":
                sock.sendall(frame(8, (1000).to_bytes(2, "big")))
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

            async def is_gone() -> bool:
                held = await holds(http)
                # The question takes one of ours.
                return (held["links"], held["places"]) == (0, int(ours))

            # Hypercorn waits for us to read, and so for `dead_peer_timeout_s`.
            await eventually(is_gone, timeout_s=30)
        hosted.program.process.send_signal(signal.SIGTERM)
        ended = await asyncio.to_thread(hosted.program.finish)
    assert not complaints(ended), ended
