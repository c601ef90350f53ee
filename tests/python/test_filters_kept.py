"""What an actor keeps of the filters that it has used: bounded by what they take, whatever it makes up."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from linked import LinkedSocket, running

from ringcast import Actor, Context, where
from ringcast.wire.protocol import Event

FILTERS = 250
"""Fewer than are kept by number alone."""
USERS = 5000
MOST_MIB = 24
"""Keeping all of them took 200 MiB."""


@dataclass
class User:
    user_id: str = ""


class Crowd(Actor[None, User]):
    def create_conn_state(self, c: Context[None, User]) -> User:
        return User("u7-0")


def peak_mib() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if sys.platform == "darwin" else 10)


def publish_all() -> None:
    """Use each filter once, and say how much more memory that took at its highest, in MiB."""

    async def publish() -> int:
        async with running(Crowd) as router, LinkedSocket(router) as client:
            await client.connect("crowd", "x", events=("said",))
            (instance,) = router._directory
            instance.actor.broadcast("said", 0, where=where(user_id__in=[f"warm{n}" for n in range(USERS)]))
            before = peak_mib()
            for k in range(FILTERS):
                ids = [f"u{k}-{n}" for n in range(USERS)]
                instance.actor.broadcast("said", k, where=where(user_id__in=ids))
            grown = peak_mib() - before
            assert (await client.receive(Event)).args == [7]
            return grown

    print(asyncio.run(publish()))


def test_filters_of_many_values_made_anew_each_time_do_not_add_up() -> None:
    # In a process of its own, whose peak nothing else has raised.
    code = "from test_filters_kept import publish_all; publish_all()"
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    done = subprocess.run(  # noqa: PLW1510  # asserted below
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < MOST_MIB


async def test_a_filter_that_was_let_go_of_means_the_same_when_it_comes_again() -> None:
    async with running(Crowd) as router, LinkedSocket(router) as client:
        await client.connect("crowd", "x", events=("said",))
        (instance,) = router._directory
        hers, others = where(user_id="u7-0"), where(user_id__ne="u7-0")
        for k in range(30):
            instance.actor.broadcast("said", k, where=hers)
            instance.actor.broadcast("said", "none", where=others)
            assert len(instance.conns.where(user_id__in=[f"v{k}-{n}" for n in range(USERS)])) == 0
        assert [(await client.receive(Event)).args for _ in range(30)] == [[k] for k in range(30)]
