"""A server in this process, as tests of limits have it."""

from __future__ import annotations

from dataclasses import dataclass

from ringcast import Registry

__all__ = ["ServedHere"]


@dataclass(frozen=True)
class ServedHere:
    """Where it is, and what it serves."""

    url: str
    registry: Registry

    @property
    def hit(self) -> dict[str, int]:
        """The limits that were run into so far."""
        return {name: times for name, times in self.registry.router.limits_hit.items() if times}
