"""How often each limit of a server was run into: plain counters, for whoever shows them.

A counter has the name of its limit in `ServerConfig`, so that it says which number to change.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

__all__ = ["COUNTED", "new_counters"]

COUNTED: Final = (
    "allowed_origins",
    "connect_timeout_s",
    "dead_peer_timeout_s",
    "idle_timeout_s",
    "max_actions_per_s",
    "max_calls_in_flight",
    "max_calls_recorded",
    "max_connections",
    "max_connections_per_address",
    "max_connects_per_s",
    "max_message_bytes",
    "max_params_bytes",
    "max_pending_messages",
    "max_reply_bytes",
    "max_subscriptions",
)
"""What is counted. A limit on bytes counts with that on how many there are, where both end the same way."""


def new_counters() -> Counter[str]:
    """Return the counters, all of them there and 0: who shows them shows also what has not happened."""
    return Counter(dict.fromkeys(COUNTED, 0))
