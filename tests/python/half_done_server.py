"""The server that `test_half_done.py` kills: run as a script with the path of its store and a port."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from ringcast import Actor, Context, Registry, SqliteStore, action
from ringcast.server.serve import run

SAVED = "saved"


@dataclass
class Sales:
    begun: int = 0
    ended: int = 0


class Till(Actor[Sales]):
    """Sells in two halves."""

    durable = True

    @action
    async def sell(self, c: Context[Sales]) -> None:
        c.state.begun += 1
        await c.save_state()
        print(SAVED, flush=True)
        await asyncio.Event().wait()  # until the process is killed

    @action
    def read(self, c: Context[Sales]) -> Sales:
        return c.state


if __name__ == "__main__":
    run(Registry(Till, store=SqliteStore(sys.argv[1])), port=int(sys.argv[2]))
