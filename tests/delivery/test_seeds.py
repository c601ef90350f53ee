"""What the same seed does again in the chaos test, whose timing is never the same twice."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from ringcast import Client
from ringcast.testing import LocalServer

from .arena import NAMES, Arena

HEARD = (*NAMES, "moved", "others", "personal", "team", "filtered")


async def sent_to_players(seed: int, numbers: list[int], pieces: list[int]) -> dict[int, list[Any]]:
    """Let players come in this order, publish in pieces of these sizes; return what each of them was sent."""
    heard: dict[int, list[Any]] = {number: [] for number in numbers}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(LocalServer(Arena))
        client = await stack.enter_async_context(Client(server.url))
        arena = client.arena.get_or_create(["a"])
        players = []
        for number in numbers:
            player = arena.connect(number)
            for name in HEARD:
                player.on(name, partial(_take, heard[number], name))
            players.append(await stack.enter_async_context(player))
        publisher = await stack.enter_async_context(arena.connect(-1))
        await publisher.begin(seed)
        for piece in pieces:
            await publisher.publish(piece)
        for player in players:
            # Answered behind everything that was sent before.
            await player.tally()
    return heard


def _take(into: list[Any], name: str, what: Any, pad: str) -> None:
    into.append((name, what["number"] if name == "moved" else what, len(pad)))


async def test_the_same_events_are_sent_to_the_same_players_whoever_comes_first() -> None:
    first = await sent_to_players(7, [0, 1, 2, 3, 4, 5], [300])
    again = await sent_to_players(7, [5, 2, 0, 4, 1, 3], [1, 149, 50, 100])
    other = await sent_to_players(8, [0, 1, 2, 3, 4, 5], [300])
    assert first == again
    assert first != other
    assert {name for sent in first.values() for name, _, _ in sent} == set(HEARD)
