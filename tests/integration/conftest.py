"""Servers in processes of their own for all tests, and clients of them: over WebSockets in each encoding, and
over server-sent events.

A test that asks for a `carrier`, as `client` and `far` do, is run with each of `CARRIED`.

Tests use the server without TLS. Those of a module whose subject is what a transport could spoil use both: it
says `TRANSPORTS = ("plain", "tls")`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

import pytest
from served import CARRIED, HERE, IMPATIENT, OPTIONS, Carrier, Encoding, Transport

import programs
from certificates import Certificates
from ringcast import Client
from ringcast.client import ClientConfig
from ringcast.testing import NetworkProxy
from ringcast.wire.protocol import MAX_NAME_CHARS


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def plain_server() -> Iterator[programs.Server]:
    with programs.serve("actors:registry", *OPTIONS, cwd=HERE) as server:
        yield server


@pytest.fixture(scope="session")
def tls_server(certificates: Certificates) -> Iterator[programs.Server]:
    with programs.serve("actors:registry", *OPTIONS, *certificates.options, cwd=HERE) as server:
        yield server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "carrier" in metafunc.fixturenames:
        metafunc.parametrize(("carrier", "encoding"), CARRIED)
    elif "encoding" in metafunc.fixturenames:
        metafunc.parametrize("encoding", ("json", "msgpack"))
    transports = getattr(metafunc.module, "TRANSPORTS", None)
    if transports is not None and "transport" in metafunc.fixturenames:
        metafunc.parametrize("transport", transports)


@pytest.fixture
def transport() -> Transport:
    return "plain"


@pytest.fixture
def server(request: pytest.FixtureRequest, transport: Transport) -> programs.Server:
    """Give a server that must stay silent, and must stop in order."""
    return request.getfixturevalue(f"{transport}_server")  # type: ignore[no-any-return]


@pytest.fixture
def key(request: pytest.FixtureRequest) -> list[str]:
    """Give each test an actor of its own."""
    name = request.node.name
    return [name[at : at + MAX_NAME_CHARS] for at in range(0, len(name), MAX_NAME_CHARS)]


@pytest.fixture
def config(certificates: Certificates) -> ClientConfig:
    return replace(IMPATIENT, ssl_context=certificates.client_context())


@pytest.fixture
async def client(
    server: programs.Server, carrier: Carrier, encoding: Encoding, config: ClientConfig
) -> AsyncIterator[Client]:
    async with Client(server.url, encoding=encoding, transport=carrier, config=config) as client:
        yield client


@pytest.fixture
async def network(server: programs.Server) -> AsyncIterator[NetworkProxy]:
    """Give the network between the server and `far`; `client` does not use it."""
    address = urlsplit(server.url)
    async with NetworkProxy(address.hostname or "", address.port or 0) as network:
        yield network


@pytest.fixture
async def far(
    server: programs.Server,
    network: NetworkProxy,
    carrier: Carrier,
    encoding: Encoding,
    config: ClientConfig,
) -> AsyncIterator[Client]:
    """Give a client whose network can be lost."""
    url = urlunsplit(urlsplit(server.url)._replace(netloc=urlsplit(network.url).netloc))
    async with Client(url, encoding=encoding, transport=carrier, config=config) as client:
        yield client
