"""A server in a process of its own for all tests, and clients of it in each encoding."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest
from served import HERE, IMPATIENT, OPTIONS, Encoding

import programs
from ringcast import Client
from ringcast.client import ClientConfig
from ringcast.testing import NetworkProxy


@pytest.fixture(scope="session")
def server() -> Iterator[programs.Server]:
    """Give a server that must stay silent, and must stop in order."""
    with programs.serve("actors:registry", *OPTIONS, cwd=HERE) as server:
        yield server


@pytest.fixture(params=["json", "msgpack"])
def encoding(request: pytest.FixtureRequest) -> Encoding:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def key(request: pytest.FixtureRequest) -> list[str]:
    """Give each test an actor of its own."""
    return [request.node.name]


@pytest.fixture
def config() -> ClientConfig:
    return IMPATIENT


@pytest.fixture
async def client(server: programs.Server, encoding: Encoding, config: ClientConfig) -> AsyncIterator[Client]:
    async with Client(server.url, encoding=encoding, config=config) as client:
        yield client


@pytest.fixture
async def network(server: programs.Server) -> AsyncIterator[NetworkProxy]:
    """Give the network between the server and `far`; `client` does not use it."""
    address = urlsplit(server.url)
    async with NetworkProxy(address.hostname or "", address.port or 0) as network:
        yield network


@pytest.fixture
async def far(network: NetworkProxy, encoding: Encoding, config: ClientConfig) -> AsyncIterator[Client]:
    """Give a client whose network can be lost."""
    async with Client(network.url, encoding=encoding, config=config) as client:
        yield client
