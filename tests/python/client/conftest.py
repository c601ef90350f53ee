"""Fixtures: a scripted server, and clients that do not wait between attempts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Literal

import pytest

from ringcast.client import Client, ClientConfig

from .scripted import ScriptedServer


class Delays(list[float]):
    """The delays that a client asked for; none is waited for."""

    async def sleep(self, delay_s: float) -> None:
        self.append(delay_s)
        await asyncio.sleep(0)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
def delays() -> Delays:
    return Delays()


@pytest.fixture
def config(delays: Delays) -> ClientConfig:
    return ClientConfig(sleep=delays.sleep, random_source=lambda: 0.5, close_timeout_s=1.0)


@pytest.fixture(params=["json", "msgpack"])
def encoding(request: pytest.FixtureRequest) -> Literal["json", "msgpack"]:
    return request.param  # type: ignore[no-any-return]


MakeClient = Callable[..., Client]


@pytest.fixture
async def make_client(server: ScriptedServer, config: ClientConfig) -> AsyncIterator[MakeClient]:
    """Make clients of the scripted server; keyword arguments change the config."""
    clients: list[Client] = []

    def make(encoding: Literal["json", "msgpack"] = "json", **changes: Any) -> Client:
        clients.append(Client(server.url, encoding=encoding, config=replace(config, **changes)))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


@pytest.fixture
async def client(make_client: MakeClient, encoding: Literal["json", "msgpack"]) -> Client:
    return make_client(encoding)
