"""Three players of the demo's game room: a start that fires once, moves that others see, and a whisper.

Run `make demo` first.
"""

import asyncio
import sys
from typing import Any

from ringcast import Client
from ringcast.client import Connection

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"


def watch(player: Connection, name: str) -> None:
    def moved(move: dict[str, Any]) -> None:
        # Handling an event only under a condition is plain code.
        if move["place"]["x"] >= 0:
            print(f"{name} sees {move['player_id']} at {move['place']['x']}, {move['place']['y']}")

    def whispered(whisper: dict[str, Any]) -> None:
        print(f"{name} hears {whisper['sender']} whisper: {whisper['text']}")

    player.once("gameStarted", lambda: print(f"{name} sees the game start"))
    player.on("playerMoved", moved)
    player.on("privateMessage", whispered)


async def main() -> None:
    async with Client(URL) as client:
        room = client.game_room.get_or_create(["eu", "room-456"])
        # The actor knows who acts from these parameters.
        ann, bob, cleo = (room.connect({"player_id": name}) for name in ("ann", "bob", "cleo"))
        whisper = asyncio.Event()
        cleo.on("privateMessage", lambda _: whisper.set())
        for player, name in ((ann, "ann"), (bob, "bob"), (cleo, "cleo")):
            watch(player, name)
        async with ann, bob, cleo:
            await ann.start()
            await ann.move({"x": 3, "y": 4})
            await bob.move({"x": -1, "y": 0})
            await ann.send_private_message("cleo", "to the left!")
            await whisper.wait()


asyncio.run(main())
