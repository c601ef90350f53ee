"""What tells a state from what it was before, without keeping it: pure."""

from __future__ import annotations

import pickle
from hashlib import blake2b
from types import FunctionType, ModuleType
from typing import Any, Final

__all__ = ["fingerprint"]

_DIGEST_BYTES: Final = 16
_BY_IDENTITY: Final = (type, FunctionType, ModuleType)
"""Types of what is compared by being the same: it is no part of a state that could change."""


def fingerprint(state: Any) -> bytes | None:
    """Return what tells a state from what it was; None for one that cannot be written down."""
    written = _Written()
    try:
        _Writer(written).dump(state)
    except Exception:  # of the author's types, which may raise anything
        return None
    return written.digest.digest()


class _Written:
    """Where a state is written to, to be forgotten."""

    def __init__(self) -> None:
        self.digest = blake2b(digest_size=_DIGEST_BYTES)

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return len(data)


class _Writer(pickle.Pickler):
    def persistent_id(self, value: Any) -> int | None:
        # Classes that are defined in a function could not be written otherwise.
        return id(value) if isinstance(value, _BY_IDENTITY) else None
