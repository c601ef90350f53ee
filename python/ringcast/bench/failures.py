"""How a run ends whose figures do not count."""

from __future__ import annotations

__all__ = ["Disturbed", "Failed"]


class Failed(Exception):  # noqa: N818 - what it says follows
    """A run went wrong, so that its figures do not count."""


class Disturbed(Failed):
    """The load fell behind: something else runs on its core, or it is no match for the server."""
