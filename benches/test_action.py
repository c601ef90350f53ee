"""What an action costs from its call's bytes to its reply's: decoded, checked, dispatched, run, encoded.

There is no socket: a call is handed to the link as the server hands it on, and the reply is caught where the
link would give it to the core.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.bench.rig import require_release
from ringcast.wire.encoding import Encoding

CALLS_PER_ROUND: Final = 50
ROUNDS: Final = 200
_TIMEOUT_S: Final = 10


@dataclass
class Move:
    x: int
    y: int
    by: str


class Desk(Actor):
    @action
    def echo(self, c: Context, value: Any) -> Any:
        return value

    @action
    def move(self, c: Context, move: Move) -> int:
        return move.x + move.y


class Replies:
    """Stands where the link's sink is once it is connected."""

    queued_bytes = 0

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def send(self, message: bytes, flush: bool = True) -> None:
        self.messages.append(message)

    def flush(self) -> None:
        pass


CALLS: Final = {
    "echo": ["x" * 30],
    "move": [{"x": 1, "y": 2, "by": "ann"}],
}


@pytest.mark.parametrize("encoding", list(Encoding), ids=lambda encoding: encoding.name.lower())
@pytest.mark.parametrize("name", list(CALLS))
def test_action(benchmark: Any, name: str, encoding: Encoding) -> None:
    """Fifty calls in a row: of any value, and of a dataclass that is validated."""
    require_release()
    asyncio.run(measure(benchmark, name, encoding))


async def measure(benchmark: Any, name: str, encoding: Encoding) -> None:
    # The calls of one connection are counted, as in any server, and none is one too many.
    config = ServerConfig(max_actions_per_s=1e6, max_actions_at_once=1_000_000)
    registry = Registry(Desk, store=MemoryStore(), config=config)
    await registry.start()
    near, far = socket.socketpair()
    near.setblocking(False)
    router = registry.router
    link = router.accept(router.open_sink(near.fileno(), encoding), encoding)
    link.on_message(encoding.encode(["connect", {"actor": "desk", "key": ["bench"]}]))
    await until(lambda: link.session is not None and not link.session.ended)
    sink, replies = link.sink, Replies()
    link.sink = replies  # type: ignore[assignment]
    numbers = iter(range(1, 1 << 30))

    def calls() -> tuple[tuple[list[bytes]], dict[str, Any]]:
        replies.messages.clear()
        return (
            [encoding.encode(["call", next(numbers), name, CALLS[name]]) for _ in range(CALLS_PER_ROUND)],
        ), {}

    def call(messages: list[bytes]) -> None:
        for message in messages:
            link.on_message(message)

    try:
        benchmark.pedantic(call, setup=calls, rounds=ROUNDS, warmup_rounds=5)
        assert len(replies.messages) == CALLS_PER_ROUND
    finally:
        link.sink = sink
        link.on_lost(None)
        await registry.stop()
        near.close()
        far.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
