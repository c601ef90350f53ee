"""A ticker: plays the price series, event by event, for as long as the server runs."""

from __future__ import annotations

import asyncio
import datetime
import itertools
from dataclasses import dataclass
from typing import Final

from ringcast import Actor, Context, UserError, action

from .prices import Price, read_prices

__all__ = ["DEFAULT_SPEED", "MAX_SPEED", "Quote", "Ticker"]

DEFAULT_SPEED: Final = 5.0
MAX_SPEED: Final = 10_000.0


@dataclass(slots=True, frozen=True)
class Quote:
    """One price. `round` counts from 1 how often the series has begun, `number` all prices so far."""

    symbol: str
    date: datetime.date
    price: float
    round: int
    number: int


@dataclass
class Pace:
    """The ticker's saved state."""

    speed: float = DEFAULT_SPEED
    """Events a second."""


class Ticker(Actor[Pace]):
    """`price` carries a quote, from the moment the ticker starts for as long as it runs."""

    class Events:
        price: Quote

    def on_start(self, c: Context[Pace]) -> None:
        self._latest: dict[str, Quote] = {}
        self._round: list[Quote] = []
        self.spawn(self._play(read_prices()), name="play prices")

    @action
    def latest(self, c: Context[Pace], symbol: str) -> Quote:
        """Return the newest quote of one share, such as MSFT."""
        quote = self._latest.get(symbol.upper())
        if quote is None:
            raise UserError(
                f"no price of {symbol} yet", code="no_such_symbol", metadata={"symbols": sorted(self._latest)}
            )
        return quote

    @action
    def played(self, c: Context[Pace]) -> list[Quote]:
        """Return the quotes of this round so far, oldest first."""
        return self._round

    @action
    def set_speed(self, c: Context[Pace], speed: float) -> float:
        """Play so many events a second from the next event on; return what it was before."""
        if not 0 < speed <= MAX_SPEED:
            raise UserError(f"a speed is above 0 and at most {MAX_SPEED:g} events a second", code="bad_speed")
        before, c.state.speed = c.state.speed, speed
        return before

    async def _play(self, prices: list[Price]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        numbers = itertools.count(1)
        for begun in itertools.count(1):
            self._round = []
            for price in prices:
                quote = Quote(price.symbol, price.date, price.price, begun, next(numbers))
                self._latest[quote.symbol] = quote
                self._round.append(quote)
                self.broadcast("price", quote)
                # Counted on from when this one was due, so that the rate holds when the loop was busy; but a
                # machine that slept must not make up for the night.
                due = max(due + 1 / self.state.speed, loop.time() - 1)
                await asyncio.sleep(due - loop.time())
