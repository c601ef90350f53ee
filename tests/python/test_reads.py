"""What one read brings is answered with one write, at the end of that read and not later.

The socket keeps the boundaries of writes: one `recv` gives what one system call of the server has sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from linked import running

from ringcast import Actor, Context, action
from ringcast.gateway.link import Link
from ringcast.router import Router
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connect, Received, Subscribe

JSON = Encoding.JSON


class Reads:
    """A client that says where the reads of its messages end."""

    def __init__(self, router: Router) -> None:
        self._near, self._far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._near.setblocking(False)
        self._far.setblocking(False)
        self.link: Link = router.accept(router.open_sink(self._near.fileno(), JSON), JSON)

    async def connect(self) -> None:
        self.link.on_message(JSON.encode(Connect("counter", ("a",)).to_wire()))
        async with asyncio.timeout(10):
            answer = await asyncio.get_running_loop().sock_recv(self._far, 65536)
        assert b"connected" in answer

    def read(self, *messages: Call | Received | Subscribe, ends: bool = True) -> None:
        for position, message in enumerate(messages, start=1):
            self.link.on_message(JSON.encode(message.to_wire()), last=ends and position == len(messages))

    def written(self) -> list[list[int]]:
        """Return the ids of the replies that are there now, by the write that they came with."""
        writes = []
        with contextlib.suppress(BlockingIOError):
            while write := self._far.recv(65536):
                writes.append([int(part.split(b",")[0]) for part in write.split(b'["reply",')[1:]])
        return writes

    def raw(self) -> bytes:
        """Return all bytes that are there now."""
        read = b""
        with contextlib.suppress(BlockingIOError):
            while part := self._far.recv(65536):
                read += part
        return read

    def lose(self) -> None:
        self.link.on_lost(None)
        self._near.close()
        self._far.close()


class Counter(Actor):
    """Counts, when it is called."""

    def __init__(self) -> None:
        self.count = 0
        self.allowed = asyncio.Event()

    @action
    def total(self, c: Context) -> int:
        self.count += 1
        return self.count

    async def can_subscribe(self, c: Context, event: str) -> bool:
        if event == "later":
            await self.allowed.wait()
        return True


@asynccontextmanager
async def connected() -> AsyncIterator[Reads]:
    async with running(Counter) as router:
        client = Reads(router)
        try:
            await client.connect()
            yield client
        finally:
            client.lose()


def calls(*ids: int, action: str = "total") -> list[Call]:
    return [Call(id, action, []) for id in ids]


async def test_replies_of_one_read_go_out_in_one_write_when_it_ends() -> None:
    async with connected() as client:
        client.read(*calls(1, 2), ends=False)
        assert client.written() == []
        client.read(*calls(3))
        assert client.written() == [[1, 2, 3]]
        client.read(*calls(4, 5))
        assert client.written() == [[4, 5]]


@pytest.mark.parametrize(
    "last",
    [Received([1]), Call(2, "nowhere", []), Subscribe(2, "said")],
    ids=["received", "error", "subscribe"],
)
async def test_whatever_the_last_message_of_a_read_is(last: Call | Received | Subscribe) -> None:
    async with connected() as client:
        client.read(*calls(1), last)
        assert [id for write in client.written() for id in write][:1] == [1]


async def test_broken_message_holds_nothing_back() -> None:
    async with connected() as client:
        client.read(*calls(1, 2), ends=False)
        client.link.on_message(b"[", last=False)
        raw = client.raw()
        assert raw.count(b'["reply",') == 2 and b'["error",null,' in raw
        assert b"the message is not valid JSON: " in raw.rpartition(b"\x88")[2]


async def test_read_that_ends_without_a_message_for_the_link_is_answered_on_the_next_turn() -> None:
    async with connected() as client:
        client.read(*calls(1, 2), ends=False)
        await asyncio.sleep(0)
        assert client.written() == [[1, 2]]
        # The turn after has nothing left to do, nor does the next read wait for it.
        client.read(*calls(3), ends=False)
        client.read(*calls(4))
        assert client.written() == [[3, 4]]
        await asyncio.sleep(0)
        assert client.written() == []


async def test_message_that_waits_for_a_hook_keeps_no_reply_from_going_out() -> None:
    async with connected() as client:
        client.read(*calls(1), Subscribe(2, "later"), *calls(3))
        assert client.written() == [[1]]
