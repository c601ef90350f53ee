"""Calls with an `Idempotency-Key` to durable actors: a repeat is answered after a restart, too."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, SqliteStore, UserError, action
from ringcast.server.calls import KEY_HEADER, MARK_HEADER, REPLAYED_HEADER
from ringcast.server.serve import serving
from ringcast.store import Store
from ringcast.testing import ManualClock

PATH = "/actors/till/actions/"
FOUND = "get_or_create"


@dataclass
class Total:
    value: int = 0


class Till(Actor[Total, None]):
    durable = True

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    @action
    def add(self, c: Context[Total, None], amount: int) -> int:
        c.state.value += amount
        return c.state.value

    @action
    async def add_later(self, c: Context[Total, None], amount: int) -> int:
        await asyncio.sleep(0)
        return self.add(c, amount)

    @action
    def fail(self, c: Context[Total, None]) -> None:
        c.state.value += 1
        raise UserError("no", code="no", metadata={"at": c.state.value})

    @action
    def big(self, c: Context[Total, None]) -> str:
        c.state.value += 1
        return "x" * 70_000

    @action
    async def half(self, c: Context[Total, None]) -> None:
        c.state.value += 1
        await c.save_state()
        await self.go_on.wait()

    @action
    def total(self, c: Context[Total, None]) -> int:
        return c.state.value


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "kept.db")


@asynccontextmanager
async def started(store: Store, clock: ManualClock | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Run a server, as a new process would."""
    config = ServerConfig(shutdown_timeout_s=0.2)
    registry = Registry(Till, store=store, clock=clock or ManualClock(), config=config)
    async with serving(registry) as url, httpx.AsyncClient(base_url=url) as client:
        yield client


async def call(
    client: httpx.AsyncClient, action: str, *args: Any, key: str = "", lookup: str = FOUND, **headers: str
) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"key": ["k"], "lookup": lookup, "args": list(args)}
    return await client.post(PATH + action, json=body, headers={**sent, **({KEY_HEADER: key} if key else {})})


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize("action", ["add", "addLater"])
async def test_a_repeat_after_a_restart_is_answered_and_does_not_run(store: Store, action: str) -> None:
    async with started(store) as client:
        assert (await call(client, action, 5, key="one", lookup="create")).json() == {"value": 5}
    async with started(store) as client:
        for _ in range(2):
            again = await call(client, action, 5, key="one", lookup="create", **{MARK_HEADER: "unknown"})
            assert (again.json(), again.headers[REPLAYED_HEADER]) == ({"value": 5}, "true")
        assert (await call(client, action, 5, key="two")).json() == {"value": 10}
        assert code(await call(client, action, 6, key="one")) == (422, "idempotency_key_reused")


async def test_errors_and_what_has_not_begun(store: Store) -> None:
    async with started(store) as client:
        first = await call(client, "fail", key="one")
        assert code(first) == (400, "no")
        assert code(await call(client, "add", "x", key="two")) == (422, "validation_error")
    async with started(store) as client:
        again = await call(client, "fail", key="one")
        assert (again.status_code, again.json()) == (400, first.json())
        assert (await call(client, "add", 1, key="two")).json() == {"value": 2}


async def test_it_is_for_who_has_asked(store: Store) -> None:
    async with started(store) as client:
        await call(client, "add", 1, key="one", Authorization="ann")
    async with started(store) as client:
        refused = await call(client, "add", 1, key="one", Authorization="bob")
        assert code(refused) == (422, "idempotency_key_reused")
        assert (await call(client, "add", 1, key="one", Authorization="ann")).json() == {"value": 1}


async def test_one_that_was_not_kept_is_a_new_call_unless_its_client_asks_to_be_sure(store: Store) -> None:
    async with started(store) as client:
        await call(client, "add", 1)
    async with started(store) as client:
        answer = await call(client, "add", 1, key="one", **{MARK_HEADER: "unknown"})
        assert code(answer) == (500, "outcome_unknown")
        assert (await call(client, "add", 1, key="one")).json() == {"value": 2}


async def test_it_is_wanted_for_the_window(store: Store) -> None:
    clock = ManualClock()
    async with started(store, clock) as client:
        await call(client, "add", 1, key="one")
    await clock.advance(590)
    async with started(store, clock) as client:
        assert (await call(client, "add", 1, key="one")).json() == {"value": 1}
    async with started(store, clock) as client:
        await clock.advance(601)
        assert (await call(client, "add", 1, key="one")).json() == {"value": 2}


async def test_an_answer_that_is_too_large_is_not_kept_and_the_call_not_run_again(store: Store) -> None:
    async with started(store) as client:
        for _ in range(2):
            assert len((await call(client, "big", key="one")).json()["value"]) == 70_000
    async with started(store) as client:
        assert code(await call(client, "big", key="one")) == (500, "outcome_unknown")
        assert (await call(client, "total")).json() == {"value": 1}


def copy_files(here: Path, there: Path) -> None:
    there.mkdir()
    for path in here.glob("kept.db*"):
        shutil.copy(path, there)


async def test_what_was_done_by_half_when_the_process_ended_is_not_done_again(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "kept.db")
    async with started(store) as client:
        waiting = asyncio.create_task(call(client, "half", key="one"))
        async with asyncio.timeout(10):
            while not (found := await store.find("Till", ("k",))) or b"1" not in found.state:  # noqa: ASYNC110
                await asyncio.sleep(0)
        # The files as they are at this moment are what a crash would leave.
        copy_files(tmp_path, tmp_path / "crashed")
        waiting.cancel()
    async with started(SqliteStore(tmp_path / "crashed" / "kept.db")) as client:
        assert code(await call(client, "half", key="one")) == (500, "outcome_unknown")
        assert (await call(client, "total")).json() == {"value": 1}
