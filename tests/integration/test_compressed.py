"""Clients with and without compression of the same actors hear the same, over lost networks too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from served import Encoding

from ringcast import Actor, Context, ServerConfig, action
from ringcast.client import Connection
from ringcast.testing import LocalServer, assert_event, record
from ringcast.testing.client import IMPATIENT


class Plain(Actor[None, None]):
    """Tells everybody."""

    @action
    def tell(self, c: Context[None, None], texts: list[str]) -> int:
        """Send each text, and return how many they were."""
        for text in texts:
            c.broadcast("told", text)
        return len(texts)

    @action
    def echo(self, c: Context[None, None], text: str) -> str:
        """Return `text`."""
        return text


class Kept(Plain):
    """The same with a stream that is kept."""

    durable = True


TEXTS = ["short", "a text that says itself again and again; " * 30, "größe 😀 " * 2000, "x" * 300]


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    config = ServerConfig(compression=True, shutdown_timeout_s=1.0, close_timeout_s=0.25)
    async with LocalServer(Plain, Kept, config=config) as server:
        yield server


async def connect(
    server: LocalServer, actor: type[Plain], encoding: Encoding, compression: bool
) -> Connection:
    client = server.client(encoding, replace(IMPATIENT, compression=compression))
    connection = client.get_or_create(actor, ["k"]).connect()
    record(connection, "told")
    await connection.ready()
    return connection


@pytest.mark.parametrize("actor", [Plain, Kept])
async def test_all_hear_the_same(server: LocalServer, encoding: Encoding, actor: type[Plain]) -> None:
    listeners = [await connect(server, actor, encoding, compression) for compression in (True, False, True)]
    assert await listeners[0].tell(TEXTS) == len(TEXTS)
    for listener in listeners:
        for text in TEXTS:
            await assert_event(listener, "told", text)
        assert [await listener.echo(text) for text in TEXTS] == TEXTS


@pytest.mark.parametrize("actor", [Plain, Kept])
async def test_what_was_missed_comes_again(
    server: LocalServer, encoding: Encoding, actor: type[Plain]
) -> None:
    away = await connect(server, actor, encoding, True)
    others = [await connect(server, actor, encoding, compression) for compression in (True, False)]
    for number in range(3):
        await server.cut(away)
        texts = [f"{number} {text}" for text in TEXTS]
        await others[number % 2].tell(texts)
        server.restore(away)
        for listener in (away, *others):
            for text in texts:
                await assert_event(listener, "told", text)
