"""Why an actor cannot be had."""

from __future__ import annotations

from .base import RingcastError

__all__ = [
    "ActorAlreadyExists",
    "ActorDestroyed",
    "ActorError",
    "ActorNotFound",
    "StoreUnavailable",
    "TooManyActors",
    "UnknownActor",
]


class ActorError(RingcastError):
    """An actor cannot be had."""


class ActorNotFound(ActorError):
    code = "actor_not_found"


class ActorAlreadyExists(ActorError):
    code = "actor_already_exists"


class ActorDestroyed(ActorError):
    code = "actor_destroyed"


class UnknownActor(ActorError):
    """No actor of this name is registered."""

    code = "unknown_actor"


class TooManyActors(ActorError):
    """There are as many actors as the server keeps: this one was not created."""

    code = "too_many_actors"


class StoreUnavailable(ActorError):
    """The store of a durable actor takes nothing now: this has not happened, and may go well later."""

    code = "store_unavailable"
