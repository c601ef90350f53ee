"""The four actors of `ringcast demo`, one for each way of using events.

Running them is the work of `ringcast.cli.demo`.
"""

from __future__ import annotations

from ..config import ServerConfig
from ..registry import Registry
from ..store import MemoryStore
from .chat import ChatRoom
from .game import GameRoom
from .news import NewsRoom
from .ticker import Ticker

__all__ = ["ChatRoom", "GameRoom", "NewsRoom", "Ticker", "registry"]

registry = Registry(ChatRoom, GameRoom, NewsRoom, Ticker, store=MemoryStore(), config=ServerConfig(docs=True))
"""All four; nothing is kept when the process ends."""
