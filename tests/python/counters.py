"""Actors that count, ordinary and durable, for tests of what is saved when."""

from __future__ import annotations

from dataclasses import dataclass

from ringcast import Actor, Context, action

__all__ = ["Count", "Counter", "DurableCounter"]


@dataclass
class Count:
    total: int = 0


class Counter(Actor[Count]):
    @action
    def add(self, c: Context[Count]) -> int:
        c.state.total += 1
        return c.state.total

    @action
    async def add_saved(self, c: Context[Count]) -> str:
        c.state.total += 1
        c.broadcast("counted", c.state.total)
        try:
            await c.save_state()
        except OSError as error:
            return str(error)
        return "saved"

    @action
    async def spoil_and_mend(self, c: Context[Count]) -> str:
        c.broadcast("counted", "before")
        c.state.total = "text"  # type: ignore[assignment]
        try:
            await c.save_state()
        except ValueError as error:
            said = str(error)
        c.state.total = 7
        c.broadcast("counted", "behind")
        await c.save_state()
        return said


class DurableCounter(Counter):
    durable = True
