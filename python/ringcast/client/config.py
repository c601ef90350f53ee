"""The settings of a client, in one frozen object; what each of them does is said at its field."""

from __future__ import annotations

import asyncio
import random
import ssl
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

__all__ = ["ClientConfig"]

_LONGEST_S: Final = 1e9


@dataclass(frozen=True)
class ClientConfig:
    """How a `Client` connects, waits and gives up. Times are in seconds, sizes in bytes.

    Raises `ValueError` for a value that makes no sense.
    """

    reconnect_first_s: float = 0.5
    """Upper bound of the random delay before the first attempt after a lost network."""
    reconnect_base_s: float = 1.0
    """Upper bound of the random delay before the second attempt; it doubles with every further one."""
    reconnect_max_s: float = 30.0
    """No delay is longer than this, unless a server with very many clients asks for more (up to an hour)."""
    stable_after_s: float = 5.0
    """A connection that lived as long as this starts the next series of attempts at `reconnect_first_s`."""
    connect_timeout_s: float = 10.0
    """Longest time from opening a socket to the server's answer to the connect message."""
    close_timeout_s: float = 5.0
    """Longest time that closing waits for the server, and for a handler that still runs."""
    ping_idle_s: float = 20.0
    """A connection on which nothing arrived for this long is pinged; sooner where the server has promised
    heartbeats and one of them is overdue."""
    ping_reply_s: float = 10.0
    """A server of which nothing comes for this long after a ping is lost; sooner where two heartbeats are
    overdue."""
    http_timeout_s: float = 90.0
    """Longest wait for the answer to a call without a connection; above the server's limit for one action."""
    max_call_attempts: int = 3
    """How often a call without a connection is sent, where the network is lost before its answer comes, a
    proxy has lost the server, or there is no place for what is sent again. The server runs it once. 1: it is
    never sent again."""
    websocket_retry_s: float = 300.0
    """How long after WebSockets were found to be blocked none is tried, and server-sent events are used."""
    max_offline_calls: int = 256
    """Calls that may wait for the network; one more raises `OfflineQueueFull`."""
    max_unanswered_calls: int = 512
    """Calls that are sent and not answered; further ones wait here. A server keeps the answers to so many
    over a lost network (1024, if nothing else is set there)."""
    max_message_bytes: int = 16 * 1024 * 1024
    """Largest message that is taken from the server, and largest answer to a call without a connection."""
    compression: bool = False
    """Whether to offer the server that long messages are compressed, in both directions. Worth it where
    bandwidth costs more than time; `docs/performance.md` has the figures."""
    compress_min_bytes: int = 256
    """Messages to the server that are shorter than this are not compressed."""
    max_unhandled_events: int = 1024
    """Events that may wait for their handlers before the socket is no longer read; 16 times as many while a
    call is unanswered."""
    ssl_context: ssl.SSLContext | None = None
    """For https:// addresses, instead of the system's default."""
    random_source: Callable[[], float] = field(default=random.random, repr=False)
    """Gives a number in [0, 1); injected by tests."""
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep, repr=False)
    """Waits so many seconds between attempts; injected by tests."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name.endswith("_s") and value < 0:
                raise ValueError(f"{name} must not be negative, but is {value}")
            if name.startswith("ping_") and value == 0:
                raise ValueError(f"{name} must be positive")
            is_amount = name.startswith("max_") or name.endswith("_bytes")
            if is_amount and value < 1:
                raise ValueError(f"{name} must be at least 1, but is {value}")
            # Written so that not-a-number, which is neither, is refused as well.
            if name.endswith("_s") and not value <= _LONGEST_S:
                raise ValueError(f"{name} must be at most {_LONGEST_S:g}, but is {value}")
            if is_amount and not value <= sys.maxsize:
                raise ValueError(f"{name} must be a number of things, but is {value}")
