"""Ringcast: actors hold state and answer actions; their events stream to every connected client, in order.

Write a subclass of `Actor`, put it into a `Registry`, and serve that; connect with `Client`, or with
`SyncClient` where nothing is async.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors
from .action import action
from .actor import Actor
from .config import ServerConfig
from .connection import Connection
from .context import Context
from .errors import RingcastError, UserError
from .filters import attribute, where
from .registry import Registry
from .request import Request
from .schedule import ScheduledAction
from .store import MemoryStore, SqliteStore
from .tickets import Tickets

if TYPE_CHECKING:
    from .client import Client, SyncClient

__all__ = [
    "Actor",
    "Client",
    "Connection",
    "Context",
    "MemoryStore",
    "Registry",
    "Request",
    "RingcastError",
    "ScheduledAction",
    "ServerConfig",
    "SqliteStore",
    "SyncClient",
    "Tickets",
    "UserError",
    "action",
    "attribute",
    "errors",
    "where",
]


def __getattr__(name: str) -> Any:
    # A server has no need of the client's dependencies; who names the client gets it.
    if name in ("Client", "SyncClient"):
        from . import client  # noqa: PLC0415

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
