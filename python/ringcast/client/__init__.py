"""The Python client: handles to actors, calls, connections that come back; async, and without."""

from .client import ActorAccess, Client
from .config import ClientConfig
from .connection import Connection
from .endpoint import Endpoint, HttpEndpoint
from .handle import ActorHandle
from .lifecycle import Params, Status
from .stream import EventStream
from .sync import SyncClient, SyncConnection, SyncHandle, SyncStream

__all__ = [
    "ActorAccess",
    "ActorHandle",
    "Client",
    "ClientConfig",
    "Connection",
    "Endpoint",
    "EventStream",
    "HttpEndpoint",
    "Params",
    "Status",
    "SyncClient",
    "SyncConnection",
    "SyncHandle",
    "SyncStream",
]
