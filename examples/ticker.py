"""Follow the demo's ticker. Run `make demo` first; stop and start it meanwhile, and watch.

The second argument is how many prices to wait for.
"""

import asyncio
import sys

from ringcast import Client

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 100


async def main() -> None:
    async with Client(URL) as client:
        ticker = client.ticker.get_or_create(["stocks"])
        connection = ticker.connect()
        connection.on("connected", lambda: print("connected"))
        connection.on("disconnected", lambda: print("disconnected: what is missed now comes later"))
        connection.on("reconnected", lambda: print("reconnected"))
        connection.on("replayed", lambda count: print(f"{count} missed prices follow"))
        connection.on("gap", lambda gap: print(f"prices were lost: {gap.reason}"))
        async with connection:
            seen = 0
            async for quote in connection.stream("price"):
                print(f"{quote['date']} {quote['symbol']:5} {quote['price']:8.2f}")
                seen += 1
                if seen == COUNT:
                    break


asyncio.run(main())
