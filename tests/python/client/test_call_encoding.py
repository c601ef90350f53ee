"""Calls of a handle are in the client's encoding, and their answers in the one that they say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ringcast import Actor, Client, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.errors import ActionError, RingcastError, UserError
from ringcast.server.serve import serving


class Files(Actor[None, None]):
    @action
    def size(self, c: Context[None, None], data: bytes) -> int:
        return len(data)

    @action
    def give(self, c: Context[None, None]) -> bytes:
        return b"\xff\x00"

    @action
    def refuse(self, c: Context[None, None]) -> None:
        raise UserError("no", code="no", metadata={"seen": b"\xff"})


@pytest.fixture
async def url() -> AsyncIterator[str]:
    config = ServerConfig(max_message_bytes=1000)
    async with Registry(Files, store=MemoryStore(), config=config) as registry, serving(registry) as url:
        yield url


async def test_bytes_over_messagepack(url: str) -> None:
    async with Client(url, encoding="msgpack") as client:
        files = await client.get_or_create(Files, "k")
        assert await files.size(b"\xff\x00") == 2
        assert await files.give() == b"\xff\x00"
        with pytest.raises(UserError) as refused:
            await files.refuse()
        assert refused.value.metadata == {"seen": b"\xff"}


async def test_bytes_over_json_that_are_no_text(url: str) -> None:
    async with Client(url) as client:
        files = client.get_or_create(Files, "k")
        assert await files.size(b"text") == 4
        with pytest.raises(ActionError):
            await files.give()


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_errors_of_the_server_itself(url: str, encoding: Any) -> None:
    async with Client(url, encoding=encoding) as client:
        files = client.get_or_create(Files, "k")
        with pytest.raises(RingcastError) as refused:
            await files.size(b"x" * 2000)
        assert refused.value.code == "message_too_big"
        with pytest.raises(RingcastError) as unknown:
            await files.call("unheard_of")
        assert unknown.value.code == "unknown_action"
