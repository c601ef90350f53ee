"""The actors that the tests of the TypeScript client and of the React hooks talk to.

`python -m ringcast serve served:registry` runs them. They are those of the integration tests and of the tests
of delivery, which have to be on the path, and what only these tests ask of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import actors
from actors import Chat, GameRoom, Message, NewsRoom
from kinds import registry as kinds
from page import Page
from probes import Clumsy, Desk, Feed, ShortFeed, Total

from ringcast import Actor, Context, Registry, action
from ringcast.config import ServerConfig

__all__ = ["busy", "crowded", "kinds", "lively", "narrow", "registry"]


class ChatRoom(actors.ChatRoom):
    """It may be created with messages, has a secret, and knows who is here."""

    def create_state(self, c: Context[Chat], input: list[str] | None) -> Chat:
        return Chat([Message(str(index), "host", text) for index, text in enumerate(input or [])])

    def can_subscribe(self, c: Context[Chat], event: str) -> bool:
        return event != "secret"

    @action
    def connections(self, c: Context[Chat]) -> list[str]:
        return [conn.id for conn in c.conns]

    @action
    def status(self, c: Context[Chat]) -> str:
        return "an action that is called as a property of connections is"


class Board(ShortFeed):
    """Retains little, and gives a snapshot instead."""

    def snapshot(self, c: Context[Total]) -> dict[str, int]:
        return {"items": self.items}


class Door(Feed):
    """Counts who comes and who goes, and how often a name is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[str] = []
        self.asked: list[str] = []

    def on_disconnect(self, c: Context[Total]) -> None:
        self.left.append(c.conn.id)

    def can_subscribe(self, c: Context[Total], event: str) -> bool:
        self.asked.append(event)
        return True

    @action
    def counts(self, c: Context[Total]) -> dict[str, Any]:
        here = [conn.id for conn in c.conns if conn.id != c.conn.id]
        return {"connects": self.connects, "here": here, "left": self.left, "asked": self.asked}


@dataclass
class Moved:
    zone: int
    name: str | None = None
    tags: set[str] = field(default_factory=set)


class World(Actor):
    """Sends what moves in zones; a client may listen for some of them."""

    class Events:
        moved: Moved
        secret: Moved

    def can_subscribe(self, c: Context[None], event: str) -> bool:
        return event != "secret"

    @action
    def move(self, c: Context[None], *moves: Moved) -> None:
        for each in moves:
            c.broadcast("moved", each)

    @action
    def tell(self, c: Context[None], zone: int) -> None:
        c.conn.send("moved", Moved(zone, "for you alone"))


ACTORS = (World, ChatRoom, GameRoom, NewsRoom, Feed, ShortFeed, Board, Page, Clumsy, Desk, Door)
registry = Registry(*ACTORS)
lively = Registry(*ACTORS, config=ServerConfig(heartbeat_s=0.2, dead_peer_timeout_s=2.0))
"""With heartbeats that a test can wait for."""
crowded = Registry(*ACTORS, config=ServerConfig(max_connects_per_s=4))
"""Lets in few at a time."""
busy = Registry(*ACTORS, config=ServerConfig(max_calls=1))
"""Runs one call over HTTP at a time."""
narrow = Registry(*ACTORS, config=ServerConfig(max_message_bytes=1000))
"""Takes short messages only."""
