"""The examples of filters: whatever happens, the loop and the filter send the same to everybody.

A random sequence of actions is drawn once and played to both forms: clients with different states come,
change them, lose their networks, come back and leave.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Final

import pytest
from example_modules import load_example

from ringcast import Actor
from ringcast.client import Connection
from ringcast.errors import UserError
from ringcast.testing import LocalServer, eventually, record

STEPS: Final = 120
MOST_CLIENTS: Final = 8
NAMES: Final = ("ann", "bob", "cleo")
"""Fewer than clients: some are one person's second device."""


@dataclass(frozen=True)
class Scene:
    """One example: what its clients connect with, and what they do."""

    name: str
    forms: tuple[type[Actor[Any, Any]], type[Actor[Any, Any]]]
    """The loop and the filter."""
    events: tuple[str, ...]
    params: Callable[[Random], dict[str, Any]]
    call: Callable[[Random], tuple[Any, ...]]
    """An action and its arguments."""
    nothing: tuple[Any, ...]
    """One that sends nothing."""
    begins_with: tuple[tuple[Any, ...], ...] = ()


NEWS, GAME, AUCTION = (load_example(f"filters/{name}.py") for name in ("news_room", "game_room", "auction"))
CATEGORIES: Final = ("tech", "markets", "weather")
LOTS: Final = ("vase", "clock")


def reader(random: Random) -> dict[str, Any]:
    muted = random.sample(CATEGORIES, random.randrange(2))
    return {
        "user_id": random.choice(NAMES),
        "subscription": random.choice(("free", "premium")),
        "muted": muted,
    }


def of_reader(random: Random) -> tuple[Any, ...]:
    match random.randrange(6):
        case 0:
            return "change_subscription", random.choice(("free", "premium"))
        case 1 if random.random() < 0.3:
            return "mute", random.choice(CATEGORIES)
    article = {
        "id": str(random.random()),
        "category": random.choice(CATEGORIES),
        "content": "x" * random.choice((0, 10, 3000)),
        "level": random.choice(("public", "premium")),
    }
    return "publish_article", article


def member(random: Random) -> dict[str, Any]:
    role = random.choice(("player", "player", "spectator"))
    return {"player_id": random.choice(NAMES), "role": role, "x": random.uniform(-30, 30)}


def of_member(random: Random) -> tuple[Any, ...]:
    match random.randrange(5):
        case 0:
            return "change_role", random.choice(("player", "spectator"))
        case 1:
            return "send_private_message", random.choice((*NAMES, "nobody")), str(random.random())
    # Whole numbers too, which are as far apart as can be seen and one more.
    x = random.choice((random.uniform(-30, 30), random.randrange(-3, 4) * 10.0))
    return "move", x, random.uniform(-30, 30)


def guest(random: Random) -> dict[str, Any]:
    return {
        "name": random.choice(NAMES),
        "role": random.choice(("bidder", "bidder", "seller")),
        "watches": random.sample(LOTS, random.randrange(3)),
        "up_to": random.choice((None, 100)),
        "alerts": random.random() < 0.7,
    }


def of_guest(random: Random) -> tuple[Any, ...]:
    lot = random.choice(LOTS)
    match random.randrange(12):
        case 0:
            return "watch", lot, random.choice((None, random.randrange(200)))
        case 1:
            return "want_alerts", random.random() < 0.5
        case 2:
            return "sell", lot
        case 3 | 4:
            return "offer", lot, random.randrange(100)
    return "place_bid", lot, random.randrange(200)


SCENES: Final = (
    Scene(
        "news",
        (NEWS.LoopNewsRoom, NEWS.FilterNewsRoom),
        ("newArticle",),
        reader,
        of_reader,
        ("mute", "nothing"),
    ),
    Scene(
        "game",
        (GAME.LoopGameRoom, GAME.FilterGameRoom),
        ("gameStarted", "playerMoved", "privateMessage"),
        member,
        of_member,
        ("start",),
        begins_with=(("start",),),
    ),
    Scene(
        "auction",
        (AUCTION.LoopAuction, AUCTION.FilterAuction),
        ("bid", "outbid", "reserveReached", "sold"),
        guest,
        of_guest,
        ("want_alerts", True),
        begins_with=tuple(("offer", lot, 80) for lot in LOTS),
    ),
)


