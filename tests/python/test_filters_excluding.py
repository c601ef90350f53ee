"""Events with a filter that leave some out: who gets them, and what it costs to find that out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from linked import LinkedSocket, running

from ringcast import Actor, Context, where
from ringcast.wire.protocol import Event


@dataclass
class Player:
    name: str = ""
    zone: int = 0


class Zone(Actor[None, Player]):
    def create_conn_state(self, c: Context[None, Player], params: Player) -> Player:
        return params


class KeptZone(Zone):
    durable = True


class Walked(tuple[int, ...]):
    """Connections that are not looked through for each one that matches."""

    def __contains__(self, number: object) -> bool:
        raise AssertionError("the excluded are searched for one of those who match")


@pytest.mark.parametrize("kind", [Zone, KeptZone])
async def test_whoever_is_left_out_gets_nothing_however_often_somebody_else_is(kind: type[Zone]) -> None:
    name = kind.__name__[0].lower() + kind.__name__[1:]
    names = ["ann", "bob", "cat"]
    async with (
        running(kind) as router,
        LinkedSocket(router) as ann,
        LinkedSocket(router) as bob,
        LinkedSocket(router) as cat,
    ):
        clients: dict[str, Any] = {}
        for who, client in zip(names, (ann, bob, cat), strict=True):
            clients[who] = client
            await client.connect(name, "x", params={"name": who}, events=("said",))
        (instance,) = router._directory
        conns = {conn.state.name: conn for conn in instance.conns}
        here = where(zone=0)
        for _ in range(2):
            for left_out in names:
                instance.actor.broadcast("said", left_out, where=here, exclude=conns[left_out])
            instance.actor.broadcast("said", "two", where=here, exclude=[conns["ann"], conns["bob"]])
            instance.actor.broadcast("said", "all", where=here)
        for who, client in clients.items():
            once = [[other] for other in [*names, "two", "all"] if other != who]
            once = [args for args in once if who == "cat" or args != ["two"]]
            assert [(await client.receive(Event)).args for _ in range(2 * len(once))] == once * 2


@pytest.mark.parametrize("kind", [Zone, KeptZone])
async def test_the_excluded_are_not_searched_for_each_one_that_matches(kind: type[Zone]) -> None:
    name = kind.__name__[0].lower() + kind.__name__[1:]
    async with running(kind) as router, LinkedSocket(router) as ann, LinkedSocket(router) as bob:
        for who, client in (("ann", ann), ("bob", bob)):
            await client.connect(name, "x", params={"name": who}, events=("said",))
        (instance,) = router._directory
        numbers = {conn.state.name: conn._number for conn in instance.conns}
        instance.emitter.emit("said", ["hi"], where=where(zone=0), exclude=Walked([numbers["ann"]]))
        instance.actor.broadcast("said", "end")
        assert [(await bob.receive(Event)).args for _ in range(2)] == [["hi"], ["end"]]
        assert (await ann.receive(Event)).args == ["end"]
