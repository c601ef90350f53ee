"""The Python client listens with filters to a real server: handlers, streams, lost networks, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from heard import TIMEOUT_S
from served import IMPATIENT, Encoding

from ringcast import Actor, Client, Context, MemoryStore, Registry, action
from ringcast.client import Connection
from ringcast.errors import InvalidFilter, SubscriptionRefused
from ringcast.server.serve import serving
from ringcast.testing import NetworkProxy


@dataclass
class Moved:
    at: int
    zone: int = 0
    name: str | None = None
    tags: set[str] = field(default_factory=set)


class World(Actor):
    class Events:
        moved: Moved
        secret: Moved

    def can_subscribe(self, c: Context[None], name: str) -> bool:
        return name != "secret"

    @action
    def move(self, c: Context[None], moves: list[Moved]) -> None:
        for each in moves:
            c.broadcast("moved", each)

    @action
    def tell(self, c: Context[None], move: Moved) -> None:
        c.conn.send("moved", move)


class DurableWorld(World):
    durable = True


class Scene:
    """One connection whose network may be lost, and an actor that moves."""

    def __init__(self, network: NetworkProxy, near: Client, far: Client, actor: str) -> None:
        self.network = network
        self._near = getattr(near, actor).get_or_create("k")
        self.connection: Connection = getattr(far, actor).get_or_create("k").connect()
        self.got: dict[str, list[int]] = {}
        self.errors: list[BaseException] = []
        self.connection.on("error", self.errors.append)

    def listen(
        self, name: str, where: dict[str, Any] | None = None, *, once: bool = False
    ) -> Callable[[], None]:
        """Keep what a handler gets under a name."""
        got = self.got.setdefault(name, [])
        add = self.connection.once if once else self.connection.on
        return add("moved", lambda move: got.append(move["at"]), where=where)

    async def move(self, *moves: tuple[int, int]) -> None:
        """Have something move, each at a time and in a zone; through a connection that nobody cuts."""
        await self._near.move([{"at": at, "zone": zone} for at, zone in moves])

    async def settled(self) -> dict[str, list[int]]:
        """Return what has come, once all that was sent has."""
        await self.connection.move([])
        return self.got

    async def lose(self, meanwhile: Callable[[], Any]) -> None:
        """Lose the network, do something, and come back."""
        away, back = asyncio.Event(), asyncio.Event()
        self.connection.once("disconnected", away.set)
        self.connection.once("reconnected", back.set)
        self.network.cut()
        async with asyncio.timeout(TIMEOUT_S):
            await away.wait()
            done = meanwhile()
            if done is not None:
                await done
            self.network.restore()
            await back.wait()


LATE: dict[str, dict[str, Any] | None] = {"one of two": {"zone__in": [1, 2]}, "all": None}


@pytest.fixture(params=["world", "durableWorld"])
async def scene(request: pytest.FixtureRequest, encoding: Encoding) -> AsyncIterator[Scene]:
    async with serving(Registry(World, DurableWorld, store=MemoryStore())) as url:
        address = urlsplit(url)
        async with (
            NetworkProxy(address.hostname or "", address.port or 0) as network,
            Client(url) as near,
            Client(network.url, encoding=encoding, config=IMPATIENT) as far,
        ):
            scene = Scene(network, near, far, request.param)
            yield scene
            assert scene.connection.duplicates == 0


async def test_each_handler_gets_exactly_what_it_asked_for(scene: Scene) -> None:
    scene.listen("one", {"zone": 1})
    scene.listen("one again", {"zone": 1})
    scene.listen("two or three", {"zone__in": [2, 3]})
    scene.listen("first above one", {"zone__ge": 2}, once=True)
    await scene.connection.ready()
    await scene.move((1, 1), (2, 2), (3, 3), (4, 4), (5, 1))
    assert await scene.settled() == {
        "one": [1, 5], "one again": [1, 5], "two or three": [2, 3], "first above one": [2],
    }  # fmt: skip
    scene.listen("all")
    await scene.settled()
    await scene.move((6, 9), (7, 1))
    assert (await scene.settled())["all"] == [6, 7]
    assert scene.got["one"] == [1, 5, 7]


async def test_handlers_come_and_go_one_filter_at_a_time(scene: Scene) -> None:
    stop = scene.listen("one", {"zone": 1})
    stop_again = scene.listen("one again", {"zone": 1})
    scene.listen("two", {"zone": 2})
    await scene.connection.ready()
    stop()
    await scene.move((1, 1), (2, 2))
    await scene.settled()
    stop_again()
    await scene.move((3, 1), (4, 2))
    await scene.settled()
    position = scene.connection.position[1]
    await scene.move((5, 1), (6, 1))
    await scene.settled()
    assert scene.connection.position[1] == position, "nobody listens, so nothing is sent"
    scene.listen("one", {"zone": 1})
    await scene.settled()
    await scene.move((7, 1))
    assert await scene.settled() == {"one": [7], "one again": [1], "two": [2, 4]}
    scene.connection.off("moved")
    await scene.settled()
    await scene.move((8, 1), (9, 2))
    assert await scene.settled() == {"one": [7], "one again": [1], "two": [2, 4]}


async def test_what_was_missed_is_replayed_and_what_changed_meanwhile_holds(scene: Scene) -> None:
    stop = scene.listen("one", {"zone": 1})
    scene.listen("two", {"zone": 2})
    replayed: list[int] = []
    gaps: list[Any] = []
    scene.connection.on("replayed", replayed.append)
    scene.connection.on("gap", gaps.append)
    await scene.connection.ready()
    await scene.lose(lambda: scene.move((1, 1), (2, 2), (3, 3)))
    assert await scene.settled() == {"one": [1], "two": [2]}

    def change() -> Any:
        stop()
        scene.listen("one", {"zone": 1})
        scene.listen("three", {"zone": 3})
        return scene.move((4, 1), (5, 2), (6, 3))

    await scene.lose(change)
    await scene.settled()
    await scene.move((7, 1), (8, 2), (9, 3))
    # Who begins anew gets nothing from before it did.
    assert await scene.settled() == {"one": [1, 7], "two": [2, 5, 8], "three": [9]}
    assert replayed[0] == 2
    assert gaps == []


async def test_what_is_listened_for_while_the_network_is_lost_begins_with_the_return(scene: Scene) -> None:
    """Also where it is replayed for another handler of the name, and whatever that listens for."""
    scene.listen("one", {"zone": 1})
    replayed: list[int] = []
    scene.connection.on("replayed", replayed.append)
    await scene.connection.ready()

    async def change() -> None:
        await scene.move((1, 1), (2, 2))
        for kind, where in LATE.items():
            scene.listen(kind, where)
        scene.listen("once", {"zone__le": 1}, once=True)
        stop = scene.listen("gone", {"zone__lt": 2})
        stop()
        await scene.move((3, 1), (4, 2))

    await scene.lose(change)
    await scene.settled()
    await scene.move((5, 1), (6, 2))
    assert await scene.settled() == {
        "one": [1, 3, 5], "one of two": [5, 6], "all": [5, 6], "once": [5], "gone": [],
    }  # fmt: skip
    assert replayed == [2]
    # From now on they are as good as any other.
    await scene.lose(lambda: scene.move((7, 1), (8, 2)))
    assert await scene.settled() == {
        "one": [1, 3, 5, 7], "one of two": [5, 6, 7, 8], "all": [5, 6, 7, 8], "once": [5], "gone": [],
    }  # fmt: skip


async def test_one_that_is_alone_with_its_name_begins_with_the_return_as_well(scene: Scene) -> None:
    await scene.connection.ready()

    async def change() -> None:
        await scene.move((1, 1))
        scene.listen("one", {"zone": 1})
        await scene.move((2, 1))

    await scene.lose(change)
    await scene.move((3, 1))
    assert await scene.settled() == {"one": [3]}


async def test_an_event_for_one_connection_reaches_handlers_by_the_same_rule(scene: Scene) -> None:
    scene.listen("one", {"zone": 1})
    scene.listen("all of two", {"zone__ge": 2})
    await scene.connection.ready()
    await scene.connection.tell({"at": 1, "zone": 1})
    await scene.connection.tell({"at": 2, "zone": 2})
    await scene.connection.tell({"at": 3, "zone": 0})
    assert await scene.settled() == {"one": [1], "all of two": [2]}


async def test_a_stream_may_be_filtered(scene: Scene) -> None:
    await scene.connection.ready()
    async with scene.connection.stream("moved", where={"zone": 1}) as stream, asyncio.timeout(TIMEOUT_S):
        await scene.settled()
        await scene.move((1, 2), (2, 1), (3, 1))
        assert [(await anext(stream))["at"] for _ in range(2)] == [2, 3]


async def test_what_the_server_refuses_is_an_error_and_the_rest_goes_on(scene: Scene) -> None:
    scene.listen("bad", {"zon": 1})
    scene.listen("good", {"zone": 1})
    scene.connection.on("secret", print, where={"zone": 1})
    await scene.connection.ready()
    scene.listen("worse", {"name": 3})
    await scene.move((1, 1))
    assert (await scene.settled())["good"] == [1]
    assert [type(error) for error in scene.errors] == [SubscriptionRefused] * 3
    assert sorted(getattr(error, "code", "") for error in scene.errors) == [
        "invalid_filter", "invalid_filter", "subscription_refused",
    ]  # fmt: skip
    messages = "\n".join(map(str, scene.errors))
    assert "'moved' where attribute('zon') == 1 was refused: Moved has no field 'zon'" in messages
    assert scene.got["bad"] == scene.got["worse"] == []


async def test_what_is_no_filter_is_refused_at_once(scene: Scene) -> None:
    for where in ({"zone__gte": 1}, {"zone": [1]}, {"zone": float("nan")}, {"zone": "x" * 5000}):
        with pytest.raises(InvalidFilter):
            scene.connection.on("moved", print, where=where)
    with pytest.raises(InvalidFilter, match="lifecycle"):
        scene.connection.on("gap", print, where={"reason": "x"})
    await scene.connection.ready()
    await scene.move((1, 1))
    assert await scene.settled() == {}
