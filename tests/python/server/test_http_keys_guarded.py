"""What `on_before_connect` guards, an answer that was recorded does not give away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from ringcast import Actor, Context, MemoryStore, Registry, SqliteStore, action
from ringcast.errors import Unauthorized
from ringcast.server.serve import serving


class Safe(Actor[None, None]):
    """Goes by a header of its own, or by the query: by what the record does not know as credentials."""

    asked: ClassVar[int] = 0
    began: ClassVar[asyncio.Event]
    go_on: ClassVar[asyncio.Event]

    def on_before_connect(self, c: Context[None, None]) -> None:
        Safe.asked += 1
        if "ann" not in (c.request.headers.get("x-api-key"), c.request.query.get("key")):
            raise Unauthorized("sign in first")

    @action
    def open(self, c: Context[None, None]) -> str:
        return "secret of ann"

    @action
    async def open_slowly(self, c: Context[None, None]) -> str:
        Safe.began.set()
        await Safe.go_on.wait()
        return "secret of ann"

    @action
    def blow_up(self, c: Context[None, None]) -> str:
        c.destroy()
        return "secret of ann"


class KeptSafe(Safe):
    durable = True


@pytest.fixture(autouse=True)
def fresh() -> None:
    Safe.asked, Safe.began, Safe.go_on = 0, asyncio.Event(), asyncio.Event()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with (
        Registry(Safe, KeptSafe, store=MemoryStore()) as registry,
        serving(registry) as url,
        httpx.AsyncClient(base_url=url, headers={"Idempotency-Key": "k1"}) as client,
    ):
        yield client


ANN = {"X-Api-Key": "ann"}


def told(response: httpx.Response) -> Any:
    body = response.json()
    return body["error"]["code"] if "error" in body else body["value"]


@pytest.mark.parametrize("actor", ["safe", "keptSafe"])
async def test_a_recorded_answer_is_for_those_who_are_let_in(client: httpx.AsyncClient, actor: str) -> None:
    path, body = f"/actors/{actor}/actions/open", {"key": ["k"]}
    assert told(await client.post(path, json=body, headers=ANN)) == "secret of ann"
    stranger = await client.post(path, json=body)
    assert (stranger.status_code, told(stranger)) == (401, "unauthorized")
    # Nor does one learn that there is such a key.
    assert told(await client.post(path, json={"key": ["k"], "args": [1]})) == "unauthorized"
    again = await client.post(path, json=body, headers=ANN)
    assert (told(again), again.headers["Idempotent-Replayed"]) == ("secret of ann", "true")
    assert Safe.asked == 4


async def test_the_query_counts_as_well(client: httpx.AsyncClient) -> None:
    path, body = "/actors/safe/actions/open", {"key": ["k"]}
    assert told(await client.post(f"{path}?key=ann", json=body)) == "secret of ann"
    assert told(await client.post(path, json=body)) == "unauthorized"


async def test_who_is_not_let_in_does_not_wait_for_a_call_that_runs(client: httpx.AsyncClient) -> None:
    path, body = "/actors/safe/actions/open_slowly", {"key": ["k"]}
    first = asyncio.create_task(client.post(path, json=body, headers=ANN))
    await Safe.began.wait()
    assert told(await client.post(path, json=body)) == "unauthorized"
    Safe.go_on.set()
    assert told(await first) == "secret of ann"


async def test_where_the_actor_is_gone_nobody_is_given_the_answer(client: httpx.AsyncClient) -> None:
    path, body = "/actors/safe/actions/blow_up", {"key": ["k"]}
    assert told(await client.post(path, json=body, headers=ANN)) == "secret of ann"
    for headers in ({}, ANN):
        response = await client.post(path, json=body, headers=headers)
        assert (response.status_code, told(response)) == (500, "outcome_unknown")
    assert (await client.get("/health")).json()["actors"] == 0


async def test_what_was_kept_over_a_restart(tmp_path: Path) -> None:
    path, body = "/actors/keptSafe/actions/open", {"key": ["k"]}
    answers = []
    for headers in (ANN, {}, ANN):
        async with (
            Registry(KeptSafe, store=SqliteStore(tmp_path / "db")) as registry,
            serving(registry) as url,
            httpx.AsyncClient(base_url=url, headers={"Idempotency-Key": "k1"}) as client,
        ):
            answers.append(await client.post(path, json=body, headers=headers))
    assert list(map(told, answers)) == ["secret of ann", "unauthorized", "secret of ann"]
    assert answers[2].headers["Idempotent-Replayed"] == "true"
