"""A script without async: calls, a handler, and a loop over events with a timeout. Run `make demo` first."""

import sys

from ringcast import SyncClient
from ringcast.errors import RingcastError


def main(url: str) -> None:
    with SyncClient(url) as client:
        ticker = client.ticker.get_or_create("stocks")
        print("without a connection:", ticker.latest("MSFT"))
        with ticker.connect() as connection:
            connection.once("price", lambda price: print("a handler hears a price of", price["symbol"]))
            try:
                for count, _ in enumerate(connection.stream("price", timeout_s=10), 1):
                    print("price number", count)
                    if count == 3:
                        break
            except TimeoutError:
                print("the ticker is silent")
        try:
            ticker.sell("MSFT")
        except RingcastError as error:
            print("an error comes as it is:", error.code)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080")