@dataclass(frozen=True)
class Step:
    """Something that one client does or suffers."""

    what: str
    client: int
    args: Any = None


def steps_of(scene: Scene, seed: int) -> list[Step]:
    """Draw what happens; only who is there can do anything, and only who is away can come back."""
    random = Random(f"{scene.name}/{seed}")
    steps = [Step("arrive", number, scene.params(random)) for number in range(3)]
    steps += [Step("call", 0, call) for call in scene.begins_with]
    here, away, arrived = [0, 1, 2], list[int](), 3
    while len(steps) < STEPS:
        match random.randrange(24):
            case 0 | 1 | 2 if arrived < MOST_CLIENTS:
                here.append(arrived)
                steps.append(Step("arrive", arrived, scene.params(random)))
                arrived += 1
            case 3 | 4 if len(here) > 2:
                away.append(here.pop(random.randrange(len(here))))
                steps.append(Step("cut", away[-1]))
            case 5 | 6 if away:
                here.append(away.pop(random.randrange(len(away))))
                steps.append(Step("come back", here[-1]))
            case 7 if len(here) > 4:
                steps.append(Step("leave", here.pop(random.randrange(len(here)))))
            case number if number > 7:
                steps.append(Step("call", random.choice(here), scene.call(random)))
    return [*steps, *(Step("come back", number) for number in away)]


@dataclass
class Heard:
    """What came of a sequence of steps."""

    events: dict[int, list[tuple[str, Any]]] = field(default_factory=dict)
    """By client."""
    refused: list[int] = field(default_factory=list)
    """The steps that the actor has refused."""
    replayed: int = field(default=0, compare=False)
    """How many events in all came to those who had been away. Not the same again: the last one before a
    network is lost may have arrived, or not."""

    async def take(self, number: int, client: Connection, scene: Scene) -> None:
        """Keep what a client has heard, once everything has come that was sent to it."""
        # The answer comes behind it.
        await client.call(*scene.nothing)
        names = {*scene.events, "gap", "error"}
        self.events[number] = [(name, args) for name, args in record(client).events if name in names]
        self.replayed += sum(record(client).of("replayed"))


async def play(form: type[Actor[Any, Any]], scene: Scene, steps: list[Step]) -> Heard:
    """Have real clients of a real server do it."""
    heard = Heard()
    clients: dict[int, Connection] = {}
    async with LocalServer(form) as server:
        for number, step in enumerate(steps):
            if step.what == "arrive":
                clients[step.client] = await server.connect(
                    form,
                    "a",
                    step.args,
                    events=scene.events,
                    encoding=("json", "msgpack")[step.client % 2],
                )
                continue
            client = clients[step.client]
            match step.what:
                case "call":
                    try:
                        await client.call(*step.args)
                    except UserError:
                        heard.refused.append(number)
                case "cut":
                    await server.cut(client)
                case "come back":
                    server.restore(client)
                    await client.call(*scene.nothing)
                case "leave":
                    await heard.take(step.client, client, scene)
                    await client.close()
                    del clients[step.client]
                    await eventually(partial(are_there, server.actor(form, "a"), len(clients)))
        for number, client in clients.items():
            await heard.take(number, client, scene)
    return heard


def are_there(actor: Actor[Any, Any], count: int) -> bool:
    return len(actor.conns) == count


def kept(form: type[Actor[Any, Any]]) -> type[Actor[Any, Any]]:
    """Return the same as a durable actor."""
    return type(f"Kept{form.__name__}", (form,), {"durable": True})


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
async def test_loop_and_filter_send_the_same_to_everybody(scene: Scene, seed: int) -> None:
    steps = steps_of(scene, seed)
    looped, filtered = [await play(form, scene, steps) for form in scene.forms]
    assert filtered == looped
    assert await play(kept(scene.forms[1]), scene, steps) == looped
    # And it was worth comparing: everything was sent, to some and not to others, and some of it was replayed.
    counts = [len(events) for events in looped.events.values()]
    assert len(counts) == MOST_CLIENTS and min(counts) < max(counts)
    assert {name for events in looped.events.values() for name, _ in events} == set(scene.events)
    assert looped.replayed > 0
