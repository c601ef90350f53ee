"""Actors that show something about the server itself: they count, break where they are told to, and wait.

The rooms, and the registry that all of them are in, are in `actors.py`.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, ClassVar

import pydantic

from ringcast import Actor, Context, action


@dataclass
class Total:
    value: int = 0


class Feed(Actor[Total]):
    """Sends numbered events, and adds up: what runs twice shows."""

    def __init__(self) -> None:
        self.items = 0
        self.connects = 0
        self.released = asyncio.Event()

    def on_connect(self, c: Context[Total]) -> None:
        self.connects += 1

    def on_disconnect(self, c: Context[Total]) -> None:
        c.broadcast("left", c.conn.id)

    @action
    def emit(self, c: Context[Total], count: int) -> None:
        for _ in range(count):
            self.items += 1
            c.broadcast("item", self.items)

    @action
    def add(self, c: Context[Total], amount: int) -> int:
        c.state.value += amount
        return c.state.value

    @action
    async def add_slowly(self, c: Context[Total], amount: int) -> int:
        """Add at once, and answer after `release`."""
        c.state.value += amount
        c.broadcast("adding")
        await self.released.wait()
        c.broadcast("added")
        return c.state.value

    @action
    def release(self, c: Context[Total]) -> None:
        self.released.set()

    @action
    def presence(self, c: Context[Total]) -> list[tuple[str, bool]]:
        """Return each connection's id, and whether its client is there."""
        return [(conn.id, conn.connected) for conn in c.conns]

    @action
    def connects_so_far(self, c: Context[Total]) -> int:
        return self.connects


class ShortFeed(Feed, max_ring_events=16):
    """Retains little."""


class Clumsy(Actor[dict[str, Any], dict[str, str]]):
    """Raises in the hook, the action or the background task that it is told to raise in."""

    def create_state(self, c: Context[Any, Any], input: str | None) -> dict[str, Any]:
        break_in("create_state", input)
        return {"changes": 0}

    def on_before_connect(self, c: Context[Any, Any], params: dict[str, str]) -> None:
        break_in("on_before_connect", params.get("break_in"))

    def create_conn_state(self, c: Context[Any, Any], params: dict[str, str]) -> dict[str, str]:
        break_in("create_conn_state", params.get("break_in"))
        return params

    def on_connect(self, c: Context[Any, Any]) -> None:
        break_in("on_connect", c.conn.state.get("break_in"))

    async def on_disconnect(self, c: Context[Any, Any]) -> None:
        break_in("on_disconnect", c.conn.state.get("break_in"))

    def can_subscribe(self, c: Context[Any, Any], event: str) -> bool:
        break_in("can_subscribe", event)
        return True

    def on_state_change(self, c: Context[Any, Any]) -> None:
        break_in("on_state_change", c.state.get("break_in"))

    def on_before_action_response(self, c: Context[Any, Any], name: str, args: list[Any], result: Any) -> Any:
        break_in("on_before_action_response", result)
        return result

    @action
    def echo(self, c: Context[Any, Any], value: Any) -> Any:
        return value

    @action
    def change(self, c: Context[Any, Any], where: str) -> None:
        c.state["changes"] += 1
        c.state["break_in"] = where

    @action
    def fail(self, c: Context[Any, Any]) -> None:
        break_in("an action", "an action")

    @action
    async def fail_later(self, c: Context[Any, Any]) -> None:
        await asyncio.sleep(0)
        break_in("an action", "an action")

    @action
    def fail_in_background(self, c: Context[Any, Any]) -> None:
        c.spawn(self.fail_later(c))

    @action
    def give_nonsense(self, c: Context[Any, Any]) -> Any:
        return object()

    @action
    def broadcast_reserved(self, c: Context[Any, Any]) -> None:
        c.broadcast("disconnected")

    @action
    def broadcast_nonsense(self, c: Context[Any, Any]) -> None:
        c.broadcast("nonsense", object())


