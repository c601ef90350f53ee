"""Calls over HTTP with an `Idempotency-Key`: run once, answered as often as they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, UserError, action
from ringcast.errors import Unauthorized
from ringcast.server.calls import KEY_HEADER, MARK_HEADER, REPLAYED_HEADER
from ringcast.server.serve import serving
from ringcast.testing import ManualClock
from ringcast.wire.encoding import Encoding


@dataclass
class Total:
    value: int = 0


class Till(Actor[Total, None]):
    """Counts what it did."""

    def __init__(self) -> None:
        self.arrived = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()

    def on_before_connect(self, c: Context[Total, None], params: Any) -> None:
        if params == "refuse":
            raise Unauthorized("sign in first")

    @action
    def add(self, c: Context[Total, None], amount: int) -> int:
        c.state.value += amount
        return c.state.value

    @action
    def fail(self, c: Context[Total, None]) -> None:
        c.state.value += 1
        raise UserError("no", code="no", metadata={"at": c.state.value})

    @action
    async def wait(self, c: Context[Total, None]) -> int:
        c.state.value += 1
        self.arrived.release()
        await self.go_on.wait()
        return c.state.value

    @action
    async def let_go(self, c: Context[Total, None]) -> None:
        await self.arrived.acquire()
        self.go_on.set()

    @action
    def total(self, c: Context[Total, None]) -> int:
        return c.state.value


class Caller:
    def __init__(self, client: httpx.AsyncClient, registry: Registry) -> None:
        self.http = client
        self.registry = registry

    async def __call__(
        self, action: str, *args: Any, key: str | None = None, at: str = "k", **headers: str
    ) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent[KEY_HEADER] = key
        path = f"/actors/till/actions/{action}"
        return await self.http.post(path, json={"key": [at], "args": list(args)}, headers=sent)

    async def total(self) -> int:
        value: int = (await self("total")).json()["value"]
        return value


@pytest.fixture
def limits() -> dict[str, Any]:
    return {}


@pytest.fixture
async def call(limits: dict[str, Any]) -> AsyncIterator[Caller]:
    registry = Registry(Till, store=MemoryStore(), clock=ManualClock(), config=ServerConfig(**limits))
    async with serving(registry) as url, httpx.AsyncClient(base_url=url) as client:
        yield Caller(client, registry)


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


async def test_a_repeat_has_the_same_answer_and_does_not_run(call: Caller) -> None:
    first = await call("add", 5, key="one")
    again = await call("add", 5, key="one")
    assert first.json() == again.json() == {"value": 5}
    assert (first.headers.get(REPLAYED_HEADER), again.headers.get(REPLAYED_HEADER)) == (None, "true")
    assert (await call("add", 5, key="two")).json() == {"value": 10}
    assert (await call("add", 5)).json() == {"value": 15}


async def test_an_error_of_an_action_that_has_begun_is_an_answer_too(call: Caller) -> None:
    first, again = [await call("fail", key="one") for _ in range(2)]
    assert code(first) == code(again) == (400, "no")
    assert first.json() == again.json()
    assert await call.total() == 1


async def test_what_has_not_begun_may_be_mended_and_sent_again(call: Caller) -> None:
    assert code(await call("add", "x", key="one")) == (422, "validation_error")
    assert code(await call("sum", 1, key="one")) == (404, "unknown_action")
    body = {"key": ["k"], "args": [1], "params": "refuse"}
    path, headers = "/actors/till/actions/add", {KEY_HEADER: "one"}
    assert code(await call.http.post(path, json=body, headers=headers)) == (401, "unauthorized")
    assert (await call("add", 1, key="one")).json() == {"value": 1}


async def test_a_repeat_while_the_first_runs_waits_for_it(call: Caller) -> None:
    waiting = [asyncio.create_task(call("wait", key="one")) for _ in range(5)]
    await call("letGo")
    answers = [await each for each in waiting]
    assert [answer.json() for answer in answers] == [{"value": 1}] * 5
    assert [answer.headers.get(REPLAYED_HEADER) for answer in answers].count("true") == 4
    assert await call.total() == 1


async def test_a_caller_that_is_gone_finds_the_answer_when_it_comes_back(call: Caller) -> None:
    first = asyncio.create_task(call("wait", key="one"))
    gone = asyncio.create_task(call("letGo"))
    await gone
    # Cut off before, with or after the answer: whatever it was, the action ran once.
    first.cancel()
    await asyncio.wait([first])
    assert (await call("wait", key="one")).json() == {"value": 1}
    assert await call.total() == 1


async def test_a_key_is_for_one_request(call: Caller) -> None:
    await call("add", 1, key="one")
    for again in (call("add", 2, key="one"), call("total", 1, key="one")):
        assert code(await again) == (422, "idempotency_key_reused")
    assert await call.total() == 1


async def test_an_answer_is_for_who_has_asked_and_a_key_for_one_actor(call: Caller) -> None:
    ann, bob = {"Authorization": "Bearer ann"}, {"Authorization": "Bearer bob"}
    assert (await call("add", 1, key="one", **ann)).json() == {"value": 1}
    for other in (bob, {}, {"Cookie": "sid=1"}, {**ann, "Cookie": "sid=1"}):
        assert code(await call("add", 1, key="one", **other)) == (422, "idempotency_key_reused")
    assert (await call("add", 1, key="one", **ann)).headers[REPLAYED_HEADER] == "true"
    assert (await call("add", 7, key="one", at="other", **bob)).json() == {"value": 7}
    assert await call.total() == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
async def test_what_is_no_key_is_refused(call: Caller, key: str) -> None:
    assert code(await call("add", 1, key=key)) == (400, "invalid_message")
    assert await call.total() == 0


async def test_the_same_answer_in_another_encoding(call: Caller) -> None:
    await call("add", 1, key="one")
    response = await call("add", 1, key="one", Accept="application/msgpack")
    assert response.headers["content-type"] == "application/msgpack"
    assert Encoding.MSGPACK.decode(response.content) == {"value": 1}


@pytest.mark.parametrize("limits", [{"max_keyed_answers": 2}], ids=[""])
async def test_the_oldest_answers_are_forgotten_past_the_limit_and_counted(call: Caller) -> None:
    for key in "abc":
        await call("add", 1, key=key)
    assert call.registry.router.limits_hit["max_keyed_answers"] == 1
    assert (await call("add", 1, key="c")).headers[REPLAYED_HEADER] == "true"
    assert (await call("add", 1, key="a")).json() == {"value": 4}


@pytest.mark.parametrize("limits", [{"keyed_answer_window_s": 60, "sleep_after_s": None}], ids=[""])
async def test_answers_are_forgotten_after_the_window(call: Caller) -> None:
    await call("add", 1, key="a")
    clock = call.registry.clock
    assert isinstance(clock, ManualClock)
    await clock.advance(61)
    assert len(call.registry.router.answers) == 0
    assert (await call("add", 1, key="a")).json() == {"value": 2}


async def test_a_repeat_that_says_so_does_not_run_where_the_first_may_have_been_forgotten(
    call: Caller,
) -> None:
    response = await call("add", 1, key="one")
    mark = response.headers[MARK_HEADER]
    assert (await call("add", 1, key="two", **{MARK_HEADER: mark})).json() == {"value": 2}
    for unknown in ("unknown", "another.0"):
        answer = await call("add", 1, key="three", **{MARK_HEADER: unknown})
        assert code(answer) == (500, "outcome_unknown")
    assert (await call("add", 1, key="one", **{MARK_HEADER: "unknown"})).json() == {"value": 1}
    assert await call.total() == 2


async def test_a_page_may_send_a_key(call: Caller) -> None:
    url = str(call.http.base_url).rstrip("/")
    asked = {"Origin": url, "Access-Control-Request-Method": "POST"}
    response = await call.http.options("/actors/till/actions/add", headers=asked)
    assert KEY_HEADER.lower() in response.headers["access-control-allow-headers"]


@pytest.mark.parametrize("limits", [{"metrics": True, "max_keyed_answers": 1}], ids=[""])
async def test_what_is_kept_and_repeated_is_counted(call: Caller) -> None:
    for key in ("a", "b", "b", "b"):
        await call("add", 1, key=key)
    lines = (await call.http.get("/metrics")).text.splitlines()
    assert "ringcast_keyed_answers 1.0" in lines
    assert "ringcast_repeated_calls_total 2.0" in lines
    assert 'ringcast_limits_hit_total{limit="max_keyed_answers"} 1.0' in lines
    assert 'ringcast_actions_total{action="add",actor="Till",outcome="ok"} 2.0' in lines


@pytest.mark.parametrize("limits", [{"metrics": True}], ids=[""])
async def test_a_call_that_is_not_let_in_is_counted(call: Caller) -> None:
    body = {"key": ["k"], "args": [1], "params": "refuse"}
    await call.http.post("/actors/till/actions/add", json=body)
    lines = (await call.http.get("/metrics")).text.splitlines()
    assert 'ringcast_actions_total{action="add",actor="Till",outcome="refused"} 1.0' in lines
