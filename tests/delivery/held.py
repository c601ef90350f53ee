"""A client to whom nothing is delivered for a while, for the tests of what may happen meanwhile."""

from __future__ import annotations

import socket
from typing import Any, Final, Self

from linked import Closed

from ringcast import Connection
from ringcast.errors import CloseCode
from ringcast.router import Router
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Connected, Event, Gap, Resume, ServerMessage, Subscribe, Unsubscribe

from .guest import GuestSocket
from .hall import Guest, Hall

__all__ = ["Held"]

FILLER: Final = "x" * 40_000
"""More than a tight socket takes."""
HEARD: Final = ("a", "b")
"""The events that the tests are about."""


class Held:
    """One client of a `Hall`. It is held up by a full socket, or (`goes_away`) by a lost network."""

    def __init__(self, router: Router, encoding: Encoding, *, goes_away: bool) -> None:
        self.heard: list[Any] = []
        """What came with each event; gaps in their places."""
        self._router = router
        self._encoding = encoding
        self._goes_away = goes_away
        self._socket = GuestSocket(router, encoding, tight=not goes_away)
        self._names: tuple[str, ...] = ()
        self._connected: Connected | None = None
        self._seen = 0
        self._last_id = 0

    async def arrive(self, *names: str, level: int = 0) -> None:
        """Connect, and listen for these names."""
        params = {"who": 1, "level": level}
        self._connected = await self._socket.connect(self._actor, "a", params=params, events=names)
        self._names, self._seen = names, self._connected.offset

    @property
    def hall(self) -> Hall:
        (instance,) = self._router._directory
        assert isinstance(instance.actor, Hall)
        return instance.actor

    @property
    def conn(self) -> Connection[Guest]:
        """The client as its actor sees it."""
        assert self._connected is not None
        found = self.hall.conns.get(self._connected.connection)
        assert found is not None
        return found

    def leave(self) -> None:
        """Close for good."""
        self._socket.lose(CloseCode.NORMAL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.lose()

    async def hold(self) -> None:
        """From now on nothing is delivered to this client."""
        await self.read()
        if self._goes_away:
            self._socket.lose()
        else:
            self.conn.send("filler", FILLER)
            await self.hall.drain()
            waiting = self._socket._far.recv(len(FILLER), socket.MSG_PEEK)
            assert len(waiting) < len(FILLER), "the socket is not full"

    async def listen(self, *names: str) -> None:
        """While held up, change what it listens for: at once, or by coming back and going away again."""
        if self._goes_away:
            self._names = names
            await self._come_back()
            await self.hold()
            return
        for name in {*names, *self._names}:
            self._last_id += 1
            self._socket.send((Subscribe if name in names else Unsubscribe)(self._last_id, name))
        self._names = names

    async def release(self) -> None:
        """Get everything that was held up."""
        if self._goes_away:
            await self._come_back()
        await self.read()

    async def read(self) -> None:
        """Hear all that was sent until now."""
        self.conn.send("end")
        while True:
            message = await self._socket.next()
            self._hear(message)
            if isinstance(message, Event) and message.name == "end":
                return

    async def read_to_its_end(self) -> Closed:
        """Hear all that comes until the server has closed the socket; return how it did."""
        while not isinstance(message := await self._socket.next(), Closed):
            self._hear(message)
        return message

    def _hear(self, message: ServerMessage | Closed) -> None:
        if isinstance(message, Event):
            assert message.offset > self._seen
            self._seen = message.offset
            if message.name in HEARD:
                self.heard += message.args
        elif isinstance(message, Gap):
            self.heard.append(message)

    async def _come_back(self) -> None:
        assert self._connected is not None
        resume = Resume(self._connected.session, self._connected.epoch, self._seen)
        self._socket = GuestSocket(self._router, self._encoding, tight=False)
        answer = await self._socket.connect(self._actor, "a", resume=resume, events=self._names)
        assert answer.session == self._connected.session
        self._connected, self._seen = answer, answer.offset
        if answer.gap is not None:
            self.heard.append(answer.gap)

    @property
    def _actor(self) -> str:
        (definition,) = self._router.registry.definitions
        return definition.name
