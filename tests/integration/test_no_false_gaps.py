"""What was not for a client is no gap, however long ago the ring let it go; what was for it is one.

The ring of the actor here retains 16 events. Every event carries its own offset, so that a number says which
one it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from heard import TIMEOUT_S, Heard
from served import IMPATIENT, Carrier, Encoding

from ringcast import Actor, Client, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.client import ActorHandle
from ringcast.server.serve import serving
from ringcast.testing import NetworkProxy
from ringcast.wire.protocol import Gap

RING: Final = 16
NOT_FOR_ANN: Final = ("of another name", "to bob alone", "to all but ann")
FOR_ANN: Final = ("to everybody", "to ann alone", "to everybody")
PAIRS: Final = [*zip(NOT_FOR_ANN, FOR_ANN, strict=True)]


@dataclass
class Who:
    name: str


class Crowd(Actor[None, Who], max_ring_events=RING):
    """Sends events that are for some of its connections, or for all."""

    def on_start(self) -> None:
        self.offset = 0

    def create_conn_state(self, c: Context[None, Who], params: Who) -> Who:
        return params

    @action
    def send(self, c: Context[None, Who], way: str, count: int) -> None:
        ann, bob = c.conns.find(name="ann"), c.conns.find(name="bob")
        assert ann is not None and bob is not None
        for _ in range(count):
            self.offset += 1
            if way == "to everybody":
                c.broadcast("item", self.offset)
            elif way == "to ann alone":
                ann.send("item", self.offset)
            elif way == "to bob alone":
                bob.send("item", self.offset)
            elif way == "to all but ann":
                c.broadcast("item", self.offset, exclude=ann)
            else:
                assert way == "of another name"
                c.broadcast("other", self.offset)


class Scene:
    """Ann and bob, whose network is lost now and then, and somebody who has the actor send events."""

    def __init__(self, network: NetworkProxy, far: ActorHandle[Any], near: ActorHandle[Any]) -> None:
        self._network = network
        self._near = near
        self.ann = far.connect({"name": "ann"})
        self.bob = far.connect({"name": "bob"})
        names = ("disconnected", "reconnected", "replayed", "gap", "item")
        self.heard = Heard(self.ann, *names)
        self.heard_by_bob = Heard(self.bob, *names)
        self.now = 0
        """The offset of the newest event."""

    async def send(self, way: str, count: int = 1) -> list[int]:
        """Have the actor send so many events; return their offsets."""
        await self._near.send(way, count)
        offsets = [*range(self.now + 1, self.now + count + 1)]
        self.now += count
        return offsets

    async def lose(self) -> None:
        """Lose the network of both."""
        outages = self.heard.names.count("disconnected") + 1
        self._network.cut()
        await self.heard.until("disconnected", outages)
        await self.heard_by_bob.until("disconnected", outages)

    async def come_back(self) -> int:
        """Restore the network; return what ann is told of: how many missed events follow."""
        outages = self.heard.names.count("disconnected")
        self._network.restore()
        await self.heard_by_bob.until("replayed", outages)
        replayed = await self.heard.until("replayed", outages)
        return int(replayed[-1])


@pytest.fixture
def heartbeat_s(request: pytest.FixtureRequest) -> float:
    """Give how often there are heartbeats, which take clients past what was for others."""
    return float(getattr(request, "param", 0.05))


@pytest.fixture
async def scene(heartbeat_s: float, carrier: Carrier, encoding: Encoding) -> AsyncIterator[Scene]:
    registry = Registry(Crowd, store=MemoryStore(), config=ServerConfig(heartbeat_s=heartbeat_s))
    async with serving(registry) as url:
        address = urlsplit(url)
        async with (
            NetworkProxy(address.hostname or "", address.port or 0) as network,
            Client(url) as near,
            Client(network.url, encoding=encoding, transport=carrier, config=IMPATIENT) as far,
        ):
            scene = Scene(network, far.crowd.get_or_create("k"), near.crowd.get_or_create("k"))
            await asyncio.gather(scene.ann.ready(), scene.bob.ready())
            yield scene
            # The connection goes on, and nothing has come twice.
            last = await scene.send("to everybody")
            await until(lambda: scene.heard.of("item")[-1:] == last)
            assert scene.ann.duplicates == scene.bob.duplicates == 0
            assert scene.heard.of("item") == sorted(set(scene.heard.of("item")))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - nothing announces a heartbeat
            await asyncio.sleep(0)


# --- no gap -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heartbeat_s", [0.05, 15.0], indirect=True, ids=["told", "not told"])
@pytest.mark.parametrize("way", NOT_FOR_ANN)
async def test_idle_while_the_ring_went_round(scene: Scene, heartbeat_s: float, way: str) -> None:
    seen = await scene.send("to everybody", 3)
    await scene.heard.until("item", 3)
    await scene.send(way, 3 * RING)
    await until(lambda: scene.ann.position[1] == (scene.now if heartbeat_s < 1 else 3))
    await scene.lose()
    assert await scene.come_back() == 0
    seen += await scene.send("to everybody")
    await scene.heard.until("item", 4)
    assert scene.heard.of("item") == seen
    assert scene.heard.of("gap") == []


@pytest.mark.parametrize("way", NOT_FOR_ANN)
async def test_away_while_the_ring_went_round(scene: Scene, way: str) -> None:
    await scene.lose()
    await scene.send(way, 3 * RING)
    assert await scene.come_back() == 0
    assert scene.heard.of("gap") == []


@pytest.mark.parametrize(("way", "mine"), PAIRS)
async def test_away_and_what_was_for_her_is_still_there(scene: Scene, way: str, mine: str) -> None:
    await scene.lose()
    await scene.send(way, 3 * RING)
    seen = await scene.send(mine)
    await scene.send(way, RING - 1)  # the one for her is the oldest that is retained
    assert await scene.come_back() == 1
    assert await scene.heard.until("item") == seen
    assert scene.heard.of("gap") == []


async def test_each_outage_begins_where_the_one_before_it_ended(scene: Scene) -> None:
    seen = []
    for way in NOT_FOR_ANN:
        await scene.lose()
        await scene.send(way, 2 * RING)
        seen += await scene.send("to ann alone")
        assert await scene.come_back() == 1
        await scene.heard.until("item", len(seen))
    assert scene.heard.of("item") == seen
    assert scene.heard.of("gap") == []


async def test_what_she_has_stopped_listening_for_is_not_missed(scene: Scene) -> None:
    await scene.send("to everybody")
    await scene.heard.until("item")
    scene.ann.off("item")
    await scene.ann.send("of another name", 1)  # its reply is behind the end of the subscription
    scene.now += 1
    await scene.send("to everybody", 2 * RING)
    await scene.lose()
    await scene.send("to everybody", 2 * RING)
    assert await scene.come_back() == 0
    assert scene.heard.of("gap") == []
    scene.ann.on("item", lambda number: scene.heard.add("item", number))
    await scene.ann.send("of another name", 1)
    scene.now += 1


async def test_what_she_has_begun_to_listen_for_while_away_is_not_missed(scene: Scene) -> None:
    await scene.lose()
    await scene.send("of another name", 2 * RING)
    scene.ann.on("other", lambda number: None)
    assert await scene.come_back() == 0
    assert scene.heard.of("gap") == []


# --- a gap --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beyond", [0, 7])
@pytest.mark.parametrize(("way", "mine"), PAIRS)
async def test_away_and_what_was_for_her_is_gone(scene: Scene, way: str, mine: str, beyond: int) -> None:
    seen = await scene.send("to everybody", 3)
    await scene.heard.until("item", 3)
    await scene.lose()
    await scene.send(mine)
    await scene.send(way, RING + beyond)
    assert await scene.come_back() == 0
    assert scene.heard.of("gap") == [Gap("ring_overflow", first=4, last=scene.now - RING)]
    assert scene.heard.of("item") == seen


async def test_a_gap_and_what_is_left_after_it(scene: Scene) -> None:
    await scene.lose()
    await scene.send("to everybody", 2)
    await scene.send("to all but ann", RING)
    seen = await scene.send("to ann alone", 2)
    assert await scene.come_back() == 2
    await scene.heard.until("item", 2)
    last = scene.now - RING
    assert scene.heard.all == [
        ("disconnected",),
        ("reconnected",),
        ("gap", Gap("ring_overflow", first=1, last=last)),
        ("replayed", 2),
        *(("item", number) for number in seen),
    ]


async def test_the_one_whose_event_is_gone_is_told_and_the_other_is_not(scene: Scene) -> None:
    await scene.lose()
    await scene.send("to bob alone")
    await scene.send("of another name", RING)
    assert await scene.come_back() == 0
    assert scene.heard.of("gap") == []
    assert scene.heard_by_bob.of("gap") == [Gap("ring_overflow", first=1, last=1)]


async def test_a_gap_is_told_once(scene: Scene) -> None:
    await scene.lose()
    await scene.send("to ann alone")
    await scene.send("to bob alone", RING)
    await scene.come_back()
    for _ in range(2):
        await scene.lose()
        await scene.send("to bob alone", 2 * RING)
        assert await scene.come_back() == 0
    assert scene.heard.of("gap") == [Gap("ring_overflow", first=1, last=1)]


async def test_what_she_missed_is_a_gap_though_she_does_not_listen_for_it_any_more(scene: Scene) -> None:
    await scene.lose()
    await scene.send("to everybody")
    await scene.send("of another name", RING)
    scene.ann.off("item")
    assert await scene.come_back() == 0
    assert scene.heard.of("gap") == [Gap("ring_overflow", first=1, last=1)]
    scene.ann.on("item", lambda number: scene.heard.add("item", number))
    await scene.ann.send("of another name", 1)
    scene.now += 1
