"""The actors that the TypeScript client's tests talk to: `python -m ringcast serve actors:registry`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal

from ringcast import Actor, Context, Registry, UserError, action
from ringcast.config import ServerConfig


@dataclass
class Message:
    id: str
    user_id: str
    text: str


@dataclass
class Chat:
    messages: list[Message] = field(default_factory=list)


class ChatRoom(Actor[Chat]):
    """Everyone hears what anyone says."""

    def create_state(self, c: Context[Chat], input: list[str] | None) -> Chat:
        return Chat([Message(str(index), "host", text) for index, text in enumerate(input or [])])

    def can_subscribe(self, c: Context[Chat], event: str) -> bool:
        return event != "secret"

    @action
    def send_message(self, c: Context[Chat], user_id: str, text: str) -> Message:
        message = Message(str(len(c.state.messages)), user_id, text)
        c.state.messages.append(message)
        c.broadcast("messageReceived", message)
        return message

    @action
    def delete_message(self, c: Context[Chat], message_id: str) -> None:
        for message in c.state.messages:
            if message.id == message_id:
                c.state.messages.remove(message)
                c.broadcast("messageDeleted", message_id)
                return
        raise UserError("no such message", code="no_such_message", metadata={"id": message_id})

    @action
    def say(self, c: Context[Chat], *data: Any) -> None:
        c.broadcast("said", *data)

    @action
    def history(self, c: Context[Chat]) -> list[Message]:
        return c.state.messages

    @action
    def connections(self, c: Context[Chat]) -> list[str]:
        return [conn.id for conn in c.conns]

    @action
    def status(self, c: Context[Chat]) -> str:
        return "an action that is called as a property of connections is"


@dataclass
class Player:
    player_id: str
    role: Literal["player", "spectator"] = "player"


class GameRoom(Actor[None, Player]):
    """Players see each other move, but not themselves, and whisper to one another."""

    def on_before_connect(self, c: Context[None, Player], params: Player) -> None:
        if params.player_id == "banned":
            raise UserError("you cheated", code="banned", metadata={"for_days": 7})

    def create_conn_state(self, c: Context[None, Player], params: Player) -> Player:
        return params

    @action
    def start_game(self, c: Context[None, Player]) -> None:
        c.broadcast("gameStarted")

    @action
    def move(self, c: Context[None, Player], x: float, y: float) -> None:
        c.broadcast("playerMoved", c.conn.state.player_id, {"x": x, "y": y}, exclude=c.conn)

    @action
    def send_private_message(self, c: Context[None, Player], player_id: str, text: str) -> None:
        target = c.conns.find(player_id=player_id)
        if target is None:
            raise UserError(f"{player_id} is not here", code="no_such_player")
        target.send("privateMessage", {"from": c.conn.state.player_id, "text": text})

    @action
    def kick(self, c: Context[None, Player], player_id: str) -> None:
        target = c.conns.find(player_id=player_id)
        assert target is not None
        target.disconnect("be nice")

    @action
    def who_am_i(self, c: Context[None, Player]) -> dict[str, Any]:
        return {"id": c.conn.id, "params": c.conn.params}


@dataclass
class Article:
    id: str
    level: Literal["public", "premium"] = "public"


@dataclass
class Reader:
    user_id: str
    subscription: Literal["free", "premium"] = "free"


class NewsRoom(Actor[None, Reader]):
    """Premium articles go to those who have paid."""

    def create_conn_state(self, c: Context[None, Reader], params: Reader) -> Reader:
        return params

    @action
    def publish_article(self, c: Context[None, Reader], article: Article) -> None:
        for conn in c.conns:
            if article.level == "public" or conn.state.subscription == "premium":
                conn.send("newArticle", article)


@dataclass
class Total:
    value: int = 0
    items: int = 0


class Feed(Actor[Total]):
    """Sends numbered events, and adds up: what runs twice shows."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    @action
    def emit(self, c: Context[Total], count: int) -> None:
        for _ in range(count):
            c.state.items += 1
            c.broadcast("item", c.state.items)

    @action
    def add(self, c: Context[Total], amount: int) -> int:
        c.state.value += amount
        c.broadcast("added", c.state.value)
        return c.state.value

    @action
    async def add_slowly(self, c: Context[Total], amount: int) -> int:
        """Add at once, and answer after `release`."""
        c.state.value += amount
        c.broadcast("adding")
        await self.released.wait()
        return c.state.value

    @action
    def release(self, c: Context[Total]) -> None:
        self.released.set()

    @action
    def total(self, c: Context[Total]) -> int:
        return c.state.value


class ShortFeed(Feed, max_ring_events=16):
    """Retains little."""


class Board(ShortFeed):
    """Retains little, and gives a snapshot instead."""

    def snapshot(self, c: Context[Total]) -> dict[str, int]:
        return {"items": c.state.items}


class Ledger(Actor[Total]):
    """Its stream goes on after a crash."""

    durable = True

    @action
    def emit(self, c: Context[Total], count: int) -> None:
        for _ in range(count):
            c.state.items += 1
            c.broadcast("item", c.state.items)

    @action
    def add(self, c: Context[Total], amount: int) -> int:
        c.state.value += amount
        return c.state.value

    @action
    def total(self, c: Context[Total]) -> int:
        return c.state.value


class Clumsy(Actor):
    """Fails, and gives back what it gets."""

    @action
    def fail(self, c: Context) -> None:
        raise RuntimeError("a secret")

    @action
    def echo(self, c: Context, value: Any) -> Any:
        return value

    @action
    def repeat(self, c: Context, value: bytes) -> bytes:
        return value


ACTORS = (ChatRoom, GameRoom, NewsRoom, Feed, ShortFeed, Board, Ledger, Clumsy)
registry = Registry(*ACTORS)
lively = Registry(*ACTORS, config=ServerConfig(heartbeat_s=0.2, dead_peer_timeout_s=2.0))
"""With heartbeats that a test can wait for."""
crowded = Registry(*ACTORS, config=ServerConfig(max_connects_per_s=4))
"""Lets in few at a time."""