def break_in(here: str, where: object) -> None:
    """Raise if this is the place to."""
    if here == where:
        raise RuntimeError(f"a secret of {here}")


class Strict(Actor):
    """Declares what it sends."""

    class Events:
        placed: Place

    @action
    def place(self, c: Context, x: Any) -> None:
        c.broadcast("placed", Place(x))

    @action
    def misplace(self, c: Context) -> None:
        c.broadcast("plaecd", Place(1))


@dataclass
class Place:
    x: int


class Weighed(pydantic.BaseModel):
    """Counts how often it is written in any encoding."""

    written: ClassVar[int] = 0
    number: int

    @pydantic.model_serializer
    def write(self) -> dict[str, int]:
        Weighed.written += 1
        return {"number": self.number}


class Meter(Actor):
    """Counts the Python work of sending an event: steps on the loop's thread, and how often it is encoded."""

    @action
    def encodings_of_broadcast(self, c: Context, number: int) -> int:
        Weighed.written = 0
        c.broadcast("weighed", Weighed(number=number))
        return Weighed.written

    @action
    def encodings_of_selection(self, c: Context, number: int) -> int:
        Weighed.written = 0
        c.conns.send("weighed", Weighed(number=number))
        return Weighed.written

    @action
    async def work_of_broadcast(self, c: Context) -> tuple[int, int]:
        """Return the steps until `broadcast` returned, and until every connection had been served."""
        with Work() as work:
            c.broadcast("counted", 1)
            in_broadcast = work.steps
            await c.drain()
            return in_broadcast, work.steps

    @action
    def work_of_selection(self, c: Context) -> int:
        """Do what does take work for each connection, if little."""
        with Work() as work:
            c.conns.send("counted", 1)
            return work.steps


class Work:
    """Counts what Python does on this thread in frames that begin meanwhile: instructions, and calls into C.

    Calls alone would miss a loop that makes none.
    """

    def __init__(self) -> None:
        self.steps = 0

    def __enter__(self) -> Work:
        sys.settrace(self._trace)
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        self.steps += event == "opcode"
        return self._trace

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        self.steps += event == "c_call"


@dataclass
class Lines:
    lines: list[str] = field(default_factory=list)


class Ledger(Actor[Lines]):
    """Keeps what is written."""

    def on_stop(self, c: Context[Lines]) -> None:
        c.state.lines.append("stopped")
        c.broadcast("written", "stopped")

    @action
    def write(self, c: Context[Lines], line: str) -> None:
        c.state.lines.append(line)
        c.broadcast("written", line)

    @action
    async def write_when_told(self, c: Context[Lines], port: int, line: str) -> str:
        """Connect to a port of this machine, and write once the other side has closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.read()
        writer.close()
        self.write(c, line)
        return line

    @action
    def read(self, c: Context[Lines]) -> list[str]:
        return c.state.lines


@dataclass
class Guest:
    role: str = "staff"


class Desk(Actor[None, Guest]):
    """Has secrets for its staff, who alone may close it."""

    def create_conn_state(self, c: Context[None, Guest], params: Guest) -> Guest:
        return params

    def can_subscribe(self, c: Context[None, Guest], event: str) -> bool:
        return event != "secret" or c.conn.state.role == "staff"

    def can_call(self, c: Context[None, Guest], action: str) -> bool:
        return action != "close_desk" or (c.has_conn and c.conn.state.role == "staff")

    @action
    def tell(self, c: Context[None, Guest], text: str) -> None:
        c.broadcast("secret", text)
        c.broadcast("news", text)

    @action
    def make_all(self, c: Context[None, Guest], role: str, text: str) -> None:
        """Change the role of everybody, and tell something at once."""
        for conn in c.conns:
            conn.state.role = role
        self.tell(c, text)

    @action
    def close_desk(self, c: Context[None, Guest]) -> str:
        return "closed"
