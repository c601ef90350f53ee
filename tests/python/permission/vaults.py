"""Actors that tell secrets to those who may hear them, and their clients, for the tests of permission."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from linked import LinkedSocket, call, eventually, running

from ringcast import Actor, Context, UserError, action, where
from ringcast.connection import Connection
from ringcast.router import Router
from ringcast.wire.protocol import (
    Connected,
    Event,
    Heartbeat,
    Resume,
)

SECRET = ("secret",)
REFUSED = {"code": "subscription_refused", "message": "this connection may not listen for 'secret'"}


@dataclass
class Guest:
    name: str = "nobody"
    role: str = "admin"
    seen: list[str] = field(default_factory=list)


@dataclass
class Count:
    changes: int = 0


class Vault(Actor[Count, Guest]):
    """Tells secrets to admins."""

    asked: ClassVar[list[str]] = []

    def __init__(self) -> None:
        self.held: Guest | None = None

    def allows(self, c: Context[Count, Guest], event: str) -> bool:
        role = c.conn.state.role
        self.asked.append(f"{c.conn.state.name} {event}")
        if role == "unknown":
            raise UserError("who are you?", code="unknown_role")
        if role == "broken":
            raise RuntimeError("a hidden reason")
        return event != "secret" or role == "admin"

    def find(self, c: Context[Count, Guest], name: str) -> Connection[Guest]:
        return next(conn for conn in c.conns if conn.state.name == name)

    @action
    def tell(self, c: Context[Count, Guest], *texts: str) -> None:
        for text in texts:
            c.broadcast("secret", text)

    @action
    def tell_all(self, c: Context[Count, Guest], text: str) -> None:
        c.broadcast("news", text)

    @action
    def tell_named(self, c: Context[Count, Guest], text: str) -> None:
        c.broadcast("secret", text, where=where(name="ann"))

    @action
    def make(self, c: Context[Count, Guest], name: str, role: str) -> None:
        self.find(c, name).state.role = role

    @action
    def make_and_tell(self, c: Context[Count, Guest], name: str, role: str, *texts: str) -> None:
        c.broadcast("secret", "before")
        self.find(c, name).state.role = role
        for text in texts:
            c.broadcast("secret", text)

    @action
    def change_state(self, c: Context[Count, Guest], name: str, role: str) -> None:
        """Change both: `on_state_change` sends something then."""
        c.state.changes += 1
        self.find(c, name).state.role = role

    def on_state_change(self, c: Context[Count, Guest]) -> None:
        c.broadcast("secret", f"change {c.state.changes}")

    @action
    def keep(self, c: Context[Count, Guest], name: str) -> None:
        self.held = self.find(c, name).state

    @action
    def make_kept(self, c: Context[Count, Guest], role: str) -> None:
        assert self.held is not None
        self.held.role = role
        c.broadcast("secret", f"as {role}")

    @action
    def make_kept_only(self, c: Context[Count, Guest], role: str) -> None:
        assert self.held is not None
        self.held.role = role

    @action
    def replace_state(self, c: Context[Count, Guest], name: str, role: str) -> None:
        self.find(c, name).state = Guest(name, role)
        c.broadcast("secret", f"as {role}")

    @action
    async def replace_state_and_tell_from_afar(
        self, c: Context[Count, Guest], name: str, role: str, text: str
    ) -> None:
        self.find(c, name).state = Guest(name, role)
        await asyncio.to_thread(self.broadcast_threadsafe, "secret", text)

    @action
    def whisper(self, c: Context[Count, Guest], name: str, text: str) -> None:
        self.find(c, name).send("secret", text)

    @action
    def look(self, c: Context[Count, Guest]) -> list[str]:
        return sorted(conn.state.role for conn in c.conns)

    @action
    def note(self, c: Context[Count, Guest], name: str, text: str) -> None:
        self.find(c, name).state.seen.append(text)

    @action
    def kick(self, c: Context[Count, Guest], name: str) -> None:
        self.find(c, name).disconnect("out")


class SyncVault(Vault):
    def can_subscribe(self, c: Context[Count, Guest], event: str) -> bool:
        return self.allows(c, event)


class AsyncVault(Vault):
    async def can_subscribe(self, c: Context[Count, Guest], event: str) -> bool:
        await asyncio.sleep(0)
        return self.allows(c, event)


class MixedVault(Vault):
    """Has to look something up for the secrets only."""

    def can_subscribe(self, c: Context[Count, Guest], event: str) -> Any:
        return self.look_up(c, event) if event == "secret" else self.allows(c, event)

    async def look_up(self, c: Context[Count, Guest], event: str) -> bool:
        await asyncio.sleep(0)
        return self.allows(c, event)


class DurableSync(SyncVault):
    durable = True


class DurableAsync(AsyncVault):
    durable = True


ALL = [SyncVault, AsyncVault, MixedVault, DurableSync, DurableAsync]


@asynccontextmanager
async def ann_and_bob(
    vault: type[Vault], events: tuple[str, ...] = SECRET
) -> AsyncIterator[tuple[Router, LinkedSocket, LinkedSocket]]:
    async with running(vault) as router, LinkedSocket(router) as ann, LinkedSocket(router) as bob:
        for client, name in ((ann, "ann"), (bob, "bob")):
            await client.connect(vault.__name__, "a", params={"name": name}, events=events)
        yield router, ann, bob


async def do(router: Router, vault: type[Vault], action: str, *args: Any) -> Any:
    return await call(router, vault.__name__, "a", action, *args)


async def settled(router: Router) -> None:
    """Wait until no hook is being asked about a connection."""
    for instance in router._directory:
        permission = instance.emitter.permission
        assert permission is not None
        await eventually(lambda asking=permission._asking: not asking)


async def until(client: LinkedSocket, text: str) -> list[str]:
    """Return the texts of events up to this one; what is refused meanwhile goes to `told`."""
    got: list[str] = []
    while got[-1:] != [text]:
        message = await client.next()
        if isinstance(message, Heartbeat):
            told.append(message)
        else:
            assert isinstance(message, Event), message
            got.append(message.args[0])
    return got


told: list[Heartbeat] = []


async def refused(client: LinkedSocket) -> Any:
    """Return what the client is told that it may no longer listen for, which has come or comes next."""
    [message] = told or [await client.receive(Heartbeat)]
    told.clear()
    return message.refused_subscriptions


async def come_back(
    router: Router, vault: type[Vault], connected: Connected, *, unconfirmed: tuple[str, ...] = ()
) -> tuple[Connected, LinkedSocket]:
    client = LinkedSocket(router)
    resume = Resume(connected.session, connected.epoch, connected.offset, (), 0, unconfirmed)
    return await client.connect(vault.__name__, "a", resume=resume, events=("secret", "news")), client


@dataclass(frozen=True)
class Fixed:
    name: str = "nobody"
    role: str = "admin"


class FixedVault(Actor[None, Fixed]):
    """Has states that nobody can change, but only replace."""

    durable = True

    def can_subscribe(self, c: Context[None, Fixed], event: str) -> bool:
        return event != "secret" or (c.conn.state.role == "admin" and "secret" not in forbidden)

    @action
    def make(self, c: Context[None, Fixed], name: str, role: str) -> None:
        for conn in c.conns:
            conn.state = Fixed(name, role)

    @action
    def tell(self, c: Context[None, Fixed], text: str) -> None:
        c.broadcast("secret", text)

    @action
    def tell_all(self, c: Context[None, Fixed], text: str) -> None:
        c.broadcast("news", text)


class FixedAsync(FixedVault):
    async def can_subscribe(self, c: Context[None, Fixed], event: str) -> bool:
        await asyncio.sleep(0)
        return super().can_subscribe(c, event)


forbidden: set[str] = set()
"""What the hooks of the two allow nobody, as another version of the class may."""


class Pondering(Vault):
    """Makes up its mind when it is told to, from the second question on."""

    gates: ClassVar[list[asyncio.Future[None]]] = []
    ponders: ClassVar[bool] = False

    async def can_subscribe(self, c: Context[Count, Guest], event: str) -> bool:
        if self.ponders:
            gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.gates.append(gate)
            await gate
        return self.allows(c, event)


class DurablePondering(Pondering):
    durable = True


@asynccontextmanager
async def ponder(count: int = 2) -> AsyncIterator[None]:
    """Have the hook wait when it is asked, so often; it makes up its mind at the end."""
    Pondering.gates.clear()
    Pondering.ponders = True
    yield
    await eventually(lambda: len(Pondering.gates) >= count)
    Pondering.ponders = False
    await decide(count)


async def decide(count: int) -> None:
    await eventually(lambda: len(Pondering.gates) >= count)
    gates, Pondering.gates = Pondering.gates, []
    for gate in gates:
        gate.set_result(None)
