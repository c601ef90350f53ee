"""The servers under test for `memory.py`: ours with nothing to say, and a bare picows server beside it.

Each says where it listens on its first line. `parts` is ours with Python's own account of its memory.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.server.serve import run

_BACKLOG: Final = 4096
# What the load has to read before it takes a connection for open; as long as ours.
_CONNECTED: Final = (
    b'["connected",{"stream":1,"epoch":"KcyiqC0itP__","offset":0,"connection":"20a93805ef23f5aa",'
    b'"session":"R78apa8GRDTRSWoVUC_AzKDSHC8NWDl1","actor_id":"5d061df3ab4f7347aad3cbde","window_s":30.0}]'
)


class Idle(Actor):
    """Has connections, and sends nothing."""

    @action
    def settle(self, c: Context) -> int:
        """Collect garbage; return how many connections there are."""
        gc.collect()
        return len(self.conns)

    @action
    def parts(self, c: Context) -> dict[str, Any]:
        """Return how many objects of each type there are, and their size; and what Python has allocated."""
        gc.collect()
        counts: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for each in gc.get_objects():
            name = _name(each)
            counts[name] += 1
            sizes[name] += sys.getsizeof(each)
        types = {name: [counts[name], sizes[name]] for name in counts}
        return {"types": types, "python": tracemalloc.get_traced_memory()[0]}


def _name(each: object) -> str:
    kind = type(each)
    if kind.__name__ == "method":
        return f"method {getattr(getattr(each, '__func__', None), '__qualname__', '')}"
    return f"{kind.__module__}.{kind.__qualname__}"


class _Answering(WSListener):
    """Answers the connect message, as if there were more to it."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        transport.send(WSMsgType.TEXT, _CONNECTED)


def _accept(request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
    response = WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": "ringcast.v1.json"})
    return WSUpgradeResponseWithListener(response, _Answering())


async def _serve_picows() -> None:
    # As small as it gets: uvloop's own transport and picows' smallest read buffer.
    server = await ws_create_server(
        _accept,
        "127.0.0.1",
        0,
        backlog=_BACKLOG,
        use_aiofastnet=False,
        read_buffer_init_size=256,
        enable_auto_ping=False,
    )
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}", os.getpid(), flush=True)
    await server.serve_forever()


def _serve_ours() -> None:
    registry = Registry(Idle, store=MemoryStore(), config=ServerConfig(max_connects_per_s=0))
    run(registry, port=0, on_listening=lambda address: print(address, os.getpid(), flush=True))


def _serve_traced() -> None:
    tracemalloc.start(1)
    _serve_ours()


SERVERS: Final[dict[str, Callable[[], None]]] = {
    "ringcast": _serve_ours,
    "picows": lambda: uvloop.run(_serve_picows()),
    "parts": _serve_traced,
}


def main() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    SERVERS[sys.argv[1]]()


if __name__ == "__main__":
    main()
