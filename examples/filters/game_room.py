"""A game room, twice: who sees a move is asked in a loop, and said by a filter. Both send the same.

Run it: it needs no server, and shows what each player is sent by either.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Literal

from ringcast import Actor, Context, MemoryStore, Registry, UserError, action, where

FAR: Final = 10.0
"""Who is as far away as this in x, or farther, is not seen."""


@dataclass
class Game:
    started: bool = False


@dataclass
class Member:
    """What a client connects with, and what its connection carries."""

    player_id: str
    role: Literal["player", "spectator"] = "player"
    x: float = 0.0
    y: float = 0.0


@dataclass
class Move:
    player_id: str
    x: float
    y: float


@dataclass
class Whisper:
    sender: str
    text: str


class GameRoom(Actor[Game, Member]):
    """What both forms have in common."""

    class Events:
        gameStarted: None
        playerMoved: Move
        privateMessage: Whisper

    @action
    def start(self, c: Context[Game, Member]) -> None:
        if not c.state.started:
            c.state.started = True
            c.broadcast("gameStarted")

    @action
    def change_role(self, c: Context[Game, Member], role: Literal["player", "spectator"]) -> None:
        c.conn.state.role = role


class LoopGameRoom(GameRoom):
    @action
    def move(self, c: Context[Game, Member], x: float, y: float) -> None:
        me = c.conn.state
        me.x, me.y = x, y
        for conn in c.conns:
            near = x - FAR < conn.state.x < x + FAR
            if conn.id != c.conn.id and (near or conn.state.role == "spectator"):
                conn.send("playerMoved", Move(me.player_id, x, y))

    @action
    def send_private_message(self, c: Context[Game, Member], player_id: str, text: str) -> None:
        found = False
        for conn in c.conns:
            if conn.state.player_id == player_id:
                found = True
                conn.send("privateMessage", Whisper(c.conn.state.player_id, text))
        if not found:
            raise UserError(f"{player_id} is not in this room", code="no_such_player")


SPECTATORS: Final = where(role="spectator")


class FilterGameRoom(GameRoom):
    @action
    def move(self, c: Context[Game, Member], x: float, y: float) -> None:
        me = c.conn.state
        me.x, me.y = x, y
        seen_by = where(x__gt=x - FAR, x__lt=x + FAR) | SPECTATORS
        c.broadcast("playerMoved", Move(me.player_id, x, y), where=seen_by, exclude=c.conn)

    @action
    def send_private_message(self, c: Context[Game, Member], player_id: str, text: str) -> None:
        receivers = c.conns.where(player_id=player_id)
        if not receivers:
            raise UserError(f"{player_id} is not in this room", code="no_such_player")
        receivers.send("privateMessage", Whisper(c.conn.state.player_id, text))


async def show(form: type[GameRoom]) -> list[str]:
    """Return what three members are sent, in lines."""
    told: list[str] = []
    registry = Registry(form, store=MemoryStore())
    await registry.start()
    room = registry.client.get_or_create(form, ["room-456"])
    ann, bob = room.connect({"player_id": "ann"}), room.connect({"player_id": "bob"})
    cleo = room.connect({"player_id": "cleo", "role": "spectator"})

    def see(name: str, move: dict[str, Any]) -> None:
        told.append(f"{name} sees {move['player_id']} at {move['x']}, {move['y']}")

    def hear(name: str, whisper: dict[str, Any]) -> None:
        told.append(f"{name} hears {whisper['sender']} whisper: {whisper['text']}")

    for name, member in (("ann", ann), ("bob", bob), ("cleo", cleo)):
        member.once("gameStarted", lambda name=name: told.append(f"{name} sees the game start"))
        member.on("playerMoved", lambda move, name=name: see(name, move))
        member.on("privateMessage", lambda whisper, name=name: hear(name, whisper))
    async with ann, bob, cleo:
        await ann.start()
        await ann.move(3, 4)
        await bob.move(20, 0)
        await ann.send_private_message("cleo", "to the left!")
        for member in (ann, bob, cleo):
            # The answer comes behind everything that was sent before.
            await member.start()
    await registry.stop()
    return sorted(told)


async def main() -> None:
    looped, filtered = [await show(form) for form in (LoopGameRoom, FilterGameRoom)]
    print(*filtered, sep="\n")
    print("the loop sends", "the same" if looped == filtered else f"something else: {looped}")


if __name__ == "__main__":
    asyncio.run(main())
