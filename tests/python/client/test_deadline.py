"""An answer to a connect message that arrives in the moment in which the time for it is up."""

from __future__ import annotations

import time

from ringcast.wire.protocol import Connect

from .conftest import MakeClient
from .scripted import ScriptedServer, record

TIMEOUT_S = 0.3


async def test_it_is_an_answer(server: ScriptedServer, make_client: MakeClient) -> None:
    connection = make_client(connect_timeout_s=TIMEOUT_S).room.get_or_create("k").connect()
    log = record(connection)
    peer = await server.accept()
    assert isinstance(await peer.receive(), Connect)
    peer.send(peer.answer())
    # The loop stands still: afterwards it finds the answer and the end of the time in one turn.
    time.sleep(TIMEOUT_S * 1.5)  # noqa: ASYNC251
    await connection.ready()
    assert connection.status == "connected"
    assert log == [("connected",)]
