"""picows: one `send` for each client, with uvloop.

The message is encoded once. A frame cannot be: picows writes the header anew in each `send`.
"""

from __future__ import annotations

from typing import Any

import picows
import uvloop
from control import Control, options

TEXT = picows.WSMsgType.TEXT
BACKLOG = 4096
LEAN: dict[str, Any] = {"use_aiofastnet": False, "read_buffer_init_size": 256}
"""Settings for little memory: those that speed is measured with are the defaults."""


class Client(picows.WSListener):
    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        clients.add(transport)
        control.connect()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        clients.discard(transport)


def send(counter: int, at_ns: int) -> None:
    message = control.text(counter, at_ns).encode()
    for transport in clients:
        transport.send(TEXT, message)


async def main() -> None:
    server = await picows.ws_create_server(
        lambda request: Client(),
        "127.0.0.1",
        control.options.port,
        backlog=BACKLOG,
        **(LEAN if control.options.lean else {}),
    )
    control.listening()
    await control.obey()
    server.close()


clients: set[picows.WSTransport] = set()
control = Control(options(), send)
if __name__ == "__main__":
    uvloop.run(main())
