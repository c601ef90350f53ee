"""An answer to a connect message that arrives in the moment in which the time for it is up."""

from __future__ import annotations

import asyncio

import pytest

from ringcast.wire.protocol import Connect

from .conftest import MakeClient
from .scripted import ScriptedServer, record

TIMEOUT_S = 60.0


async def test_it_is_an_answer(
    server: ScriptedServer, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    connection = make_client(connect_timeout_s=TIMEOUT_S).room.get_or_create("k").connect()
    log = record(connection)
    peer = await server.accept()
    assert isinstance(await peer.receive(), Connect)
    peer.send(peer.answer())
    # As if the loop had stood still: it finds the answer and the end of the time in one turn.
    now_s = loop.time
    monkeypatch.setattr(loop, "time", lambda: now_s() + TIMEOUT_S * 1.5)
    await connection.ready()
    assert connection.status == "connected"
    assert log == [("connected",)]
