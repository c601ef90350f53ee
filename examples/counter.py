"""An actor of your own, used in the same process: no server, no port, the same API. Good for tests, too."""

import asyncio
from dataclasses import dataclass

from ringcast import Actor, Context, MemoryStore, Registry, action


@dataclass
class Count:
    value: int = 0


class Counter(Actor[Count]):
    @action
    def increase(self, c: Context[Count], by: int = 1) -> int:
        c.state.value += by
        c.broadcast("increased", c.state.value)
        return c.state.value


registry = Registry(Counter, store=MemoryStore())


async def main() -> None:
    async with registry:  # runs it, and stops it at the end, which saves the actors
        counter = registry.client.get_or_create(Counter, ["visits"])
        async with counter.connect() as connection:
            connection.on("increased", lambda value: print("event:", value))
            for by in (1, 2, 3):
                print("reply:", await connection.increase(by))
        print("over HTTP it would be the same:", await counter.increase())


# `ringcast serve examples.counter:registry` imports this file without running the client.
if __name__ == "__main__":
    asyncio.run(main())
