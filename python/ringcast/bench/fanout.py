"""How fast broadcasts reach everybody, beside the limit of the machine.

One actor, or several, sends events to all connections, --burst of them in each turn of the event loop. The
limit is a native loop that calls send with ready-made frames, as many a call, on as many sockets. With
--messages 1 the figure is the time from one broadcast until the last connection has it.

\b
Examples:
  ringcast bench fanout --connections 1000 --burst 30
  ringcast bench fanout --connections 9000 --messages 1 --json
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any, Final

from .actors import EVENT_BYTES, FIRST, RING
from .cores import Cores
from .failures import Failed
from .figures import microseconds, table
from .question import Question, option
from .rig import Limit, Load, Server, complete, disorder, running

__all__ = ["QUESTION", "Options"]

_LIMIT: Final = "limit"
_VARIANTS: Final = ("ringcast", _LIMIT)
_SINGLE_ROUNDS: Final = 15
"""Of one broadcast at a time: the median of so many."""

_WARM_UP: Final = 200
_LIMIT_S: Final = 2.0
"""The limit does not need every message: at one frame a call it would take minutes."""

_RETAINED: Final = 1024
"""So many events fit into the ring, however large they are: this is about sending, not about rings."""

_LATENCY_EVERY: Final = 101
"""The latency of every hundredth, or recording it would be much of what the load does."""

_FEW_DELIVERIES: Final = 100_000
"""So many the limit comes to in any case until it is stopped: some of these have their latency recorded."""


@dataclass(frozen=True, slots=True)
class Options:
    connections: int = option(1000, "How many connections receive.", 1)
    messages: int = option(20_000, "How many events each of them gets.", 1)
    payload: int = option(128, "How many bytes the arguments of an event take.", 32)
    burst: int = option(1, "How many broadcasts there are in one turn of the event loop.", 1)
    actors: int = option(1, "How many actors send; each connection listens to one of them.", 1)
    drain: bool = option(False, "Wait after each burst until it was offered to every connection.")
    others: int = option(0, "How many more connections the first actor has that listen to something else.")
    elsewhere: int = option(0, "How many connections another actor has that sends nothing.")
    filter: bool = option(False, "Let the others listen as well, and keep the events from them by a filter.")
    changes: bool = option(False, "With a filter: change one connection's state before each event.")
    limit_burst: int = option(0, "How many frames a call the limit sends; 0 is as many as a burst has.")

    def __post_init__(self) -> None:
        if self.changes and not self.filter:
            raise Failed("--changes is of connections that a --filter looks at: choose both")
        if self.drain and self.actors > 1:
            raise Failed("--drain is for a single actor: leave it out, or --actors")

    @property
    def rounds(self) -> int:
        return _SINGLE_ROUNDS if self.messages == 1 else 1

    @property
    def latency_every(self) -> int:
        """More often where there are few: the limit may be stopped after some dozens of them."""
        few = _FEW_DELIVERIES // self.connections
        return max(1, min(_LATENCY_EVERY, self.messages // _LATENCY_EVERY, few))


@dataclass(slots=True)
class Sent:
    """One flood: when it was begun, and how far it went."""

    began_ns: int
    messages: int


class _Ringcast:
    """A server's actors, as the sending side."""

    def __init__(self, server: Server, options: Options) -> None:
        self.place = server
        filtered = "changingFeed" if options.changes else "filteredFeed"
        self.actor = filtered if options.filter else "feed"
        self._options = options
        # More actors than connections would have nobody to send to.
        count = min(options.actors, options.connections)
        self.shares = {
            f"actor {number}": len(range(number, options.connections, count)) for number in range(count)
        }

    def flood(self, first: int, messages: int) -> Sent:
        options, keys = self._options, list(self.shares)
        burst = min(options.burst, messages)
        if len(keys) == 1:
            began_ns = self.place.call(self.actor, keys[0], "flood", messages, burst, options.drain)
        else:
            began_ns = self.place.call(self.actor, keys[0], "flood_all", keys, messages, burst)
        return Sent(began_ns, messages)

    def used_s(self) -> float:
        """Return the processor time of the last flood, after it was received.

        Between its beginning and the answer is one call, whose cost is taken off, as the next one shows it.
        """
        key = next(iter(self.shares))
        first, second = (self.place.status(self.actor, key) for _ in range(2))
        return flood_cpu_s(first, second)


class _Limit:
    """The limit, as the sending side."""

    def __init__(self, limit: Limit, options: Options) -> None:
        self.place = limit
        self.actor = _LIMIT
        self._options = options
        self._used_s = 0.0
        self.shares = {_LIMIT: options.connections}

    def flood(self, first: int, messages: int) -> Sent:
        options = self._options
        burst = min(options.limit_burst or options.burst, messages)
        sent = self.place.flood(
            first=first, messages=messages, burst=burst, payload=options.payload, seconds=_LIMIT_S
        )
        self._used_s = sent["cpu_s"]
        return Sent(sent["began_ns"], sent["last"] - first + 1)

    def used_s(self) -> float:
        """Return the processor time of the last flood."""
        return self._used_s


