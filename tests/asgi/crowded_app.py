"""An application that is as full as it may be with one client."""

from __future__ import annotations

from fastapi import FastAPI
from host_app import Room

from ringcast import MemoryStore, Registry, ServerConfig

registry = Registry(Room, store=MemoryStore(), config=ServerConfig(max_connections=1))
app = FastAPI(lifespan=registry.lifespan)
app.mount("/realtime", registry.asgi())
