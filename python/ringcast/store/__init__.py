"""Where actors are kept while they do not run: the interface, the in-memory store and the SQLite store.

What a state or an event means is the actor's business: a store keeps bytes.
"""

from __future__ import annotations

from .interface import JournalCorrupt, StateCorrupt, Store
from .memory import MemoryStore
from .records import (
    ANSWERS_KEPT,
    EPOCHS_KEPT,
    REPLIES_KEPT,
    CallAnswered,
    Change,
    ConnStateChanged,
    DestroyBegun,
    EventAppended,
    EventReaddressed,
    Replied,
    Scheduled,
    ScheduledCall,
    SessionEnded,
    SessionOpened,
    StateChanged,
    StoredActor,
    StoredEvent,
    StoredSession,
    StoredStream,
    StreamBegun,
    StreamContinued,
    Subscribed,
    Subscription,
    Trimmed,
    Unscheduled,
    Unsubscribed,
)
from .sqlite import SqliteStore

__all__ = [
    "ANSWERS_KEPT",
    "EPOCHS_KEPT",
    "REPLIES_KEPT",
    "CallAnswered",
    "Change",
    "ConnStateChanged",
    "DestroyBegun",
    "EventAppended",
    "EventReaddressed",
    "JournalCorrupt",
    "MemoryStore",
    "Replied",
    "Scheduled",
    "ScheduledCall",
    "SessionEnded",
    "SessionOpened",
    "SqliteStore",
    "StateChanged",
    "StateCorrupt",
    "Store",
    "StoredActor",
    "StoredEvent",
    "StoredSession",
    "StoredStream",
    "StreamBegun",
    "StreamContinued",
    "Subscribed",
    "Subscription",
    "Trimmed",
    "Unscheduled",
    "Unsubscribed",
]
