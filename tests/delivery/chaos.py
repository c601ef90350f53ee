"""The chaos test: real clients, a real server, and between them a network that harms everything.

`run` is used by the tests and by soak. What is checked, and by whom, is in `contestant.py`.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

import programs
from ringcast import Client
from ringcast.client import ClientConfig
from ringcast.errors import RingcastError

from .contestant import Contestant
from .progress import making_progress
from .proxy import ChaosProxy
from .quiet import quiet_clients
from .verdict import Verdict

__all__ = ["Chaos", "run"]

HERE = Path(__file__).parent
OPTIONS = ("--log-level", "warning", "--session-window", "600")
"""Whoever is cut off again and again, on a busy machine, may take long to come back."""
STUCK_AFTER_S = 15.0
PUBLISH_AT_ONCE = 100
CALLS_AT_ONCE = 3
IMPATIENT = ClientConfig(
    reconnect_first_s=0.02,
    reconnect_base_s=0.02,
    reconnect_max_s=0.2,
    connect_timeout_s=5,
    close_timeout_s=2,
    ping_idle_s=1,
    ping_reply_s=1,
)


@dataclass(frozen=True)
class Chaos:
    """How much of it: until so much is done, or the time is up."""

    seed: int
    clients: int
    events: int
    actions: int
    """Of each client."""
    time_s: float = math.inf


def run(chaos: Chaos) -> Verdict:
    """Let the clients play until everything is sent and answered; tell what went wrong."""
    verdict = Verdict(clients=chaos.clients)
    with quiet_clients(), programs.serve("arena:registry", *OPTIONS, cwd=HERE) as server:
        uvloop.run(_against(server.url, chaos, verdict))
    return verdict


async def _against(url: str, chaos: Chaos, verdict: Verdict) -> None:
    address = urlsplit(url)
    async with (
        ChaosProxy(address.hostname or "", address.port or 0, chaos.seed) as proxy,
        Client(url) as near,
        Client(proxy.url, encoding="json", config=IMPATIENT) as json,
        Client(proxy.url, encoding="msgpack", config=IMPATIENT) as msgpack,
    ):
        contestants = [
            Contestant((json, msgpack)[number % 2], number, chaos.seed, verdict)
            for number in range(chaos.clients)
        ]
        try:
            async with making_progress(lambda: progress(verdict, contestants), STUCK_AFTER_S):
                await asyncio.gather(*(contestant.ready() for contestant in contestants))
                await _play(near, contestants, chaos, verdict)
                proxy.calm()
                totals = [await contestant.end() for contestant in contestants]
            _check_sum(contestants, totals, verdict)
        except* TimeoutError:
            verdict.problems += [f"stuck: {contestant}" for contestant in contestants]
        except* RingcastError as failed:
            verdict.problems.append(f"a call failed: {failed.exceptions!r}")
        proxy.calm()
        verdict.cuts = proxy.cuts


def progress(verdict: Verdict, contestants: list[Contestant]) -> int:
    return verdict.deliveries + sum(contestant.answers for contestant in contestants)


async def _play(near: Client, contestants: list[Contestant], chaos: Chaos, verdict: Verdict) -> None:
    """Publish, call, and come and go, until all is sent and answered."""
    time_is_up = asyncio.Event()
    timer = None
    if chaos.time_s < math.inf:
        timer = asyncio.get_running_loop().call_later(chaos.time_s, time_is_up.set)
    done = asyncio.Event()
    async with asyncio.TaskGroup() as until_done:
        for contestant in contestants:
            until_done.create_task(contestant.come_and_go(done))
        async with asyncio.TaskGroup() as work:
            work.create_task(_publish(near, chaos, verdict, time_is_up))
            for contestant in contestants:
                work.create_task(contestant.add(chaos.actions, CALLS_AT_ONCE, time_is_up))
        done.set()
    if timer is not None:
        timer.cancel()


async def _publish(near: Client, chaos: Chaos, verdict: Verdict, time_is_up: asyncio.Event) -> None:
    async with near.arena.get_or_create(["a"]).connect(-1) as connection:
        while verdict.events < chaos.events and not time_is_up.is_set():
            await connection.publish(PUBLISH_AT_ONCE)
            verdict.events += PUBLISH_AT_ONCE


def _check_sum(contestants: list[Contestant], totals: list[int], verdict: Verdict) -> None:
    """Each call has counted once, and each answer was its own."""
    returned = [value for contestant in contestants for value in contestant.returned]
    verdict.actions += len(returned)
    if set(totals) != {len(returned)}:
        verdict.problems.append(f"the sum is {set(totals)}, but {len(returned)} calls were made")
    if sorted(returned) != list(range(1, len(returned) + 1)):
        verdict.problems.append("two calls were answered with the same sum, or one with none")
