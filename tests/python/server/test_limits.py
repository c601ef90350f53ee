"""Every limit of a server, run into over a real socket: what the client is told, and what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from raw_socket import TIMEOUT_S, opened
from served_here import ServedHere

from ringcast import Actor, Client, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.config import ServerConfig as Config
from ringcast.errors import CloseCode, ConnectionRefused, ParamsTooLarge, RateLimited, SubscriptionRefused
from ringcast.gateway.limits import COUNTED, new_counters
from ringcast.server.serve import serving


class Desk(Actor):
    """Answers, and waits where it is told to."""

    @action
    def echo(self, c: Context, value: Any) -> Any:
        return value

    @action
    def grow(self, c: Context, length: int) -> str:
        return "x" * length

    @action
    async def wait(self, c: Context) -> None:
        await asyncio.Event().wait()

    async def can_subscribe(self, c: Context, event: str) -> bool:
        if event == "slow":
            await asyncio.Event().wait()
        return True


class Served(ServedHere):
    async def until_hit(self, **expected: int) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while self.hit != expected:  # noqa: ASYNC110 - counters call nobody
                await asyncio.sleep(0)


@asynccontextmanager
async def served(**limits: Any) -> AsyncIterator[Served]:
    registry = Registry(
        Desk, store=MemoryStore(), config=ServerConfig(**{"shutdown_timeout_s": 0.5, **limits})
    )
    async with serving(registry) as url:
        yield Served(url, registry)


def test_every_counter_is_a_limit_of_the_configuration() -> None:
    assert set(COUNTED) <= set(Config.__dataclass_fields__)
    assert new_counters() == dict.fromkeys(COUNTED, 0)
    assert sorted(COUNTED) == list(COUNTED)


async def test_parameters() -> None:
    async with served(max_params_bytes=100) as server:
        async with opened(server.url) as socket:
            # What else is in the message counts for nothing: 98 characters and two quotes.
            answer = await socket.connect("desk", params="x" * 98, subscriptions=[f"e{i}" for i in range(99)])
            assert answer[0] == "connected"
        async with opened(server.url) as socket:
            answer = await socket.connect("desk", params="x" * 99)
            assert answer[2]["code"] == "params_too_large"
            assert await socket.closed_with() == CloseCode.CONNECT_REFUSED
        assert server.hit == {"max_params_bytes": 1}


async def test_parameters_as_the_client_has_it() -> None:
    async with served(max_params_bytes=100) as server, Client(server.url) as client:
        connection = client.desk.get_or_create("k").connect(params={"token": "x" * 200})
        with pytest.raises(ConnectionRefused) as refused:
            await connection.ready()
        assert refused.value.code == ParamsTooLarge.code
        assert connection.status == "closed"


async def test_actions_a_second_and_what_goes_on() -> None:
    async with served(max_actions_per_s=0.001, max_actions_at_once=3) as server, opened(server.url) as socket:
        await socket.connect("desk", subscriptions=["kept"])
        assert [await socket.ask("call", "echo", [number]) for number in range(3)] == [0, 1, 2]
        refused = await socket.ask("call", "echo", [3])
        assert refused["code"] == "rate_limited"
        assert 0 < refused["metadata"]["retry_after_ms"] <= 1_000_000
        # A subscription costs as much, the end of one nothing; what was refused is answered for good.
        assert (await socket.ask("subscribe", "more"))["code"] == "rate_limited"
        assert await socket.ask("unsubscribe", "kept") is None
        await socket.send("call", 2, "echo", [1])
        assert await socket.receive() == ["reply", 2, 1]
        await socket.send("call", 4, "echo", [3])
        assert (await socket.receive())[2]["code"] == "rate_limited"
        assert server.hit == {"max_actions_per_s": 2}
        # It is one connection's.
        async with opened(server.url) as other:
            await other.connect("desk")
            assert await other.ask("call", "echo", ["well"]) == "well"


async def test_actions_go_on_when_the_client_has_waited_as_long_as_it_was_told() -> None:
    async with served(max_actions_per_s=20, max_actions_at_once=1) as server, Client(server.url) as client:
        async with client.desk.get_or_create("k").connect() as connection:
            refused = 0
            for number in range(5):
                while True:
                    try:
                        assert await connection.echo(number) == number
                        break
                    except RateLimited as error:
                        refused += 1
                        await asyncio.sleep(error.metadata["retry_after_ms"] / 1000)
        assert server.registry.router.limits_hit["max_actions_per_s"] == refused


async def test_no_limit_on_actions() -> None:
    async with served(max_actions_per_s=0, max_actions_at_once=1) as server, opened(server.url) as socket:
        await socket.connect("desk")
        assert [await socket.ask("call", "echo", [number]) for number in range(50)] == list(range(50))
        assert server.hit == {}


async def test_actions_in_flight() -> None:
    async with served(max_calls_in_flight=2) as server, opened(server.url) as socket:
        await socket.connect("desk")
        await socket.send("call", 1, "wait", [])
        await socket.send("call", 2, "wait", [])
        await socket.send("call", 3, "echo", [1])
        assert (await socket.receive())[1:] == [
            3,
            {"code": "too_many_calls", "message": "2 calls run already"},
        ]
        assert server.hit == {"max_calls_in_flight": 1}


async def test_answers_that_do_not_arrive() -> None:
    async with served(max_calls_recorded=2) as server, opened(server.url) as socket:
        await socket.connect("desk")
        await socket.send("received", [])
        assert [await socket.ask("call", "echo", [number]) for number in range(2)] == [0, 1]
        assert (await socket.ask("call", "echo", [2]))["code"] == "too_many_calls"
        assert server.hit == {"max_calls_recorded": 1}


async def test_subscriptions() -> None:
    async with served(max_subscriptions=2) as server, opened(server.url) as socket:
        [_, answer] = await socket.connect("desk", subscriptions=["a", "b", "c"])
        assert {name: error["code"] for name, error in answer["refused_subscriptions"].items()} == {
            "c": "subscription_refused"
        }
        assert (await socket.ask("subscribe", "d"))["code"] == "subscription_refused"
        # One that it has already is none more, and there is room again behind one that goes.
        assert await socket.ask("subscribe", "a") is None
        assert await socket.ask("unsubscribe", "a") is None
        assert await socket.ask("subscribe", "d") is None
        assert server.hit == {"max_subscriptions": 2}


async def test_subscriptions_of_a_session_that_comes_back_for_others() -> None:
    async with served(max_subscriptions=2) as server:
        async with opened(server.url) as socket:
            [_, first] = await socket.connect("desk", subscriptions=["a", "b"])
            await socket.socket.close(1001)
        resume = {name: first[name] for name in ("session", "epoch", "offset")}
        async with opened(server.url) as socket:
            [_, again] = await socket.connect("desk", subscriptions=["c", "d"], resume=resume)
            assert again["session"] == first["session"]
            assert "refused_subscriptions" not in again
        assert server.hit == {}


async def test_subscriptions_as_the_client_has_them() -> None:
    async with (
        served(max_subscriptions=1) as server,
        Client(server.url) as client,
        client.desk.get_or_create("k").connect() as connection,
    ):
        heard: asyncio.Queue[BaseException] = asyncio.Queue()
        connection.on("error", heard.put_nowait)
        connection.on("a", print)
        connection.on("b", print)
        async with asyncio.timeout(TIMEOUT_S):
            assert isinstance(await heard.get(), SubscriptionRefused)


async def test_a_reply() -> None:
    async with served(max_reply_bytes=1000) as server, opened(server.url) as socket:
        await socket.connect("desk")
        assert (await socket.ask("call", "grow", [2000]))["code"] == "reply_too_large"
        assert server.hit == {"max_reply_bytes": 1}


async def test_messages_that_wait() -> None:
    async with served(max_pending_messages=2) as server, opened(server.url) as socket:
        await socket.connect("desk")
        for id in range(1, 6):
            await socket.send("subscribe", id, "slow")
        assert await socket.closed_with() == CloseCode.INVALID_MESSAGE
        assert server.hit == {"max_pending_messages": 1}


async def test_connects_a_second() -> None:
    async with served(max_connects_per_s=0.001) as server:
        async with opened(server.url) as first, opened(server.url) as second:
            assert (await first.connect("desk"))[0] == "connected"
            assert (await second.connect("desk"))[2]["code"] == "try_again_later"
            assert await second.closed_with() == CloseCode.TRY_AGAIN_LATER
        assert server.hit == {"max_connects_per_s": 1}


async def test_a_message() -> None:
    async with served(max_message_bytes=1000) as server:
        for fragments in (["x" * 1001], ["x" * 600, "x" * 600]):
            async with opened(server.url) as socket:
                await socket.socket.send(fragments if len(fragments) > 1 else fragments[0])
                assert await socket.closed_with() == CloseCode.MESSAGE_TOO_BIG
        async with httpx.AsyncClient(base_url=server.url) as client:
            body = {"key": ["k"], "args": ["x" * 1000]}
            response = await client.post("/actors/desk/actions/echo", json=body)
            assert (response.status_code, response.json()["error"]["code"]) == (413, "message_too_big")
        # A client that says so itself has not been refused.
        async with opened(server.url) as socket:
            await socket.socket.close(CloseCode.MESSAGE_TOO_BIG)
        assert server.hit == {"max_message_bytes": 3}


async def test_time_to_the_connect_message() -> None:
    async with served(connect_timeout_s=0.05) as server, opened(server.url) as socket:
        assert await socket.closed_with() == CloseCode.CONNECT_TIMEOUT
        assert server.hit == {"connect_timeout_s": 1}


async def test_a_peer_that_is_gone_without_a_word() -> None:
    async with (
        served(heartbeat_s=0.05, dead_peer_timeout_s=0.2) as server,
        # It neither pings nor reads, so that it does not answer pings either.
        opened(server.url, ping_interval=None, max_queue=1) as socket,
    ):
        await socket.connect("desk")
        socket.socket.transport.pause_reading()
        await server.until_hit(dead_peer_timeout_s=1)
        socket.socket.transport.resume_reading()
