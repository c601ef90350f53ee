"""A client that goes away before its answer is written: the request is told, and nobody else hears of it."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import Final
from urllib.parse import urlsplit

import pytest
from loops import Run
from starlette.types import Receive, Scope, Send

from ringcast import Actor, MemoryStore, Registry
from ringcast.server.application import Beside, mounted
from ringcast.server.serve import serving
from ringcast.testing import eventually

REQUEST: Final = b"GET /slow HTTP/1.1\r\nhost: here\r\n\r\n"
RESETS: Final = struct.pack("ii", 1, 0)
"""For `SO_LINGER`: a close that is a reset."""


class Room(Actor):
    """Only there because a registry has actors."""


class Patient:
    """An application that says more when its client is gone, as one that has not looked would."""

    def __init__(self) -> None:
        self.begun = 0
        self.is_over = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.begun += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        await send({"type": "http.response.body", "body": b"more"})
        self.is_over.set()


@pytest.mark.parametrize("times", [1, 3], ids=["alone", "pipelined"])
@pytest.mark.parametrize("resets", [False, True], ids=["closes", "resets"])
def test_the_request_at_work_is_told_that_its_client_is_gone(
    run: Run, times: int, resets: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        app = Patient()
        registry = Registry(Room, store=MemoryStore())
        async with serving(registry, beside=Beside(application=mounted(registry, app))) as url:
            address = urlsplit(url)
            with socket.create_connection((address.hostname, address.port)) as asking:
                asking.sendall(REQUEST * times)
                await eventually(lambda: app.begun == 1)
                if resets:
                    asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS)
            await app.is_over.wait()
        assert app.begun == 1, "nobody is there for the answers to the others"

    with caplog.at_level(logging.ERROR):
        run(main())
    assert not caplog.records
