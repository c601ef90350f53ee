"""The Python client: handles to actors, calls, connections that come back by themselves."""

from .client import ActorAccess, Client
from .config import ClientConfig
from .connection import Connection
from .endpoint import Endpoint, HttpEndpoint
from .handle import ActorHandle
from .lifecycle import Params, Status
from .stream import EventStream

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
]
