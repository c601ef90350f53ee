"""What an idle connection costs the server: resident memory, with everything in it.

The growth of the server's resident memory from no connections to all of them, divided by their number. Each
has connected, has a session and a subscription, and then hears nothing but heartbeats. Beside it a bare
picows server.

\b
Example:
  ringcast bench memory --connections 9000
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from .cores import Cores
from .failures import Failed
from .figures import table
from .question import Question, option
from .resident import resident
from .rig import Bare, Load, Server, running_or_bare

__all__ = ["QUESTION"]

_ACTOR: Final = "feed"
_KEY: Final = "memory"
_BARE: Final = "bare picows"
_VARIANTS: Final = ("ringcast", _BARE)
_WARM_UP: Final = 50
"""The first connections pay for what all of them share."""

_SETTLED_BYTES: Final = 65_536
_LOOK_EVERY_S: Final = 0.2
_SETTLE_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Options:
    connections: int = option(2000, "How many connections are idle.", 100)


def _run(options: Options, cores: Cores, variant: str) -> dict[str, Any]:
    with running_or_bare(cores, variant == _BARE, lean=True) as (place, load):
        return _measure(options, place, load)


def _measure(options: Options, place: Server | Bare, load: Load) -> dict[str, Any]:
    connect = {"actor": _ACTOR, "key": [_KEY], "subscriptions": ["tick"]}
    load.open("warm-up", _WARM_UP, place, connect)
    before = _settled(place)
    load.open("idle", options.connections, place, connect)
    after = _settled(place)
    if any(load.figures("idle")["closed"].values()):
        raise Failed("connections were closed while they were idle")
    if after <= before:
        raise Failed(f"the server's memory did not grow with {options.connections} connections: choose more")
    return {
        "bytes_per_connection": (after - before) / options.connections,
        "before_bytes": before,
        "after_bytes": after,
    }


def _settled(place: Server | Bare) -> int:
    """Return the resident memory once it stays as it is. Raises `Failed` when it does not."""
    deadline = time.monotonic() + _SETTLE_TIMEOUT_S
    seen = [0, 0]
    while True:
        if isinstance(place, Bare):
            place.collect()
        else:
            place.call(_ACTOR, _KEY, "collect")
        seen.append(resident(place.pid)[0])
        if max(seen[-3:]) - min(seen[-3:]) <= _SETTLED_BYTES:
            return seen[-1]
        if time.monotonic() > deadline:
            raise Failed(f"the server's memory did not settle within {_SETTLE_TIMEOUT_S:g} s")
        time.sleep(_LOOK_EVERY_S)


def _compare(options: Options, medians: dict[str, dict[str, Any]]) -> dict[str, Any]:
    own, bare = (medians[variant]["bytes_per_connection"] for variant in _VARIANTS)
    return {"bytes_to_picows": own / bare}


def _table(medians: dict[str, dict[str, Any]], compared: dict[str, Any]) -> str:
    rows = [
        (
            variant,
            f"{of['bytes_per_connection']:,.0f}",
            f"{of['before_bytes'] / 1e6:,.1f}",
            f"{of['after_bytes'] / 1e6:,.1f}",
        )
        for variant, of in medians.items()
    ]
    return table(("", "bytes/connection", "without, MB", "with all, MB"), rows)


QUESTION: Final = Question(
    "memory", "What an idle connection costs.", Options, _VARIANTS, _run, _compare, _table, warm_up=_WARM_UP
)
