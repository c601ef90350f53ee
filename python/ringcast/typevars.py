"""The two type parameters that actors, contexts and connections share."""

from __future__ import annotations

from typing_extensions import TypeVar

__all__ = ["ConnStateT", "StateT"]

# Defaults, so that `Actor`, `Actor[State]` and `Actor[State, ConnState]` are all complete types.
StateT = TypeVar("StateT", default=None)
"""An actor's saved state."""
ConnStateT = TypeVar("ConnStateT", default=None)
"""The state of each of its connections."""
