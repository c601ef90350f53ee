"""How often each limit of a server was run into: plain counters, for whoever shows them, and what is said.

A counter has the name of its limit in `ServerConfig`, so that it says which number to change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from ..errors import RateLimited, RingcastError, SubscriptionRefused, TooManyCalls, TooManyFilters
from ..wire.topics import MAX_TOPICS_BYTES, bytes_of, is_filtered

if TYPE_CHECKING:
    from ..config import ServerConfig

__all__ = ["COUNTED", "new_counters", "too_fast", "too_many_calls", "too_many_topics"]

COUNTED: Final = (
    "allowed_origins",
    "connect_timeout_s",
    "dead_peer_timeout_s",
    "idle_timeout_s",
    "max_actions_per_s",
    "max_actors",
    "max_attributes_bytes",
    "max_calls",
    "max_calls_in_flight",
    "max_calls_per_address",
    "max_calls_recorded",
    "max_connections",
    "max_connections_per_address",
    "max_connects_per_s",
    "max_filters_per_actor",
    "max_filters_per_connection",
    "max_keyed_answers",
    "max_message_bytes",
    "max_params_bytes",
    "max_pending_messages",
    "max_reply_bytes",
    "max_stored_actors",
    "max_subscriptions",
)
"""What is counted. A limit on bytes counts with that on how many there are, where both end the same way."""


def new_counters() -> Counter[str]:
    """Return the counters, all of them there and 0: who shows them shows also what has not happened."""
    return Counter(dict.fromkeys(COUNTED, 0))


def too_fast(limits_hit: Counter[str], most: float, retry_after_ms: int) -> RateLimited:
    """Count a request that comes before its time, and return what its client is told."""
    limits_hit["max_actions_per_s"] += 1
    metadata = {"retry_after_ms": retry_after_ms}
    return RateLimited(f"a connection may ask {most:g} times a second; it did not run", metadata=metadata)


def too_many_calls(limits_hit: Counter[str], most: int, *, runs_too_many: bool) -> TooManyCalls:
    """The same for a call while `most` run already, or while too many answers are kept."""
    if runs_too_many:
        limits_hit["max_calls_in_flight"] += 1
        return TooManyCalls(f"{most} calls run already")
    limits_hit["max_calls_recorded"] += 1
    return TooManyCalls("too many answers have not arrived yet, or too large ones")


def too_many_topics(
    limits_hit: Counter[str], config: ServerConfig, topic: str, others: Collection[str]
) -> RingcastError | None:
    """The same for a subscription to `topic` beside others; None where there is room for it."""
    if len(others) >= config.max_subscriptions:
        limits_hit["max_subscriptions"] += 1
        most = config.max_subscriptions
        return SubscriptionRefused(f"a connection listens for at most {most} events and filters")
    size = bytes_of(topic)
    # A filter that has more by itself is no filter, which is another error.
    if size <= MAX_TOPICS_BYTES < sum(map(bytes_of, others)) + size:
        limits_hit["max_subscriptions"] += 1
        return SubscriptionRefused(
            f"the events and filters of a connection take at most {MAX_TOPICS_BYTES} bytes"
        )
    most = config.max_filters_per_connection
    if is_filtered(topic) and sum(map(is_filtered, others)) >= most:
        limits_hit["max_filters_per_connection"] += 1
        return TooManyFilters(f"a connection listens with at most {most} different filters")
    return None
