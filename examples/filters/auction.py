"""An auction, twice: who is told of a bid is asked in a loop, and said by a filter. Both send the same.

Those who watch a lot see its bids up to the price that they name; who was outbid is told so, if he wants to
be; only the sellers see whether the reserve price has been reached. Run it: it needs no server.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ringcast import Actor, Connection, Context, MemoryStore, Registry, UserError, action, where


@dataclass
class Lot:
    reserve: int
    """It is not sold for less."""
    price: int = 0
    leader: str | None = None
    """Whose bid the highest one is."""


@dataclass
class Lots:
    lots: dict[str, Lot] = field(default_factory=dict)


@dataclass
class Guest:
    """What a client connects with, and what its connection carries."""

    name: str
    role: Literal["bidder", "seller"] = "bidder"
    watches: set[str] = field(default_factory=set)
    """Lots whose bids are shown here."""
    up_to: int | None = None
    """Bids above this price are not shown; None: all are."""
    alerts: bool = True
    """Whether to be told of being outbid."""


@dataclass
class Bid:
    lot: str
    price: int
    by: str


@dataclass
class Sale:
    lot: str
    price: int
    to: str | None
    """None if the reserve price was not reached."""


class Auction(Actor[Lots, Guest]):
    """What both forms have in common: what guests choose, and which bids count."""

    class Events:
        bid: Bid
        outbid: Bid
        reserveReached: Bid
        sold: Sale

    @action
    def offer(self, c: Context[Lots, Guest], lot: str, reserve: int) -> None:
        c.state.lots[lot] = Lot(reserve)

    @action
    def watch(self, c: Context[Lots, Guest], lot: str, up_to: int | None = None) -> None:
        c.conn.state.watches.add(lot)
        c.conn.state.up_to = up_to

    @action
    def want_alerts(self, c: Context[Lots, Guest], wanted: bool) -> None:
        c.conn.state.alerts = wanted

    @action
    def place_bid(self, c: Context[Lots, Guest], lot: str, price: int) -> None:
        offered, name = self.offered(lot), c.conn.state.name
        if price <= offered.price:
            raise UserError(f"the highest bid is {offered.price}", code="bid_too_low")
        before, outbid = offered.price, offered.leader
        offered.price, offered.leader = price, name
        bid = Bid(lot, price, name)
        self.show_bid(bid, c.conn)
        if outbid is not None and outbid != name:
            self.alert(bid, outbid)
        if before < offered.reserve <= price:
            self.tell_sellers(bid)

    @action
    def sell(self, c: Context[Lots, Guest], lot: str) -> None:
        offered = self.offered(lot)
        del c.state.lots[lot]
        sold = offered.price >= offered.reserve
        self.tell_sale(Sale(lot, offered.price, offered.leader if sold else None))

    def offered(self, lot: str) -> Lot:
        if lot not in self.state.lots:
            raise UserError(f"there is no {lot}", code="no_such_lot")
        return self.state.lots[lot]

    def show_bid(self, bid: Bid, by: Connection[Guest]) -> None:
        """To those who watch the lot and want to see such a price; the bidder has it already."""
        raise NotImplementedError

    def alert(self, bid: Bid, outbid: str) -> None:
        """To who was outbid, on every device where it is wanted, watching or not."""
        raise NotImplementedError

    def tell_sellers(self, bid: Bid) -> None:
        """A reserve price is nobody else's business."""
        raise NotImplementedError

    def tell_sale(self, sale: Sale) -> None:
        """To those who watch the lot, whatever price they wanted to see, its buyer and the sellers."""
        raise NotImplementedError


class LoopAuction(Auction):
    def show_bid(self, bid: Bid, by: Connection[Guest]) -> None:
        for conn in self.conns:
            guest = conn.state
            sees = guest.up_to is None or bid.price <= guest.up_to
            if conn is not by and bid.lot in guest.watches and sees:
                conn.send("bid", bid)

    def alert(self, bid: Bid, outbid: str) -> None:
        for conn in self.conns:
            if conn.state.name == outbid and conn.state.alerts:
                conn.send("outbid", bid)

    def tell_sellers(self, bid: Bid) -> None:
        for conn in self.conns:
            if conn.state.role == "seller":
                conn.send("reserveReached", bid)

    def tell_sale(self, sale: Sale) -> None:
        for conn in self.conns:
            guest = conn.state
            if sale.lot in guest.watches or guest.name == sale.to or guest.role == "seller":
                conn.send("sold", sale)


SELLERS: Final = where(role="seller")
ALERTED: Final = where(alerts=True)


class FilterAuction(Auction):
    def show_bid(self, bid: Bid, by: Connection[Guest]) -> None:
        sees = where(up_to__is=None) | where(up_to__ge=bid.price)
        self.broadcast("bid", bid, where=where(watches__has=bid.lot) & sees, exclude=by)

    def alert(self, bid: Bid, outbid: str) -> None:
        self.broadcast("outbid", bid, where=ALERTED & where(name=outbid))

    def tell_sellers(self, bid: Bid) -> None:
        self.broadcast("reserveReached", bid, where=SELLERS)

    def tell_sale(self, sale: Sale) -> None:
        told = where(watches__has=sale.lot) | SELLERS
        if sale.to is not None:
            told |= where(name=sale.to)
        self.broadcast("sold", sale, where=told)


async def show(form: type[Auction]) -> list[str]:
    """Return what four guests are sent, in lines."""
    told: list[str] = []
    registry = Registry(form, store=MemoryStore())
    await registry.start()
    auction = registry.client.get_or_create(form, ["saturday"])
    guests = {name: auction.connect({"name": name}) for name in ("ann", "bob", "cleo")}
    guests["dora"] = auction.connect({"name": "dora", "role": "seller"})

    def hear(name: str, event: str, data: dict[str, Any]) -> None:
        told.append(f"{name}: {event} {data['lot']} {data['price']}")

    for name, guest in guests.items():
        for event in ("bid", "outbid", "reserveReached", "sold"):
            guest.on(event, lambda data, name=name, event=event: hear(name, event, data))
    ann, bob, cleo, dora = guests.values()
    async with ann, bob, cleo, dora:
        await dora.offer("vase", 100)
        await cleo.watch("vase", 60)
        for bidder, price in ((ann, 50), (bob, 70), (ann, 110)):
            await bidder.place_bid("vase", price)
        await dora.sell("vase")
        for guest in guests.values():
            # The answer comes behind everything that was sent before.
            await guest.want_alerts(False)
    await registry.stop()
    return sorted(told)


async def main() -> None:
    looped, filtered = [await show(form) for form in (LoopAuction, FilterAuction)]
    print(*filtered, sep="\n")
    print("the loop sends", "the same" if looped == filtered else f"something else: {looped}")


if __name__ == "__main__":
    asyncio.run(main())
