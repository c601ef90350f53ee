"""Permission to listen: who loses it gets nothing that is sent afterwards, and is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from linked import TIMEOUT_S, LinkedSocket, call, eventually, resume_from, running

from ringcast import Actor, Context, MemoryStore, SqliteStore, UserError, action, where
from ringcast.connection import Connection
from ringcast.router import Router
from ringcast.store import Store
from ringcast.wire.protocol import (
    Call,
    Connect,
    Connected,
    Error,
    Event,
    Heartbeat,
    Reply,
    Resume,
    Subscribe,
    Unsubscribe,
)
from ringcast.wire.topics import topic_of

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


@pytest.fixture(params=ALL, ids=[cls.__name__ for cls in ALL])
def vault(request: pytest.FixtureRequest) -> type[Vault]:
    found: type[Vault] = request.param
    return found


@pytest.fixture(autouse=True)
def asked() -> list[str]:
    Vault.asked.clear()
    told.clear()
    return Vault.asked


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


# --- withdrawn ----------------------------------------------------------------------------------------------


async def test_what_is_sent_after_the_change_does_not_arrive_and_what_was_sent_before_does(
    vault: type[Vault],
) -> None:
    async with ann_and_bob(vault, ("secret", "news")) as (router, ann, bob):
        await do(router, vault, "make_and_tell", "ann", "guest", "one", "two")
        await do(router, vault, "tell", "three")
        await do(router, vault, "tell_all", "end")
        assert await until(ann, "end") == ["before", "end"]
        assert await refused(ann) == {"secret": REFUSED}
        assert await until(bob, "end") == ["before", "one", "two", "three", "end"]


async def test_the_client_itself_causes_it(vault: type[Vault]) -> None:
    async with ann_and_bob(vault) as (_, ann, _):
        ann.send(Call(1, "make_and_tell", ["ann", "guest", "after"]), Call(2, "look", []))
        assert await until(ann, "before") == ["before"]
        messages = [await ann.next() for _ in range(3)]
        assert [message for message in messages if not isinstance(message, Heartbeat)] == [
            Reply(1, None),
            Reply(2, ["admin", "guest"]),
        ]
        [heartbeat] = [message for message in messages if isinstance(message, Heartbeat)]
        assert heartbeat.refused_subscriptions == {"secret": REFUSED}


async def test_a_reference_that_was_kept_counts(vault: type[Vault]) -> None:
    async with ann_and_bob(vault, ("secret", "news")) as (router, ann, _):
        await do(router, vault, "keep", "ann")
        await do(router, vault, "make_kept", "admin")
        await do(router, vault, "make_kept", "guest")
        await do(router, vault, "tell_all", "end")
        assert await until(ann, "end") == ["as admin", "end"]
        assert await refused(ann) == {"secret": REFUSED}


async def test_another_state_in_its_place_counts(vault: type[Vault]) -> None:
    async with ann_and_bob(vault, ("secret", "news")) as (router, ann, _):
        await do(router, vault, "replace_state", "ann", "admin")
        await do(router, vault, "replace_state", "ann", "guest")
        await do(router, vault, "tell_all", "end")
        assert await until(ann, "end") == ["as admin", "end"]
        assert await refused(ann) == {"secret": REFUSED}


async def test_on_state_change_is_too_late(vault: type[Vault]) -> None:
    async with ann_and_bob(vault, ("secret", "news")) as (router, ann, bob):
        await do(router, vault, "change_state", "bob", "admin")
        await do(router, vault, "change_state", "ann", "guest")
        await do(router, vault, "tell_all", "end")
        assert await until(ann, "end") == ["change 1", "end"]
        assert await refused(ann) == {"secret": REFUSED}
        assert await until(bob, "end") == ["change 1", "change 2", "end"]


async def test_filtered_events_count(vault: type[Vault]) -> None:
    async with ann_and_bob(vault, ("secret", "news")) as (router, ann, _):
        await do(router, vault, "tell_named", "one")
        await do(router, vault, "make", "ann", "guest")
        await do(router, vault, "tell_named", "two")
        await do(router, vault, "tell_all", "end")
        assert await until(ann, "end") == ["one", "end"]
        assert await refused(ann) == {"secret": REFUSED}


async def test_send_needs_no_permission(vault: type[Vault]) -> None:
    async with ann_and_bob(vault, ("secret", "news")) as (router, ann, _):
        await do(router, vault, "make_and_tell", "ann", "guest", "no")
        await do(router, vault, "whisper", "ann", "yes")
        assert await until(ann, "yes") == ["before", "yes"]


async def test_what_another_thread_sends_counts(vault: type[Vault]) -> None:
    async with ann_and_bob(vault, ("secret", "news")) as (router, ann, bob):
        await do(router, vault, "replace_state_and_tell_from_afar", "ann", "owner", "refused, by role")
        await do(router, vault, "replace_state_and_tell_from_afar", "bob", "admin", "one")
        await do(router, vault, "replace_state_and_tell_from_afar", "bob", "guest", "no")
        await do(router, vault, "tell_all", "end")
        assert await until(ann, "end") == ["end"]
        assert await refused(ann) == {"secret": REFUSED}
        assert await until(bob, "end") == ["refused, by role", "one", "end"]
        assert await refused(bob) == {"secret": REFUSED}


@pytest.mark.parametrize(
    ("role", "error"),
    [
        ("unknown", {"code": "unknown_role", "message": "who are you?"}),
        ("broken", {"code": "internal_error", "message": "internal error"}),
    ],
)
async def test_a_hook_that_raises_withdraws(
    vault: type[Vault], role: str, error: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with ann_and_bob(vault) as (router, ann, bob):
        await do(router, vault, "make_and_tell", "ann", role, "after")
        assert await until(bob, "after") == ["before", "after"]
        assert await until(ann, "before") == ["before"]
        assert await refused(ann) == {"secret": error}
        logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        assert logged == (["a: can_subscribe raised RuntimeError"] if role == "broken" else [])


async def test_only_those_who_were_touched_are_asked_again(vault: type[Vault], asked: list[str]) -> None:
    async with ann_and_bob(vault, ("secret", "news")) as (router, ann, bob):
        asked.clear()
        await do(router, vault, "tell", "one", "two")
        assert asked == []
        bob.send(Call(1, "replace_state", ["bob", "guest"]))
        assert await until(ann, "as guest") == ["one", "two", "as guest"]
        await settled(router)
        assert {about for about in asked if about.startswith("ann")} <= {"ann secret", "ann news"}
        asked_of_bob = [about for about in asked if about.startswith("bob")]
        assert sorted(asked_of_bob) == ["bob news", "bob secret"], "each once"
        asked.clear()
        await do(router, vault, "tell", "three")
        assert await until(ann, "three") == ["three"]
        assert asked == [], "what the hook itself looks at is no reason to ask again"


async def test_who_was_allowed_as_another_loses_it_with_the_first_event(vault: type[Vault]) -> None:
    async with running(vault) as router:
        for events in ((), ("news",)):
            async with LinkedSocket(router) as ann:
                name = f"ann{len(events)}"
                params = {"name": name, "role": "guest"}
                await ann.connect(vault.__name__, "a", params=params, events=events)
                await do(router, vault, "make", name, "admin")
                ann.send(Subscribe(1, "secret"))
                assert await ann.receive(Reply) == (1, None)
                # As when it connected: the permission was given in between.
                await do(router, vault, "replace_state", name, "guest")
                await do(router, vault, "tell", "no")
                assert await refused(ann) == {"secret": REFUSED}
                ann.send(Subscribe(2, "news"))
                assert await ann.receive(Reply) == (2, None)
                await do(router, vault, "tell_all", "end")
                assert await until(ann, "end") == ["end"]


async def test_what_was_allowed_at_different_states_is_asked_about_again(
    vault: type[Vault], asked: list[str]
) -> None:
    async with ann_and_bob(vault, ("news",)) as (router, ann, _):
        await do(router, vault, "note", "ann", "a")
        ann.send(Subscribe(1, "secret"))
        assert await ann.receive(Reply) == (1, None)
        asked.clear()
        await do(router, vault, "tell", "one")
        assert await until(ann, "one") == ["one"]
        await settled(router)
        assert [about for about in asked if about.startswith("ann")] == ["ann news", "ann secret"]
        asked.clear()
        await do(router, vault, "tell", "two")
        assert await until(ann, "two") == ["two"]
        assert asked == [], "both are about the same state now"


async def test_an_actor_without_the_hook_has_none_of_this() -> None:
    async with ann_and_bob(Vault) as (router, ann, _):
        await do(router, Vault, "make_and_tell", "ann", "guest", "after")
        assert await until(ann, "after") == ["before", "after"]
        [instance] = router._directory
        assert instance.emitter.permission is None


# --- and given back -----------------------------------------------------------------------------------------


async def test_who_has_it_back_may_subscribe_again(vault: type[Vault]) -> None:
    async with ann_and_bob(vault) as (router, ann, _):
        await do(router, vault, "make_and_tell", "ann", "guest", "one")
        assert await until(ann, "before") == ["before"]
        assert await refused(ann) == {"secret": REFUSED}
        ann.send(Subscribe(1, "secret"))
        assert await ann.receive(Error) == (1, REFUSED)
        await do(router, vault, "make", "ann", "admin")
        await do(router, vault, "tell", "still not")
        ann.send(Subscribe(2, "secret"))
        assert await ann.receive(Reply) == (2, None)
        await do(router, vault, "tell", "again")
        assert await until(ann, "again") == ["again"]


async def test_nothing_happens_to_who_keeps_it(vault: type[Vault]) -> None:
    async with ann_and_bob(vault) as (router, ann, _):
        await do(router, vault, "make_and_tell", "ann", "admin", "one", "two")
        await do(router, vault, "replace_state", "ann", "admin")
        await do(router, vault, "tell", "end")
        assert await until(ann, "end") == ["before", "one", "two", "as admin", "end"]


# --- without a network --------------------------------------------------------------------------------------


async def come_back(
    router: Router, vault: type[Vault], connected: Connected, *, unconfirmed: tuple[str, ...] = ()
) -> tuple[Connected, LinkedSocket]:
    client = LinkedSocket(router)
    resume = Resume(connected.session, connected.epoch, connected.offset, (), 0, unconfirmed)
    return await client.connect(vault.__name__, "a", resume=resume, events=("secret", "news")), client


async def test_who_is_away_gets_what_it_was_entitled_to_at_each_moment(vault: type[Vault]) -> None:
    async with running(vault) as router:
        async with LinkedSocket(router) as client:
            params = {"name": "ann"}
            connected = await client.connect(vault.__name__, "a", params=params, events=("secret", "news"))
        await do(router, vault, "tell", "one")
        await do(router, vault, "make_and_tell", "ann", "guest", "no")
        await do(router, vault, "tell_named", "no")
        await do(router, vault, "tell_all", "end")
        again, client = await come_back(router, vault, connected)
        async with client:
            assert again.session == connected.session
            assert again.replayed == 3 and again.gap is None
            assert again.refused_subscriptions == {"secret": REFUSED}
            assert await until(client, "end") == ["one", "before", "end"]
            await do(router, vault, "tell", "no")
            await do(router, vault, "tell_all", "more")
            assert await until(client, "more") == ["more"]


async def test_who_has_it_back_when_it_returns_listens_from_then_on(vault: type[Vault]) -> None:
    async with running(vault) as router:
        async with LinkedSocket(router) as client:
            params = {"name": "ann"}
            connected = await client.connect(vault.__name__, "a", params=params, events=("secret", "news"))
        await do(router, vault, "make_and_tell", "ann", "guest", "no")
        await settled(router)
        await do(router, vault, "make_and_tell", "ann", "admin", "no")
        again, client = await come_back(router, vault, connected)
        async with client:
            assert again.session == connected.session and again.gap is None
            assert again.refused_subscriptions == {}
            await do(router, vault, "tell", "yes")
            assert await until(client, "yes") == ["before", "yes"]


async def test_what_it_was_told_just_before_the_network_was_lost_it_is_told_again(
    vault: type[Vault],
) -> None:
    async with running(vault) as router, LinkedSocket(router) as client:
        connected = await client.connect(
            vault.__name__, "a", params={"name": "ann"}, events=("secret", "news")
        )
        await do(router, vault, "make_and_tell", "ann", "guest")
        await do(router, vault, "tell", "no")
        again, second = await come_back(router, vault, connected)
        async with second:
            assert again.session == connected.session
            assert again.refused_subscriptions == {"secret": REFUSED}


# --- durable ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Any) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "store.db")


@pytest.mark.parametrize("vault", [DurableSync, DurableAsync])
async def test_a_restart_gives_the_same_answer(vault: type[Vault], store: Store) -> None:
    async with running(vault, store=store) as router, LinkedSocket(router) as client:
        connected = await client.connect(
            vault.__name__, "a", params={"name": "ann"}, events=("secret", "news")
        )
        await do(router, vault, "tell", "one")
        await do(router, vault, "make_and_tell", "ann", "guest", "no")
        await do(router, vault, "tell_named", "no")
        await do(router, vault, "tell_all", "two")
        assert await until(client, "two") == ["one", "before", "two"]
        assert await refused(client) == {"secret": REFUSED}
    async with running(vault, store=store) as router:
        await do(router, vault, "tell", "no")
        await do(router, vault, "tell_all", "end")
        again, client = await come_back(router, vault, connected, unconfirmed=("secret",))
        async with client:
            assert again.session == connected.session and again.gap is None
            assert again.refused_subscriptions == {"secret": REFUSED}
            assert await until(client, "end") == ["one", "before", "two", "end"]


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


@pytest.mark.parametrize("vault", [DurableSync, DurableAsync, FixedVault, FixedAsync])
async def test_who_is_demoted_before_a_restart_gets_nothing_after_it(vault: type[Vault]) -> None:
    store = MemoryStore()
    async with running(vault, store=store) as router, LinkedSocket(router) as client:
        connected = await client.connect(
            vault.__name__, "a", params={"name": "ann"}, events=("secret", "news")
        )
        await do(router, vault, "tell", "one")
        assert await until(client, "one") == ["one"]
        await do(router, vault, "make", "ann", "guest")
    await expect_refusal(vault, store, connected)


@pytest.mark.parametrize("vault", [FixedVault, FixedAsync])
async def test_a_stricter_hook_after_a_restart_counts(vault: type[Vault]) -> None:
    store = MemoryStore()
    async with running(vault, store=store) as router, LinkedSocket(router) as client:
        connected = await client.connect(
            vault.__name__, "a", params={"name": "ann"}, events=("secret", "news")
        )
        await do(router, vault, "tell", "one")
        assert await until(client, "one") == ["one"]
    forbidden.add("secret")
    try:
        await expect_refusal(vault, store, connected)
    finally:
        forbidden.clear()


async def expect_refusal(vault: type[Vault], store: Store, connected: Connected) -> None:
    """After a restart: nothing secret that is sent from then on, the client being away or back."""
    async with running(vault, store=store) as router:
        await do(router, vault, "tell", "no")
        again, client = await come_back(router, vault, connected)
        async with client:
            assert again.session == connected.session and again.gap is None
            assert again.refused_subscriptions == {"secret": REFUSED}
            await do(router, vault, "tell", "no")
            await do(router, vault, "tell_all", "end")
            assert await until(client, "end") == ["one", "end"]


class Ruled(FixedVault):
    """Tells that it starts before it knows who may hear of it."""

    async def on_start(self, c: Context[None, Fixed]) -> None:
        c.broadcast("news", "starting")
        c.broadcast("secret", "starting")
        for _ in range(20):  # turns of the loop, in which the hook could be asked
            await asyncio.sleep(0)
        self.rules = {"news"}

    def can_subscribe(self, c: Context[None, Fixed], event: str) -> bool:
        return event in self.rules or not forbidden


class RuledAsync(Ruled):
    async def can_subscribe(self, c: Context[None, Fixed], event: str) -> bool:
        await asyncio.sleep(0)
        return super().can_subscribe(c, event)


@pytest.mark.parametrize("vault", [Ruled, RuledAsync])
async def test_the_hook_is_asked_about_what_on_start_sends_once_that_has_ended(vault: type[Vault]) -> None:
    store = MemoryStore()
    async with running(vault, store=store) as router, LinkedSocket(router) as client:
        connected = await client.connect(
            vault.__name__, "a", params={"name": "ann"}, events=("secret", "news")
        )
    forbidden.add("secret")
    try:
        async with running(vault, store=store) as router:
            await do(router, vault, "tell", "no")
            again, client = await come_back(router, vault, connected)
            async with client:
                assert again.session == connected.session and again.gap is None
                assert again.refused_subscriptions == {"secret": REFUSED}
                await do(router, vault, "tell_all", "end")
                assert await until(client, "end") == ["starting", "end"]
    finally:
        forbidden.clear()


# --- filters ------------------------------------------------------------------------------------------------


@dataclass
class Moved:
    zone: int


class Plan(Actor[None, Fixed]):
    class Events:
        moved: Moved
        news: str

    asked: ClassVar[list[str]] = []

    def can_subscribe(self, c: Context[None, Fixed], event: str) -> bool:
        self.asked.append(event)
        return event != "moved" or c.conn.state.role == "admin"

    @action
    def make(self, c: Context[None, Fixed], role: str) -> None:
        for conn in c.conns:
            conn.state = Fixed("ann", role)
        c.broadcast("moved", Moved(2))
        c.broadcast("news", role)


class AsyncPlan(Plan):
    async def can_subscribe(self, c: Context[None, Fixed], event: str) -> bool:
        await asyncio.sleep(0)
        return super().can_subscribe(c, event)


@pytest.mark.parametrize("plan", [Plan, AsyncPlan])
async def test_a_name_is_asked_about_once_whatever_it_is_filtered_by(plan: type[Plan]) -> None:
    topics = ["moved", *(topic_of("moved", {"zone": zone}) for zone in range(5))]
    async with running(plan) as router, LinkedSocket(router) as client:
        await client.connect(plan.__name__, "a", events=(*topics, "news"))
        plan.asked.clear()
        await call(router, plan.__name__, "a", "make", "guest")
        assert await until(client, "guest") == ["guest"]
        error = {"code": "subscription_refused", "message": "this connection may not listen for 'moved'"}
        assert await refused(client) == dict.fromkeys(topics, error)
        assert plan.asked == ["moved", "news"]


# --- a hook that takes its time -----------------------------------------------------------------------------


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


@pytest.fixture(params=[Pondering, DurablePondering], ids=["ordinary", "durable"])
def pondering(request: pytest.FixtureRequest) -> Any:
    found: type[Pondering] = request.param
    Pondering.gates.clear()
    yield found
    Pondering.ponders = False


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


async def test_with_a_yes_everything_arrives_once_and_in_order(pondering: type[Vault]) -> None:
    async with ann_and_bob(pondering, ("secret", "news")) as (router, ann, bob):
        await do(router, pondering, "tell", "before")
        async with ponder():
            await do(router, pondering, "note", "ann", "a")
            await do(router, pondering, "tell", "one")
            await do(router, pondering, "tell_all", "news")
            await do(router, pondering, "tell_named", "named")
            await do(router, pondering, "whisper", "ann", "whispered")
            await do(router, pondering, "tell", "two", "three")
            assert await until(bob, "three") == ["before", "one", "news", "two", "three"]
            assert await until(ann, "before") == ["before"]
        await do(router, pondering, "tell", "end")
        assert await until(ann, "end") == ["one", "news", "named", "whispered", "two", "three", "end"]
        assert told == []


async def test_with_a_no_only_what_needs_no_permission_arrives(pondering: type[Vault]) -> None:
    async with ann_and_bob(pondering, ("secret", "news")) as (router, ann, _):
        async with ponder():
            await do(router, pondering, "make_and_tell", "ann", "guest", "no")
            await do(router, pondering, "tell_all", "news")
            await do(router, pondering, "tell_named", "named")
            await do(router, pondering, "whisper", "ann", "whispered")
            await do(router, pondering, "tell", "one", "two")
            assert await until(ann, "before") == ["before"]
        await do(router, pondering, "tell_all", "end")
        assert await until(ann, "end") == ["news", "whispered", "end"]
        assert await refused(ann) == {"secret": REFUSED}


async def test_a_reply_waits_with_the_events_before_it(pondering: type[Vault]) -> None:
    async with ann_and_bob(pondering) as (_, ann, bob):
        async with ponder(1):
            ann.send(Call(1, "note", ["ann", "a"]), Call(2, "tell", ["one"]), Call(3, "look", []))
            assert await until(bob, "one") == ["one"]
            assert await ann.receive(Reply) == (1, None)
        assert await until(ann, "one") == ["one"]
        assert await ann.receive(Reply) == (2, None)
        assert await ann.receive(Reply) == (3, ["admin", "admin"])


async def test_a_state_that_is_what_it_was_is_nothing_to_ask_about(pondering: type[Vault]) -> None:
    async with ann_and_bob(pondering, ("secret", "news")) as (router, ann, _):
        Pondering.ponders = True
        # Another object, but the same in it.
        await do(router, pondering, "replace_state", "ann", "admin")
        assert await until(ann, "as admin") == ["as admin"]
        await do(router, pondering, "make", "ann", "owner")
        await do(router, pondering, "make", "ann", "admin")
        await do(router, pondering, "tell", "one")
        assert await until(ann, "one") == ["one"]
        assert Pondering.gates == []


async def test_each_answer_is_good_up_to_the_next_change(pondering: type[Vault]) -> None:
    async with ann_and_bob(pondering, ("secret", "news")) as (router, ann, _):
        Pondering.ponders = True
        await do(router, pondering, "note", "ann", "a")
        await do(router, pondering, "tell", "one")
        await do(router, pondering, "tell_named", "two")
        await eventually(lambda: len(Pondering.gates) == 2)
        # In doubt again, before the first answer.
        await do(router, pondering, "note", "ann", "b")
        await do(router, pondering, "tell", "three")
        await do(router, pondering, "tell_named", "four")
        await decide(2)
        assert await until(ann, "two") == ["one", "two"]
        await do(router, pondering, "make", "ann", "guest")
        await decide(2)
        assert await refused(ann) == {"secret": REFUSED}
        Pondering.ponders = False
        await do(router, pondering, "tell", "no")
        await do(router, pondering, "tell_all", "end")
        assert await until(ann, "end") == ["end"]


async def test_requests_about_names_wait_for_it(pondering: type[Vault]) -> None:
    async with ann_and_bob(pondering, ("secret", "news")) as (router, ann, _):
        async with ponder(2):
            await do(router, pondering, "note", "ann", "a")
            await do(router, pondering, "tell", "one")
            ann.send(Unsubscribe(1, "secret"))
            await do(router, pondering, "tell", "two")
        assert await until(ann, "one") == ["one"]
        assert await until(ann, "two") == ["two"]
        assert await ann.receive(Reply) == (1, None)
        await do(router, pondering, "tell", "no")
        await do(router, pondering, "tell_all", "end")
        assert await until(ann, "end") == ["end"]


class Hasty(Pondering):
    """Has made up its mind before it takes its time."""

    async def can_subscribe(self, c: Context[Count, Guest], event: str) -> bool:
        allowed = self.allows(c, event)
        await super().can_subscribe(c, event)
        return allowed


class DurableHasty(Hasty):
    durable = True


@pytest.mark.parametrize("hasty", [Hasty, DurableHasty])
async def test_a_yes_about_what_was_so_no_longer_is_asked_about_again(hasty: type[Vault]) -> None:
    Pondering.gates.clear()
    async with ann_and_bob(hasty, ("news",)) as (router, ann, _):
        Pondering.ponders = True
        ann.send(Subscribe(1, "secret"))
        await eventually(lambda: len(Pondering.gates) == 1)
        await do(router, hasty, "make", "ann", "guest")
        # Sent to nobody: but those who listen for something are asked about.
        await do(router, hasty, "tell", "nobody listens")
        Pondering.ponders = False
        await decide(1)
        await settled(router)
        assert await ann.receive(Reply) == (1, None)
        await do(router, hasty, "tell", "no")
        await do(router, hasty, "tell_all", "end")
        assert await until(ann, "end") == ["end"]
        assert await refused(ann) == {"secret": REFUSED}


class Deliberate(Pondering):
    """Takes its time, looks, and takes its time."""

    async def can_subscribe(self, c: Context[Count, Guest], event: str) -> bool:
        await super().can_subscribe(c, event)
        allowed = self.allows(c, event)
        await super().can_subscribe(c, event)
        return allowed


class Delegating(Deliberate):
    """Has somebody else do so."""

    async def can_subscribe(self, c: Context[Count, Guest], event: str) -> bool:
        return await asyncio.create_task(super().can_subscribe(c, event))


@pytest.mark.parametrize("kind", [Deliberate, Delegating])
@pytest.mark.parametrize("how", ["accessed", "kept"])
@pytest.mark.parametrize("when", ["first", "again"])
async def test_a_state_that_was_another_only_while_the_hook_looked_is_asked_about_again(
    kind: type[Pondering], how: str, when: str
) -> None:
    async with running(kind) as router, LinkedSocket(router) as ann:
        events, role = (("secret", "news"), "admin") if when == "again" else (("news",), "guest")
        await ann.connect(kind.__name__, "a", params={"name": "ann", "role": role}, events=events)
        await do(router, kind, "keep", "ann")
        change = ["make", "ann"] if how == "accessed" else ["make_kept_only"]
        await do(router, kind, *change, "guest")
        count = len(events)
        async with ponder(count):
            if when == "again":
                await do(router, kind, "tell_all", "asks")
            else:
                ann.send(Subscribe(1, "secret"))
            await eventually(lambda: len(Pondering.gates) == count)
            await do(router, kind, *change, "admin")
            await decide(count)
            await eventually(lambda: len(Pondering.gates) == count)
            await do(router, kind, *change, "guest")
        if when == "first":
            assert await ann.receive(Reply) == (1, None)
        else:
            assert await until(ann, "asks") == ["asks"]
        await do(router, kind, "tell", "no")
        await do(router, kind, "tell_all", "end")
        assert await until(ann, "end") == ["end"]
        assert await refused(ann) == {"secret": REFUSED}


async def test_a_read_is_no_reason_to_ask_an_async_hook(pondering: type[Vault]) -> None:
    async with ann_and_bob(pondering, ("secret", "news")) as (router, ann, _):
        await do(router, pondering, "keep", "ann")
        async with ponder(2):
            await do(router, pondering, "note", "ann", "a")
            await do(router, pondering, "tell", "one")
            await eventually(lambda: len(Pondering.gates) == 2)
            await do(router, pondering, "look")
            await do(router, pondering, "tell", "two")
        assert await until(ann, "two") == ["one", "two"]
        await settled(router)
        Pondering.ponders = True
        await do(router, pondering, "look")
        await do(router, pondering, "tell", "three")
        assert await until(ann, "three") == ["three"]
        assert Pondering.gates == []


async def test_who_comes_back_meanwhile_waits_for_it(pondering: type[Vault]) -> None:
    async with running(pondering) as router:
        async with LinkedSocket(router) as client:
            connected = await client.connect(
                pondering.__name__, "a", params={"name": "ann"}, events=("secret", "news")
            )
        client = LinkedSocket(router)
        async with ponder(2):
            await do(router, pondering, "note", "ann", "a")
            await do(router, pondering, "tell", "one", "two")
            resume = resume_from(connected)
            client.send(Connect(pondering.__name__, ("a",), subscriptions=("secret", "news"), resume=resume))
            await eventually(lambda: len(Pondering.gates) == 2)
        async with client:
            again = await client.receive(Connected)
            assert again.replayed == 2 and again.session == connected.session
            assert await until(client, "two") == ["one", "two"]


async def test_who_is_disconnected_meanwhile_is_not_held_up(pondering: type[Vault]) -> None:
    async with ann_and_bob(pondering) as (router, ann, _):
        Pondering.ponders = True
        await do(router, pondering, "note", "ann", "a")
        await do(router, pondering, "tell", "one")
        await eventually(lambda: len(Pondering.gates) == 1)
        await do(router, pondering, "kick", "ann")
        closed = await ann.closed()
        assert (closed.code, closed.reason) == (4003, "out")
        Pondering.ponders = False
        await decide(1)
        await do(router, pondering, "tell", "nobody minds")


async def test_an_actor_that_stops_meanwhile_does_not_wait_for_ever(pondering: type[Vault]) -> None:
    async with running(pondering, shutdown_timeout_s=0.5) as router, LinkedSocket(router) as ann:
        await ann.connect(pondering.__name__, "a", params={"name": "ann"}, events=SECRET)
        Pondering.ponders = True
        await do(router, pondering, "note", "ann", "a")
        await do(router, pondering, "tell", "one")
        await eventually(lambda: len(Pondering.gates) == 1)
        await asyncio.wait_for(router.stop(), TIMEOUT_S)
        assert (await ann.closed()).code == 4500


async def test_a_hook_that_takes_too_long_withdraws(pondering: type[Vault]) -> None:
    async with (
        running(pondering, hook_timeout_s=0.01) as router,
        LinkedSocket(router) as ann,
    ):
        await ann.connect(pondering.__name__, "a", params={"name": "ann"}, events=SECRET)
        Pondering.ponders = True
        await do(router, pondering, "note", "ann", "a")
        await do(router, pondering, "tell", "one")
        refused = (await ann.receive(Heartbeat)).refused_subscriptions
        assert refused is not None and refused["secret"]["code"] == "action_timeout"


@pytest.mark.parametrize("store", ["memory", "sqlite"], indirect=True)
async def test_what_was_let_through_late_is_so_after_a_restart(store: Store) -> None:
    vault = DurablePondering
    async with running(vault, store=store) as router:
        async with LinkedSocket(router) as client:
            connected = await client.connect(
                vault.__name__, "a", params={"name": "ann"}, events=("secret", "news")
            )
        async with ponder(2):
            await do(router, vault, "note", "ann", "a")
            await do(router, vault, "tell", "one")
            await do(router, vault, "tell_named", "two")
            await do(router, vault, "tell_all", "three")
        await settled(router)
    async with running(vault, store=store) as router:
        again, client = await come_back(router, vault, connected)
        async with client:
            assert again.session == connected.session
            assert again.replayed == 3 and again.gap is None
            assert await until(client, "three") == ["one", "two", "three"]
