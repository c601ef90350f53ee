"""The actors that the integration tests talk to: a chat room, a game room, a news room; and the registry.

`ringcast serve actors:registry` runs them. The actors in `probes.py` have nothing to do with a subject: they
count, break and wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from probes import Clumsy, Desk, Feed, Ledger, Meter, ShortFeed, Strict

from ringcast import Actor, Context, MemoryStore, Registry, UserError, action


@dataclass
class Message:
    id: str
    user_id: str
    text: str


@dataclass
class Chat:
    messages: list[Message] = field(default_factory=list)


class ChatRoom(Actor[Chat]):
    """Everyone hears what anyone says. It declares no events, so that anything can be said."""

    @action
    def send_message(self, c: Context[Chat], user_id: str, text: str) -> Message:
        message = Message(f"{c.key[0]}/{len(c.state.messages)}", user_id, text)
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
    def say_to_others(self, c: Context[Chat], text: str) -> None:
        c.broadcast("overheard", text, exclude=c.conn)

    @action
    def say(self, c: Context[Chat], *data: Any) -> None:
        c.broadcast("said", *data)

    @action
    def history(self, c: Context[Chat]) -> list[Message]:
        return c.state.messages


@dataclass
class Player:
    """What a client of a game connects with, and what its connection carries."""

    player_id: str
    role: Literal["player", "spectator"] = "player"


@dataclass
class Game:
    moves: int = 0


class GameRoom(Actor[Game, Player]):
    """Players see each other move, but not themselves, and whisper to one another."""

    class Events:
        gameStarted: None
        privateMessage: dict[str, str]

        def playerMoved(self, player_id: str, place: dict[str, float]) -> None: ...  # noqa: N802

    def on_before_connect(self, c: Context[Game, Player], params: Player) -> None:
        if params.player_id == "banned":
            raise UserError("you cheated", code="banned", metadata={"for_days": 7})

    def create_conn_state(self, c: Context[Game, Player], params: Player) -> Player:
        return params

    @action
    def start_game(self, c: Context[Game, Player]) -> None:
        c.broadcast("gameStarted")

    @action
    def move(self, c: Context[Game, Player], x: float, y: float) -> None:
        c.state.moves += 1
        for conn in c.conns:
            if conn.id != c.conn.id:
                conn.send("playerMoved", c.conn.state.player_id, {"x": x, "y": y})

    @action
    def send_private_message(self, c: Context[Game, Player], player_id: str, text: str) -> None:
        target = c.conns.find(player_id=player_id)
        if target is None:
            raise UserError(f"{player_id} is not here", code="no_such_player")
        target.send("privateMessage", {"from": c.conn.state.player_id, "text": text})

    @action
    def kick(self, c: Context[Game, Player], player_id: str) -> None:
        target = c.conns.find(player_id=player_id)
        assert target is not None
        target.disconnect("be nice")

    @action
    def who_am_i(self, c: Context[Game, Player]) -> dict[str, Any]:
        return {"id": c.conn.id, "params": c.conn.params, "role": c.conn.state.role}


@dataclass
class Article:
    id: str
    category: str
    content: str
    level: Literal["public", "premium"] = "public"


@dataclass
class Reader:
    user_id: str
    subscription: Literal["free", "premium"] = "free"
    categories: list[str] = field(default_factory=list)
    """Empty for all."""


class NewsRoom(Actor[None, Reader]):
    """An article goes to those who have paid for it and care about its category, by a plain loop."""

    class Events:
        newArticle: Article

    @action
    def publish_article(self, c: Context[None, Reader], article: Article) -> Article:
        for conn in c.conns:
            reader = conn.state
            if reader.categories and article.category not in reader.categories:
                continue
            if article.level == "public" or reader.subscription == "premium":
                conn.send("newArticle", article)
        return article

    @action
    def subscribe_to(self, c: Context[None, Reader], *categories: str) -> None:
        c.conn.state.categories = list(categories)


registry = Registry(
    ChatRoom, GameRoom, NewsRoom, Feed, ShortFeed, Clumsy, Meter, Ledger, Strict, Desk, store=MemoryStore()
)
