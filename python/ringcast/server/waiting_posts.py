"""Posted messages whose client is too far ahead of the server: their requests wait, so many of each session,
and each for as long as somebody waits for its answer.

What is posted, and to which stream, is `events.py`'s. A WebSocket would not be read meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

from starlette.requests import ClientDisconnect, Request

from ..config import ServerConfig
from ..errors import RateLimited

__all__ = ["Poster", "WaitingPosts"]

_RETRY_AFTER_MS: Final = 1000
"""When somebody may try again: nobody knows when the client will have read."""


@dataclass(slots=True)
class _Held:
    """What one session has waiting."""

    messages: int = 0
    bytes: int = 0


class Poster:
    """Who waits for the answer to a request."""

    def __init__(self, gone: asyncio.Task[None]) -> None:
        self._gone = gone
        """Done when nobody does any more."""

    async def wait(self, delay_s: float) -> None:
        """Wait for so long. Raises `ClientDisconnect` once nobody waits any more."""
        await asyncio.wait((self._gone,), timeout=delay_s)
        if self._gone.done():
            self._gone.result()  # or why that cannot be told
            raise ClientDisconnect


class WaitingPosts:
    """Those of all sessions."""

    def __init__(self, config: ServerConfig, limits_hit: Counter[str]) -> None:
        self._most_messages = config.max_pending_messages
        self._most_bytes = config.max_pending_bytes
        self._limits_hit = limits_hit
        self._held: dict[str, _Held] = {}
        """By the token of the session; of those that have something waiting."""

    @asynccontextmanager
    async def waiting(self, request: Request, token: str, messages: Sequence[bytes]) -> AsyncIterator[Poster]:
        """Let `request`, whose body has been read, wait. Raises `RateLimited` where the session has too much
        waiting."""
        with self._holding(token, messages):
            gone = asyncio.get_running_loop().create_task(_until_gone(request), name="waiting post")
            try:
                yield Poster(gone)
            finally:
                gone.cancel()
                await asyncio.gather(gone, return_exceptions=True)

    @contextmanager
    def _holding(self, token: str, messages: Sequence[bytes]) -> Iterator[None]:
        held = self._held.setdefault(token, _Held())
        size = sum(map(len, messages))
        # One waits whatever it has: a client that posts one at a time, as it should, runs into nothing.
        if held.messages and (
            held.messages + len(messages) > self._most_messages or held.bytes + size > self._most_bytes
        ):
            self._limits_hit["max_pending_messages"] += 1
            raise RateLimited(
                "too many messages of this session wait until it has read what was answered",
                metadata={"retry_after_ms": _RETRY_AFTER_MS},
            )
        held.messages += len(messages)
        held.bytes += size
        try:
            yield
        finally:
            held.messages -= len(messages)
            held.bytes -= size
            if not held.messages:
                del self._held[token]


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # there is no more of the body