def _run(options: Options, cores: Cores, variant: str) -> dict[str, Any]:
    if variant == _LIMIT:
        with Limit(cores.server) as limit, Load(cores.load) as load:
            return _measure(options, _Limit(limit, options), load)
    ring = ("--ring-bytes", str(max(RING.max_bytes, (options.payload + EVENT_BYTES) * _RETAINED)))
    with running(cores, "--payload", str(options.payload), *ring) as (server, load):
        side = _Ringcast(server, options)
        silent = []
        if options.elsewhere:
            connect = {"actor": side.actor, "key": ["elsewhere"], "params": {"wanted": True}}
            load.open("elsewhere", options.elsewhere, server, {**connect, "subscriptions": ["tick"]})
            silent.append("elsewhere")
        if options.others:
            connect = {"actor": side.actor, "key": [next(iter(side.shares))], "params": {"wanted": False}}
            name = "tick" if options.filter else "pace"
            load.open("others", options.others, server, {**connect, "subscriptions": [name]})
            silent.append("others")
        figures = _measure(options, side, load)
        for group in silent:
            if (heard := load.figures(group)["events"]) != 0:
                raise Failed(f"{group}: {heard} events reached connections that they are not for")
        return figures


def _measure(options: Options, side: _Ringcast | _Limit, load: Load) -> dict[str, Any]:
    for key, count in side.shares.items():
        connect = {"actor": side.actor, "key": [key], "subscriptions": ["tick"], "params": {"wanted": True}}
        every = options.latency_every
        load.open(key, count, side.place, connect, whole=True, next=[FIRST], latency_every=every)
    counter = FIRST
    warm = side.flood(counter, min(options.messages, _WARM_UP))
    counter += warm.messages
    _received(load, side, counter - 1)
    rounds = []
    for _ in range(options.rounds):
        for key in side.shares:
            load.do("measure", key)
        sent = side.flood(counter, options.messages)
        counter += sent.messages
        groups = _received(load, side, counter - 1)
        used_s = side.used_s()
        figures = _round(options, sent, groups, _late(load, side))
        rounds.append({**figures, "server_cpu_s": used_s, "server_cpu_share": used_s / figures["seconds"]})
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def flood_cpu_s(first: dict[str, Any], second: dict[str, Any]) -> float:
    """Return the processor time of a flood, from two statuses behind it, one right after the other."""
    call_s = second["cpu_s"] - first["cpu_s"]
    return max(0.0, float(first["cpu_s"] - first["flood_began_cpu_s"] - call_s))


def _received(load: Load, side: _Ringcast | _Limit, counter: int) -> list[dict[str, Any]]:
    """Wait until every connection has got that far, with nothing lost; return the figures of all."""
    return [complete(load.receive(key, "tick", counter)["figures"]) for key in side.shares]


def _late(load: Load, side: _Ringcast | _Limit) -> dict[str, float | None]:
    """Return percentiles of the latency of all connections, whichever actor they listen to."""
    first, *others = side.shares
    late = microseconds(load.do("report", first, **{"with": others})["figures"]["latency_ms"])
    if late["p50_us"] is None:
        raise Failed("too few events: none of them was one of those whose latency is recorded")
    return late


def _round(
    options: Options, sent: Sent, groups: list[dict[str, Any]], late: dict[str, float | None]
) -> dict[str, Any]:
    seconds = (max(figures["last_ns"] for figures in groups) - sent.began_ns) / 1e9
    return {
        "deliveries_per_s": sum(figures["events"] for figures in groups) / seconds,
        "events": sum(figures["events"] for figures in groups),
        "seconds": seconds,
        **late,
        # All groups are one process: its time since the first of them was asked to count.
        "receiver_cpu_s": max(figures["cpu_s"] for figures in groups),
        **disorder(groups),
        "receiver_cpu_share": max(figures["cpu_share"] for figures in groups),
    }


def _compare(options: Options, medians: dict[str, dict[str, Any]]) -> dict[str, Any]:
    own, limit = medians["ringcast"], medians[_LIMIT]
    return {
        "limit_per_s": limit["deliveries_per_s"],
        "rate_to_limit": own["deliveries_per_s"] / limit["deliveries_per_s"],
        "until_last_us": own["seconds"] * 1e6 if options.messages == 1 else None,
        "until_last_to_limit": own["seconds"] / limit["seconds"] if options.messages == 1 else None,
        "server_ns_per_delivery": own["server_cpu_s"] / own["events"] * 1e9,
        "limit_ns_per_delivery": limit["server_cpu_s"] / limit["events"] * 1e9,
    }


def _table(medians: dict[str, dict[str, Any]], compared: dict[str, Any]) -> str:
    rows = [
        (
            variant,
            f"{of['deliveries_per_s']:,.0f}",
            f"{of['seconds'] * 1000:,.2f}",
            f"{of['p50_us'] / 1000:.2f} / {of['p99_us'] / 1000:.2f}",
            f"{of['server_cpu_share']:.2f}",
            f"{of['receiver_cpu_share']:.2f}",
        )
        for variant, of in medians.items()
    ]
    head = (
        "",
        "deliveries/s",
        "until the last, ms",
        "latency, ms, p50 / p99",
        "sender, of its core",
        "receiver",
    )
    verdict = f"{compared['rate_to_limit']:.2f} of the limit's rate; no gaps, no duplicates, all in order"
    if compared["until_last_to_limit"] is not None:
        verdict = f"{compared['until_last_to_limit']:.2f} times the limit's time until the last; {verdict}"
    return f"{table(head, rows)}\n{verdict}"


QUESTION: Final = Question(
    "fanout", "Broadcasts to many connections, beside the limit.", Options, _VARIANTS, _run, _compare, _table
)
