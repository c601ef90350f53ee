"""A game room: players see each other move but not themselves, and whisper to one another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ringcast import Actor, Context, UserError, action

__all__ = ["GameRoom"]


@dataclass
class Place:
    x: float = 0.0
    y: float = 0.0


@dataclass
class Game:
    started: bool = False
    places: dict[str, Place] = field(default_factory=dict)
    """By player."""


@dataclass
class Member:
    """What a client connects with, and what its connection carries."""

    player_id: str
    role: Literal["player", "spectator"] = "player"


@dataclass
class Move:
    player_id: str
    place: Place


@dataclass
class Whisper:
    sender: str
    text: str


@dataclass
class GameView:
    """All that a client needs to show the room."""

    started: bool
    places: dict[str, Place]


class GameRoom(Actor[Game, Member]):
    """Call its actions over a connection: who acts is known from the connection's parameters."""

    class Events:
        gameStarted: None
        playerJoined: str
        playerLeft: str
        playerMoved: Move
        privateMessage: Whisper

    def on_before_connect(self, c: Context[Game, Member], params: Member) -> None:
        if c.conns.find(player_id=params.player_id) is not None:
            raise UserError(f"{params.player_id} plays already", code="player_taken")

    def on_connect(self, c: Context[Game, Member]) -> None:
        if c.conn.state.role == "player":
            c.state.places[c.conn.state.player_id] = Place()
            c.broadcast("playerJoined", c.conn.state.player_id)

    def on_disconnect(self, c: Context[Game, Member]) -> None:
        if c.state.places.pop(c.conn.state.player_id, None) is not None:
            c.broadcast("playerLeft", c.conn.state.player_id)

    def snapshot(self, c: Context[Game, Member]) -> GameView:
        return GameView(c.state.started, c.state.places)

    @action
    def start(self, c: Context[Game, Member]) -> bool:
        """Return whether this call started the game; it starts once."""
        if c.state.started:
            return False
        c.state.started = True
        c.broadcast("gameStarted")
        return True

    @action
    def move(self, c: Context[Game, Member], place: Place) -> None:
        player_id = c.conn.state.player_id
        if player_id not in c.state.places:
            raise UserError("spectators do not move", code="not_a_player")
        c.state.places[player_id] = place
        # The mover knows already.
        for conn in c.conns:
            if conn.id != c.conn.id:
                conn.send("playerMoved", Move(player_id, place))

    @action
    def send_private_message(self, c: Context[Game, Member], player_id: str, text: str) -> None:
        receiver = c.conns.find(player_id=player_id)
        if receiver is None:
            raise UserError(f"{player_id} is not in this room", code="no_such_player")
        receiver.send("privateMessage", Whisper(c.conn.state.player_id, text))

    @action
    def places(self, c: Context[Game, Member]) -> dict[str, Place]:
        return c.state.places
