"""A server that lets few clients in at a time, and keeps account of who tried to get in, and when.

`ringcast serve crowded:registry` runs it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from served import CROWD_CONNECTS_PER_S

from ringcast import Actor, Context, Registry, ServerConfig, action
from ringcast.gateway.intake import Intake

tries: list[tuple[float, bool]] = []
"""When each connect message came, and whether it was let in."""
_admit = Intake.admit


def _admit_and_note(self: Intake, now_s: float) -> int | None:
    wait_ms = _admit(self, now_s)
    tries.append((now_s, wait_ms is None))
    return wait_ms


Intake.admit = _admit_and_note  # type: ignore[method-assign]


@dataclass
class Shouts:
    count: int = 0


class Square(Actor[Shouts]):
    """Where many meet; what is shouted there outlives the server."""

    durable = True

    @action
    def shout(self, c: Context[Shouts], count: int) -> None:
        for _ in range(count):
            c.state.count += 1
            c.broadcast("shouted", c.state.count)

    @action
    def tries(self, c: Context[Shouts]) -> list[tuple[float, bool]]:
        """Return who has tried to get in since this was last asked."""
        so_far = list(tries)
        tries.clear()
        return so_far

    @action
    async def now_s(self, c: Context[Shouts]) -> float:
        """Return the time, as `tries` has it."""
        return asyncio.get_running_loop().time()


registry = Registry(
    Square,
    config=ServerConfig(
        max_connects_per_s=CROWD_CONNECTS_PER_S, heartbeat_s=0.5, dead_peer_timeout_s=10.0, drain_batch=50
    ),
)
