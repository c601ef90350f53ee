"""`/metrics` of real servers: after each thing that clients do, exactly that is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from linked import eventually
from prometheus_client.parser import text_string_to_metric_families

from conformance.raw_client import RawClient
from event_source import request
from ringcast import Actor, Client, Context, MemoryStore, Registry, ServerConfig, UserError, action
from ringcast.client import ClientConfig
from ringcast.errors import ConnectionRefused
from ringcast.gateway.limits import COUNTED
from ringcast.server.metrics import METRICS
from ringcast.server.serve import serving
from ringcast.testing import NetworkProxy

IMPATIENT = ClientConfig(reconnect_first_s=0.02, reconnect_base_s=0.02, reconnect_max_s=0.1)


@dataclass
class Tally:
    value: int = 0


class Desk(Actor[Tally]):
    @action
    def say(self, c: Context[Tally], *words: str) -> int:
        for word in words:
            c.broadcast("said", word)
        return len(words)

    @action
    async def wait(self, c: Context[Tally]) -> None:
        await asyncio.Event().wait()

    @action
    def fail(self, c: Context[Tally]) -> None:
        raise RuntimeError("nobody is to read this")

    @action
    def refuse(self, c: Context[Tally]) -> None:
        raise UserError("no", code="made_up")


class Small(Actor, max_ring_events=4):
    @action
    def fill(self, c: Context, count: int) -> None:
        for number in range(count):
            c.broadcast("filled", number)


class Kept(Desk):
    durable = True


class Server:
    """A server that counts, and what it says."""

    def __init__(self, url: str, registry: Registry) -> None:
        self.url = url
        self.registry = registry

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def network(self) -> NetworkProxy:
        return NetworkProxy(*self.address)

    async def text(self) -> str:
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"{self.url}/metrics")
        assert answer.status_code == 200, answer.text
        return answer.text

    async def read(self, name: str, **labels: str) -> float | None:
        """Return the value of one sample; None if there is none."""
        for family in text_string_to_metric_families(await self.text()):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return None

    async def until(self, value: float, name: str, **labels: str) -> None:
        """Wait until a sample has this value: what is counted by another thread comes a little later."""
        async with asyncio.timeout(10):
            while await self.read(name, **labels) != value:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0)


@asynccontextmanager
async def counting(*actors: type[Actor[Any, Any]], **settings: Any) -> AsyncIterator[Server]:
    registry = Registry(
        *(actors or (Desk,)), store=MemoryStore(), config=ServerConfig(metrics=True, **settings)
    )
    async with serving(registry) as url:
        yield Server(url, registry)


async def test_events_and_deliveries_are_counted_exactly() -> None:
    async with counting() as server, Client(server.url) as client, Client(server.url) as other:
        connection = client.desk.get_or_create(["a"]).connect()
        silent = other.desk.get_or_create(["a"]).connect()
        heard: list[str] = []
        connection.on("said", heard.append)
        await connection.ready()
        await silent.ready()
        assert await silent.say("one", "two", "three") == 3
        await eventually(lambda: heard == ["one", "two", "three"])
        await server.until(3, "ringcast_deliveries_total", actor="Desk")
        assert await server.read("ringcast_events_total", actor="Desk") == 3
        assert await server.read("ringcast_connections", actor="Desk", state="attached") == 2
        assert await server.read("ringcast_connects_total", actor="Desk", outcome="new") == 2
        assert await server.read("ringcast_sockets", transport="websocket") == 2
        assert await server.read("ringcast_sockets", transport="sse") == 0
        assert await server.read("ringcast_actors", actor="Desk") == 1
        assert await server.read("ringcast_ring_events", actor="Desk") == 3
        assert await server.read("ringcast_lag_events", actor="Desk") == 0


async def test_sockets_of_event_streams_are_told_from_websockets() -> None:
    async with counting() as server, Client(server.url) as client:
        await client.desk.get_or_create(["a"]).connect().ready()
        streams = [await request(server.url, "/actors/desk/events?key=a") for _ in range(3)]
        assert await server.read("ringcast_sockets", transport="sse") == 3
        assert await server.read("ringcast_sockets", transport="websocket") == 1
        for response in streams:
            response.writer.close()
        await server.until(0, "ringcast_sockets", transport="sse")


async def test_bytes_are_those_that_clients_read() -> None:
    async with counting() as server:
        address = server.address

        def talk() -> int:
            with RawClient(address) as raw:
                assert raw.upgrade().status == 101
                raw.send_message(["connect", {"actor": "desk", "key": ["a"], "subscriptions": ["said"]}])
                frames = [raw.read_frame()]
                raw.send_message(["call", 1, "say", ["word"]])
                frames += [raw.read_frame(), raw.read_frame()]
                return sum(len(frame.payload) + (2 if len(frame.payload) < 126 else 4) for frame in frames)

        read = await asyncio.to_thread(talk)
        await server.until(read, "ringcast_sent_bytes_total", actor="Desk")
        assert await server.read("ringcast_deliveries_total", actor="Desk") == 1


async def test_calls_are_counted_by_action_and_outcome() -> None:
    async with counting(action_timeout_s=0.01) as server, Client(server.url) as client:
        desk = client.desk.get_or_create(["a"])
        assert await desk.say("one") == 1
        assert await desk.say() == 0
        for name in ("fail", "refuse", "wait", "no_such_action", "another"):
            with pytest.raises(Exception, match=r"\w"):
                await desk.call(name)
        expected = {
            ("say", "ok"): 2,
            ("fail", "failed"): 1,
            ("refuse", "refused"): 1,
            ("wait", "timeout"): 1,
            ("", "refused"): 2,
        }
        for (name, outcome), count in expected.items():
            sample = await server.read("ringcast_actions_total", actor="Desk", action=name, outcome=outcome)
            assert sample == count, name
        labels = {"actor": "Desk", "action": "wait"}
        assert await server.read("ringcast_action_seconds_count", **labels) == 1
        assert await server.read("ringcast_action_seconds_bucket", **labels, le="0.005") == 0
        assert await server.read("ringcast_action_seconds_bucket", **labels, le="+Inf") == 1
        assert (await server.read("ringcast_action_seconds_sum", **labels) or 0) >= 0.01
        assert "no_such_action" not in await server.text()


async def test_a_client_that_comes_back_is_a_resume_with_what_it_has_missed() -> None:
    async with counting() as server:
        network, near = server.network(), Client(server.url)
        async with network, near, Client(network.url, config=IMPATIENT) as far:
            connection = far.desk.get_or_create(["a"]).connect()
            heard: list[str] = []
            connection.on("said", heard.append)
            await connection.ready()
            network.cut()
            await server.until(1, "ringcast_connections", actor="Desk", state="away")
            await near.desk.get_or_create(["a"]).say("one", "two")
            network.restore()
            await eventually(lambda: heard == ["one", "two"])
            assert await server.read("ringcast_connects_total", actor="Desk", outcome="resumed") == 1
            assert await server.read("ringcast_replayed_events_total", actor="Desk") == 2
            assert await server.read("ringcast_connections", actor="Desk", state="away") == 0


async def test_a_gap_is_counted_with_its_reason() -> None:
    async with counting(Small) as server:
        network, near = server.network(), Client(server.url)
        async with network, near, Client(network.url, config=IMPATIENT) as far:
            connection = far.small.get_or_create(["a"]).connect()
            heard: list[int] = []
            connection.on("filled", heard.append)
            await connection.ready()
            network.cut()
            await server.until(1, "ringcast_connections", actor="Small", state="away")
            await near.small.get_or_create(["a"]).fill(10)
            network.restore()
            await eventually(lambda: heard == [6, 7, 8, 9])
            labels = {"actor": "Small", "reason": "ring_overflow"}
            assert await server.read("ringcast_gaps_total", **labels) == 1
            assert await server.read("ringcast_ring_events", actor="Small") == 4
            assert await server.read("ringcast_ring_occupancy_ratio", actor="Small") == 1


async def test_a_durable_actor_that_starts_again_counts_no_event_twice() -> None:
    store = MemoryStore()
    config = ServerConfig(metrics=True, sleep_after_s=0.01)
    registry = Registry(Kept, store=store, config=config)
    async with serving(registry) as url, Client(url) as client:
        server = Server(url, registry)
        kept = client.kept.get_or_create(["a"])
        await kept.say("one", "two")
        await server.until(0, "ringcast_actors", actor="Kept")
        await kept.say("three")
        await server.until(3, "ringcast_events_total", actor="Kept")


async def test_refused_connects_are_counted_by_close_code() -> None:
    async with counting() as server, Client(server.url) as client:
        with pytest.raises(Exception, match="no actor"):
            await client.get_or_create("nobody", ["a"]).connect().ready()
        assert await server.read("ringcast_refusals_total", code="connect_refused") == 1


async def test_what_runs_into_a_limit_is_counted_by_the_limit() -> None:
    async with counting(max_params_bytes=100) as server, Client(server.url) as client:
        for _ in range(2):
            with pytest.raises(ConnectionRefused):
                await client.desk.get_or_create(["a"]).connect("x" * 200).ready()
        for limit in COUNTED:
            hit = 2 if limit == "max_params_bytes" else 0
            assert await server.read("ringcast_limits_hit_total", limit=limit) == hit, limit


async def test_the_lag_of_the_loop_is_looked_at() -> None:
    async with counting() as server:
        async with asyncio.timeout(10):
            while not await server.read("ringcast_event_loop_lag_seconds_count"):  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert (await server.read("ringcast_event_loop_lag_seconds_sum") or 0) > 0


async def test_every_metric_is_told_and_described() -> None:
    async with counting(Desk, Small, Kept) as server:
        families = {family.name: family for family in text_string_to_metric_families(await server.text())}
        assert {name for name in families if name.startswith("ringcast_")} == set(METRICS)
        for name, described in METRICS.items():
            assert families[name].documentation == described.text
            assert families[name].type == described.kind
        assert "process_cpu_seconds" in families


async def test_two_servers_in_a_process_count_for_themselves() -> None:
    async with counting() as one, counting() as two, Client(one.url) as client:
        await client.desk.get_or_create(["a"]).say("word")
        assert await one.read("ringcast_events_total", actor="Desk") == 1
        assert await two.read("ringcast_events_total", actor="Desk") == 0


async def test_without_the_setting_nothing_is_told_or_counted() -> None:
    registry = Registry(Desk, store=MemoryStore())
    async with serving(registry) as url, httpx.AsyncClient() as http:
        assert (await http.get(f"{url}/metrics")).status_code == 404
        assert registry.router.metrics is None


async def test_metrics_on_a_port_of_their_own_are_not_on_the_server_s(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "ringcast.server")
    async with counting(metrics_port=0) as server, httpx.AsyncClient() as http:
        assert (await http.get(f"{server.url}/metrics")).status_code == 404
        [said] = [record.getMessage() for record in caplog.records if "metrics at " in record.getMessage()]
        address = said.removeprefix("metrics at ")
        answer = await http.get(address)
        assert answer.status_code == 200 and 'ringcast_sockets{transport="sse"} 0.0' in answer.text
        assert (await http.get(address.replace("/metrics", "/connect"))).status_code == 404
        openmetrics = await http.get(address, headers={"Accept": "application/openmetrics-text"})
        assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
        assert openmetrics.text.endswith("# EOF\n")
