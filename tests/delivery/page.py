"""What `ringcast serve page:registry` runs for the test of stores that are put back: lines, told to all."""

from __future__ import annotations

from ringcast import Actor, Context, Registry, action

__all__ = ["Page", "registry"]


class Page(Actor):
    durable = True

    @action
    def write(self, c: Context, number: int) -> None:
        c.broadcast("written", number)

    @action
    def note(self, c: Context, number: int) -> None:
        c.broadcast("noted", number)

    @action
    def read(self, c: Context) -> str:
        return "nothing is sent, and nothing changes"


registry = Registry(Page)
