"""What a client's socket hands its messages to, for tests of the socket alone."""

from __future__ import annotations

import asyncio

__all__ = ["Receiver"]


class Receiver:
    """Keeps what comes."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.lost = asyncio.Event()

    def on_message(self, payload: bytes) -> None:
        self.messages.append(payload)

    def on_lost(self, code: int | None, reason: str) -> None:
        self.lost.set()
