"""The registry, the limits, and what the package offers at its top."""

from __future__ import annotations

import asyncio
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from linked import LinkedSocket, call, eventually

import ringcast
from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, SqliteStore, action
from ringcast.errors import CloseCode, ConnectionClosed, DefinitionError, UnknownActor
from ringcast.router import Router
from ringcast.wire.encoding import Encoding


class Room(Actor):
    """A room."""

    @action
    def who(self, c: Context) -> str:
        return c.actor_id


def test_definitions_are_found_by_each_name() -> None:
    registry = Registry(Room)
    assert [definition.name for definition in registry.definitions] == ["Room"]
    assert registry.definition("room") is registry.definition("Room")
    with pytest.raises(UnknownActor):
        registry.definition("nobody")


def test_actors_that_collide_on_the_wire_are_refused() -> None:
    class room(Actor):  # noqa: N801
        pass

    with pytest.raises(DefinitionError, match="both answer to 'room'"):
        Registry(Room, room)
    with pytest.raises(DefinitionError, match="both answer to 'Room'"):
        Registry(Room, type("Room", (Actor,), {}))


def test_the_same_class_twice_is_no_collision() -> None:
    with pytest.raises(DefinitionError, match="both answer"):
        Registry(Room, Room)


def test_the_default_store_is_sqlite_at_the_configured_path(tmp_path: Path) -> None:
    registry = Registry(Room, config=ServerConfig(store_path=str(tmp_path / "x.db")))
    assert isinstance(registry.store, SqliteStore)
    assert registry.store.path == tmp_path / "x.db"
    assert not registry.store.path.exists()


@pytest.mark.parametrize(
    "wrong",
    [{"max_message_bytes": 0}, {"action_timeout_s": 0}, {"session_window_s": -1}, {"writer_threads": 0}],
)
def test_limits_below_what_makes_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ServerConfig(**wrong)  # type: ignore[arg-type]


def test_limits_that_may_be_zero() -> None:
    config = ServerConfig(port=0, session_window_s=0, save_interval_s=0)
    assert config.port == 0
    with pytest.raises(FrozenInstanceError):
        config.port = 1  # type: ignore[misc]


def test_the_package_offers_what_it_says() -> None:
    for name in ringcast.__all__:
        assert getattr(ringcast, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = ringcast.nothing_like_it


async def test_a_registry_runs_again_after_a_stop() -> None:
    registry = Registry(Room, store=MemoryStore())
    async with registry:
        first = registry.router
        actor_id = await call(first, "room", "a", "who")
    async with registry:
        assert registry.router is not first
        assert await call(registry.router, "room", "a", "who") == actor_id


async def test_many_starts_and_stops_at_once_are_one() -> None:
    registry = Registry(Room, store=MemoryStore())
    await asyncio.gather(*(registry.start() for _ in range(5)))
    router = registry.router
    assert router.started
    await asyncio.gather(*(router.stop() for _ in range(5)))
    assert not router.started
    await registry.stop()
    await registry.stop()


async def test_a_router_that_does_not_run_takes_nothing() -> None:
    router = Router(Registry(Room, store=MemoryStore()))
    await router.stop()
    with pytest.raises(ConnectionClosed):
        router.open_sink(0, Encoding.JSON)
    with pytest.raises(ConnectionClosed):
        router.accept(None, Encoding.JSON)  # type: ignore[arg-type]
    with pytest.raises(ConnectionClosed):
        await call(router, "room", "a", "who")


async def test_stopping_tells_every_client_to_come_back() -> None:
    registry = Registry(Room, store=MemoryStore())
    await registry.start()
    router = registry.router
    clients = [LinkedSocket(router, encoding) for encoding in (*Encoding, Encoding.JSON)]
    for client in clients[:2]:
        await client.connect("room", "a")
    assert (router.actors, router.connections) == (1, 2)
    await registry.stop()
    assert (router.actors, router.connections) == (0, 0)
    for client in clients:
        await client.closed_with(CloseCode.SERVER_RESTART)
        client.lose()


async def test_a_socket_that_comes_while_stopping_is_told_to_come_back() -> None:
    class Slow(Actor):
        async def on_stop(self) -> None:
            stopping.set()
            await release.wait()

    stopping, release = asyncio.Event(), asyncio.Event()
    registry = Registry(Slow, store=MemoryStore())
    await registry.start()
    router = registry.router
    async with LinkedSocket(router) as first:
        await first.connect("slow", "a")
        stop = asyncio.ensure_future(registry.stop())
        await stopping.wait()
        async with LinkedSocket(router) as late:
            await late.closed_with(CloseCode.SERVER_RESTART)
        release.set()
        await stop
        await first.closed_with(CloseCode.SERVER_RESTART)


async def test_an_actor_calls_another_one() -> None:
    class Front(Actor):
        @action
        async def ask(self, c: Context) -> str:
            answer: str = await c.client().get_or_create(Room, ["b"]).who()
            return answer

    async with Registry(Front, Room, store=MemoryStore()) as registry:
        answer = await call(registry.router, "front", "a", "ask")
        assert answer == await call(registry.router, "room", "b", "who")
        await eventually(lambda: registry.router.actors == 2)
