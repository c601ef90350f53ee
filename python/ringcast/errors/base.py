"""The root of all errors; what an author of actors raises, and what is wrong with their classes."""

from __future__ import annotations

from typing import Any

__all__ = ["DefinitionError", "RingcastError", "UserError"]


class RingcastError(Exception):
    """The root of all errors of this package. `code` is stable; `message` is for people."""

    code: str = "error"

    def __init__(self, message: str, *, code: str | None = None, metadata: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = metadata
        if code is not None:
            self.code = code

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON-safe form that goes to a client; `metadata` is left out when it is None."""
        wire: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.metadata is not None:
            wire["metadata"] = self.metadata
        return wire


class UserError(RingcastError):
    """Raise this in an action or a hook to tell the client why: all three arrive as given.

    Raises `TypeError` for a code that is no string, and `ValueError` for an empty one: no client could read
    such an error.
    """

    code = "user_error"

    def __init__(self, message: str, *, code: str | None = None, metadata: Any = None) -> None:
        if code is not None and not isinstance(code, str):
            raise TypeError(f"the code of a UserError is a str, not {code!r:.100}")
        if code == "":
            raise ValueError("the code of a UserError is not empty")
        super().__init__(message, code=code, metadata=metadata)


class DefinitionError(RingcastError):
    """A class, an action or a registry is not well formed; raised where it is defined."""

    code = "invalid_definition"
