"""Two people in the demo's chat room: what one says, both hear. Run `make demo` first."""

import asyncio
import sys
from typing import Any

from ringcast import Client, UserError

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"


async def main() -> None:
    async with Client(URL) as client:
        room = client.chat_room.get_or_create(["general"])
        deleted = asyncio.Event()

        def show(message: dict[str, Any]) -> None:
            print(f"bob hears {message['user_id']}: {message['text']}")

        def remove(message_id: str) -> None:
            print("bob sees a message go")
            deleted.set()

        bob = room.connect()
        # Listeners that are there before the connection is travel with its first message: nothing is missed.
        bob.on("messageReceived", show)
        bob.on("messageDeleted", remove)
        async with bob, room.connect() as ann:
            message = await ann.send_message("ann", "Hello everyone!")
            await ann.delete_message(message["id"])
            await deleted.wait()
            bob.off("messageReceived", show)
            try:
                await ann.delete_message(message["id"])
            except UserError as error:
                print(f"ann is told: {error.message} ({error.code})")


asyncio.run(main())
