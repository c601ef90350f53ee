"""A bare picows server, to compare with: it answers a connect message and sends in a loop.

No actors, no sessions, no rings: what is left when everything of this package is taken away. It obeys lines
of JSON from standard input, as the native programs do.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import time
from typing import Any, Final

import picows
import uvloop

from .actors import FIRST, paced, padding

__all__ = ["main"]

_BACKLOG: Final = 4096
_READ_BUFFER_BYTES: Final = 2048
_CONNECTED: Final = json.dumps(
    ["connected", {"stream": 1, "epoch": "bare", "offset": 0, "session": "bare"}], separators=(",", ":")
).encode()


class _Client(picows.WSListener):
    def __init__(self, all_clients: set[picows.WSTransport]) -> None:
        super().__init__()
        self._all = all_clients

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.TEXT:
            transport.send(picows.WSMsgType.TEXT, _CONNECTED)
            self._all.add(transport)
        elif frame.msg_type == picows.WSMsgType.CLOSE:
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._all.discard(transport)


class _Sender:
    """Sends events at a pace, one `send` for each client."""

    def __init__(self, payload: int) -> None:
        self.clients: set[picows.WSTransport] = set()
        self.sent = 0
        self._padding = padding(payload)
        self._pacing: asyncio.Task[None] | None = None

    async def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        if self._pacing is not None:
            self._pacing.cancel()
            self._pacing = None
        if "collect" in command:
            gc.collect()
        per_s, count = command.get("pace", 0), command.get("count")
        if count:
            await paced(self._send, per_s, count)
        elif per_s:
            self._pacing = asyncio.create_task(paced(self._send, per_s))
        return {"last": FIRST - 1 + self.sent, "cpu_s": time.process_time(), "at_ns": time.monotonic_ns()}

    def _send(self, due_ns: int) -> None:
        self.sent += 1
        args = f'[{FIRST - 1 + self.sent},{due_ns},"{self._padding}"]'
        message = f'["event",1,{self.sent},"pace",{args}]'.encode()
        for transport in self.clients:
            transport.send(picows.WSMsgType.TEXT, message)


async def _serve(payload: int, *, lean: bool) -> None:
    sender = _Sender(payload)
    server = await picows.ws_create_server(
        lambda request: _Client(sender.clients),
        "127.0.0.1",
        0,
        backlog=_BACKLOG,
        read_buffer_init_size=_READ_BUFFER_BYTES,
        use_aiofastnet=not lean,
    )
    _say({"profile": "release", "port": server.sockets[0].getsockname()[1]})
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        _say(await sender.obey(json.loads(line)))
    server.close()


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    """Serve until standard input ends; with `--lean`, on the transport of the two that takes less memory."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(_serve(int(sys.argv[1]), lean="--lean" in sys.argv))


if __name__ == "__main__":
    main()
