"""How many clients a second are let in, beside a bare picows server.

From the first connect to the last answer: socket, upgrade, connect message, and for Ringcast a session with a
subscription. The limit on connects (max_connects_per_s) is off.

\b
Example:
  ringcast bench connect --connections 4000
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from .cores import Cores
from .figures import table
from .question import Question, option
from .rig import Bare, Load, Server, faultless, running_or_bare

__all__ = ["QUESTION"]

_ACTOR: Final = "feed"
_KEY: Final = "connect"
_BARE: Final = "bare picows"
_VARIANTS: Final = ("ringcast", _BARE)
_WARM_UP: Final = 200


@dataclass(frozen=True, slots=True)
class Options:
    connections: int = option(4000, "How many connect at once.", 1)


def _run(options: Options, cores: Cores, variant: str) -> dict[str, Any]:
    with running_or_bare(cores, variant == _BARE) as (place, load):
        return _measure(options, place, load)


def _measure(options: Options, place: Server | Bare, load: Load) -> dict[str, Any]:
    connect = {"actor": _ACTOR, "key": [_KEY], "subscriptions": ["tick"]}
    load.open("warm-up", _WARM_UP, place, connect)
    used_s = _cpu_s(place)
    opened = load.open("crowd", options.connections, place, connect)
    figures = faultless(opened["figures"])
    return {
        "connects_per_s": options.connections / opened["progress"]["seconds"],
        "p50_us": opened["progress"]["reached_ms"]["p50"] * 1000,
        "p99_us": opened["progress"]["reached_ms"]["p99"] * 1000,
        "server_cpu_s": _cpu_s(place) - used_s,
        "receiver_cpu_s": figures["cpu_s"],
        "receiver_cpu_share": figures["cpu_share"],
    }


def _cpu_s(place: Server | Bare) -> float:
    used: dict[str, Any] = place.used() if isinstance(place, Bare) else place.status(_ACTOR, _KEY)
    used_s: float = used["cpu_s"]
    return used_s


def _compare(options: Options, medians: dict[str, dict[str, Any]]) -> dict[str, Any]:
    own, bare = (medians[variant]["connects_per_s"] for variant in _VARIANTS)
    return {"rate_to_picows": own / bare}


def _table(medians: dict[str, dict[str, Any]], compared: dict[str, Any]) -> str:
    rows = [
        (
            variant,
            f"{of['connects_per_s']:,.0f}",
            f"{of['server_cpu_s']:.3f}",
            f"{of['receiver_cpu_share']:.2f}",
        )
        for variant, of in medians.items()
    ]
    verdict = f"{compared['rate_to_picows']:.2f} of the bare picows server"
    return f"{table(('', 'connects/s', 'server CPU, s', 'receiver, of its core'), rows)}\n{verdict}"


QUESTION: Final = Question(
    "connect",
    "How many clients a second are let in.",
    Options,
    _VARIANTS,
    _run,
    _compare,
    _table,
    warm_up=_WARM_UP,
)
