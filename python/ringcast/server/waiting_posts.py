"""Posted messages whose client is too far ahead of the server: the requests of each session wait in the order
in which they came, so many of them, and each for as long as somebody waits for its answer.

What is posted, to which stream, and when there is room is `events.py`'s. A WebSocket would not be read
meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import ClientDisconnect, Request

from ..config import ServerConfig
from ..errors import RateLimited

__all__ = ["Poster", "WaitingPosts"]

_RETRY_AFTER_MS: Final = 1000
"""When somebody may try again: nobody knows when the client will have read."""


class Poster:
    """Who waits for the answer to a request."""

    def __init__(self, gone: asyncio.Task[None], all_waiting: WaitingPosts, queue: _Queue) -> None:
        self._gone = gone
        """Done when nobody does any more. That may never be told: some servers do not see it where another
        request is behind this one in its socket."""
        self._all_waiting = all_waiting
        self._queue = queue
        self._until_s = 0.0
        """When it is refused, unless its client reads. A time of the loop; it counts for the first alone."""
        self._told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """True: it is the first. False: it is refused, with another one that was before it."""

    def tell(self, is_first: bool) -> None:
        """Have it go on. What it was told before counts."""
        if not self._told.done():
            self._told.set_result(is_first)

    async def wait_until_first(self) -> None:
        """Wait for those that came before. Raises `ClientDisconnect` once nobody waits any more, and
        `RateLimited` where one of those was refused: what came behind that runs in no case before it."""
        await asyncio.wait((self._gone, self._told), return_when=asyncio.FIRST_COMPLETED)
        self._check_gone()
        if not self._told.result():
            raise _unread()
        self.hear()

    def hear(self) -> None:
        """Its client reads, or need not: there is as much time again."""
        self._until_s = asyncio.get_running_loop().time() + self._all_waiting.patience_s

    async def wait(self, delay_s: float) -> None:
        """Wait for so long, as the first. Raises `ClientDisconnect` once nobody waits any more, and
        `RateLimited` when its time is up."""
        left_s = self._until_s - asyncio.get_running_loop().time()
        if left_s <= 0:
            self._all_waiting.limits_hit["dead_peer_timeout_s"] += 1
            for each in self._queue.posters:
                each.tell(is_first=False)
            raise _unread()
        await asyncio.wait((self._gone,), timeout=min(delay_s, left_s))
        self._check_gone()

    def _check_gone(self) -> None:
        if self._gone.done():
            self._gone.result()  # or why that cannot be told
            raise ClientDisconnect


@dataclass(slots=True)
class _Queue:
    """What one session has waiting."""

    messages: int = 0
    bytes: int = 0
    posters: deque[Poster] = field(default_factory=deque)
    """In the order in which they came. One leaves when its messages have been handled, or never will be."""

    def enter(self, poster: Poster) -> None:
        """Let it wait behind the others."""
        self.posters.append(poster)
        self._tell_first()

    def leave(self, poster: Poster) -> None:
        """Have the others go on without it."""
        self.posters.remove(poster)
        self._tell_first()

    def _tell_first(self) -> None:
        if self.posters:
            self.posters[0].tell(is_first=True)


class WaitingPosts:
    """Those of all sessions."""

    def __init__(self, config: ServerConfig, limits_hit: Counter[str]) -> None:
        self.patience_s = config.dead_peer_timeout_s
        """For how long a client may read nothing while something of it waits."""
        self.limits_hit = limits_hit
        self._most_messages = config.max_pending_messages
        self._most_bytes = config.max_pending_bytes
        self._queues: dict[str, _Queue] = {}
        """By the token of the session; of those that have something waiting."""

    def are_there(self, token: str) -> bool:
        """Tell whether a session has any, behind which others have to wait."""
        return token in self._queues

    @asynccontextmanager
    async def first(self, request: Request, token: str, messages: Sequence[bytes]) -> AsyncIterator[Poster]:
        """Let `request`, whose body has been read, wait until it is the first of its session; the next one is
        when the context is left. Raises `RateLimited` where the session has too much waiting, and what
        `Poster.wait_until_first` does."""
        with self._holding(token, messages) as queue:
            gone = asyncio.get_running_loop().create_task(_until_gone(request), name="waiting post")
            poster = Poster(gone, self, queue)
            queue.enter(poster)
            try:
                await poster.wait_until_first()
                yield poster
            finally:
                queue.leave(poster)
                gone.cancel()
                await asyncio.gather(gone, return_exceptions=True)

    @contextmanager
    def _holding(self, token: str, messages: Sequence[bytes]) -> Iterator[_Queue]:
        queue = self._queues.setdefault(token, _Queue())
        size = sum(map(len, messages))
        # One waits whatever it has: a client that posts one at a time, as it should, runs into nothing.
        if queue.messages and (
            queue.messages + len(messages) > self._most_messages or queue.bytes + size > self._most_bytes
        ):
            self.limits_hit["max_pending_messages"] += 1
            raise _refused("too many messages of this session wait until it has read what was answered")
        queue.messages += len(messages)
        queue.bytes += size
        try:
            yield queue
        finally:
            queue.messages -= len(messages)
            queue.bytes -= size
            if not queue.messages:
                del self._queues[token]


def _unread() -> RateLimited:
    return _refused("this session has read nothing of what was answered for too long")


def _refused(why: str) -> RateLimited:
    return RateLimited(f"{why}; none of these ran", metadata={"retry_after_ms": _RETRY_AFTER_MS})


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # there is no more of the body
