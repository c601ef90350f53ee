"""How many actions are answered a second: calls over one connection, and over many.

Each connection has --burst calls on their way at a time, and begins the next when a reply comes. The action
returns its argument; messages are JSON.

\b
Example:
  ringcast bench actions --connections 64 --burst 32
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ..config import ServerConfig
from .cores import Cores
from .failures import Failed
from .figures import microseconds, p50_p99, table
from .question import Question, option
from .rig import disorder, faultless, running

__all__ = ["QUESTION"]

_ACTOR: Final = "feed"
_KEY: Final = "actions"
_GROUP: Final = "callers"
_VARIANTS: Final = ("one", "many")
_WARM_UP: Final = 2000
_TIMEOUT_S: Final = 60
_CALL_BYTES: Final = 256
"""What a call takes beside its argument, generously."""


@dataclass(frozen=True, slots=True)
class Options:
    connections: int = option(64, "How many connections call, where it is many.", 1)
    messages: int = option(50_000, "How many calls there are.", 1)
    payload: int = option(32, "How many bytes of JSON the argument takes.", 2)
    burst: int = option(32, "How many calls of a connection are on their way at a time.", 1)

    def __post_init__(self) -> None:
        most = ServerConfig().max_message_bytes - _CALL_BYTES
        if self.payload > most:
            raise Failed(
                f"an argument of {self.payload:,} bytes is too large for a message to the server: "
                f"--payload is {most:,} at most"
            )


def _run(options: Options, cores: Cores, variant: str) -> dict[str, Any]:
    count = 1 if variant == "one" else options.connections
    argument = "x" * (options.payload - 2)
    call: dict[str, Any] = {
        "action": "echo",
        "args": [argument],
        "reply": argument,
        "pipeline": options.burst,
        "seconds": _TIMEOUT_S,
        "timeout_s": _TIMEOUT_S,
    }
    with running(cores) as (server, load):
        load.open(_GROUP, count, server, {"actor": _ACTOR, "key": [_KEY], "subscriptions": []})
        load.do("call", _GROUP, **call, total=min(options.messages, _WARM_UP))
        used_s = server.status(_ACTOR, _KEY)["cpu_s"]
        called = load.do("call", _GROUP, **call, total=options.messages)
        used_s = server.status(_ACTOR, _KEY)["cpu_s"] - used_s
    figures = faultless(called["figures"])
    replies = figures["call_ms"]["count"]
    if replies != options.messages:
        raise Failed(f"{replies} replies to {options.messages} calls")
    return {
        "actions_per_s": replies / called["progress"]["seconds"],
        **microseconds(figures["call_ms"]),
        "round_trip_ms": figures["call_ms"],
        **disorder([figures]),
        "server_cpu_s": used_s,
        "receiver_cpu_s": figures["cpu_s"],
        "receiver_cpu_share": figures["cpu_share"],
        "server_us_per_action": used_s / replies * 1e6,
    }


def _compare(options: Options, medians: dict[str, dict[str, Any]]) -> dict[str, Any]:
    one, many = (medians[variant]["actions_per_s"] for variant in _VARIANTS)
    return {"many_to_one": many / one}


def _table(medians: dict[str, dict[str, Any]], compared: dict[str, Any]) -> str:
    rows = [
        (
            variant,
            f"{of['actions_per_s']:,.0f}",
            p50_p99(of["round_trip_ms"]),
            f"{of['server_us_per_action']:.1f}",
            f"{of['server_cpu_s']:.3f}",
            f"{of['receiver_cpu_share']:.2f}",
        )
        for variant, of in medians.items()
    ]
    head = ("connections", "actions/s", "round trip, ms, p50 / p99", "µs an action", "server CPU, s")
    return table((*head, "receiver, of its core"), rows)


QUESTION: Final = Question("actions", "Action round trips.", Options, _VARIANTS, _run, _compare, _table)
