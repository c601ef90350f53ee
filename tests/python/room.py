"""An actor that tells of everything that happens to it, for the tests of sessions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from ringcast import Actor, Context, UserError, action
from ringcast.router import Router


@dataclass
class Member:
    name: str = "nobody"


@dataclass
class Log:
    lines: list[str] = field(default_factory=list)


class Room(Actor[Log, Member]):
    """Tells of everything that happens to it."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.runs = 0

    def on_before_connect(self, c: Context[Log, Member], params: Any) -> None:
        if isinstance(params, dict) and "refuse" in params:
            raise UserError("not you", code="forbidden", metadata={"who": params["refuse"]})
        if isinstance(params, dict) and "break" in params:
            raise RuntimeError("a secret")

    def create_conn_state(self, c: Context[Log, Member], params: Member | None) -> Member:
        return params or Member()

    def on_connect(self, c: Context[Log, Member]) -> None:
        c.state.lines.append(f"connect {c.conn.state.name} {len(c.conns)}")
        c.broadcast("joined", c.conn.state.name)
        c.conn.send("welcome", c.conn.state.name)

    def on_disconnect(self, c: Context[Log, Member]) -> None:
        c.state.lines.append(f"disconnect {c.conn.state.name}")
        c.broadcast("left", c.conn.state.name)

    def can_subscribe(self, c: Context[Log, Member], event: str) -> bool:
        return not event.startswith("private")

    @action
    def say(self, c: Context[Log, Member], *data: Any) -> int:
        self.runs += 1
        c.broadcast("said", *data)
        return self.runs

    @action
    async def wait_a_turn(self, c: Context[Log, Member], *data: Any) -> int:
        await asyncio.sleep(0)
        self.runs += 1
        c.broadcast("said", *data)
        return self.runs

    @action
    def lines(self, c: Context[Log, Member]) -> list[str]:
        return c.state.lines

    @action
    def runs_so_far(self, c: Context[Log, Member]) -> int:
        return self.runs

    @action
    async def wait(self, c: Context[Log, Member], result: Any) -> Any:
        self.runs += 1
        await self.release.wait()
        return result

    @action
    def let_go(self, c: Context[Log, Member]) -> None:
        self.release.set()

    @action
    def kick(self, c: Context[Log, Member], name: str) -> None:
        conn = c.conns.find(name=name)
        assert conn is not None
        conn.send("kicked", "go")
        conn.disconnect("be nice")
        c.broadcast("after", 1)

    @action
    def fail(self, c: Context[Log, Member], kind: str) -> Any:
        if kind == "user":
            raise UserError("no", code="nope", metadata={"a": [1]})
        if kind == "result":
            return object()
        if kind == "metadata":
            raise UserError("no", metadata=object())
        if kind == "surrogate":
            raise UserError("no \ud800", code="n\udfff", metadata="\ud800")
        raise RuntimeError("a secret")


def actor_of(router: Router) -> Room:
    (instance,) = router._directory
    assert isinstance(instance.actor, Room)
    return instance.actor
