"""Sessions that end a batch at a time; time is injected."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from linked import LinkedSocket, running
from room import Room

from ringcast.config import ServerConfig
from ringcast.errors import CloseCode
from ringcast.gateway.parting import Parting
from ringcast.wire.protocol import Event


class Stage:
    """So many sockets, and the pauses that are made while they are closed."""

    def __init__(self, sockets: int, due_s: float, **limits: float) -> None:
        self.left = sockets
        self.now_s = 0.0
        self.pauses: list[tuple[int, float]] = []
        """How many sockets were left, and how long the pause was."""
        config = ServerConfig(**limits)  # type: ignore[arg-type]
        self.parting = Parting(config, due_s, lambda: self.left, lambda: self.now_s, self.sleep)

    async def sleep(self, delay_s: float) -> None:
        self.pauses.append((self.left, delay_s))
        self.now_s += delay_s
        await asyncio.sleep(0)

    async def close(self, sockets: int) -> None:
        for _ in range(sockets):
            await self.parting.turn()
            self.left -= 1


async def test_the_next_batch_goes_when_as_many_may_have_come_back() -> None:
    stage = Stage(25, due_s=10, drain_batch=10, max_connects_per_s=100)
    await stage.close(25)
    assert stage.pauses == [(15, 0.1), (5, 0.1)]


async def test_few_leave_without_a_pause() -> None:
    stage = Stage(10, due_s=10, drain_batch=10, max_connects_per_s=1)
    await stage.close(10)
    assert stage.pauses == []


async def test_all_are_gone_in_time_however_many_there_are() -> None:
    stage = Stage(10_000, due_s=5, drain_batch=10, max_connects_per_s=1)
    await stage.close(10_000)
    assert stage.now_s == pytest.approx(5, abs=0.1)
    assert len(stage.pauses) == 999


async def test_when_the_time_is_up_nobody_waits() -> None:
    stage = Stage(30, due_s=0, drain_batch=10, max_connects_per_s=1)
    stage.now_s = 3
    await stage.close(30)
    assert [delay_s for _, delay_s in stage.pauses] == [0, 0]


async def test_without_a_limit_there_is_a_short_pause() -> None:
    stage = Stage(20, due_s=10, drain_batch=10, max_connects_per_s=0)
    await stage.close(20)
    assert stage.pauses == [(10, 0.1)]


async def test_many_actors_share_the_batches() -> None:
    stage = Stage(30, due_s=10, drain_batch=10, max_connects_per_s=100)
    await asyncio.gather(*(stage.close(3) for _ in range(10)))
    assert stage.pauses == [(20, 0.1), (10, 0.1)]


async def test_a_server_that_stops_closes_its_sockets_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all its actors, and each behind the last events; sessions without a socket take no turn."""
    attached_at_pause: list[int] = []

    async def pause(delay_s: float) -> None:
        assert router._gateway is not None
        attached_at_pause.append(sum(session.attached for session in router._gateway.sessions.values()))

    monkeypatch.setattr("ringcast.router.Parting", partial(Parting, sleep=pause))
    async with running(Room, drain_batch=4, max_connects_per_s=1000) as router:
        clients = [LinkedSocket(router) for _ in range(12)]
        for number, client in enumerate(clients):
            await client.connect("room", str(number % 3), events=("left",))
            assert (await client.receive(Event)).name == "welcome"
        clients[-1].lose()
        clients.pop()
        await router.stop()
        assert attached_at_pause == [7, 3]
        for client in clients:
            said = [await client.next()]
            while isinstance(said[-1], Event):
                said.append(await client.next())
            assert said[-1] == (CloseCode.SERVER_RESTART, "")
            assert [message.name for message in said[:-1] if isinstance(message, Event)] == ["left"] * 4
            client.lose()
