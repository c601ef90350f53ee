"""socketify (uWebSockets): `publish` to a topic that every client has subscribed to.

It brings its own event loop (libuv, with asyncio's turned beside it), so that there is no uvloop.
"""

from __future__ import annotations

import os

from control import Control, options
from socketify import App, AppListenOptions, CompressOptions, OpCode, WebSocket

TOPIC = "all"
MAX_BACKPRESSURE_BYTES = 64 << 20
"""The default, 64 KiB, drops events of a flood silently."""


def on_open(client: WebSocket) -> None:
    client.subscribe(TOPIC)
    control.connect()


def send(counter: int, at_ns: int) -> None:
    app.publish(TOPIC, control.text(counter, at_ns), OpCode.TEXT)


async def obey() -> None:
    await control.obey()
    # Closing the app in good order takes longer than the benchmark waits.
    os._exit(0)


app = App()
control = Control(options(), send)
app.ws(
    "/*",
    {
        "compression": CompressOptions.DISABLED,
        "max_backpressure": MAX_BACKPRESSURE_BYTES,
        "idle_timeout": 0,
        "open": on_open,
    },
)
if __name__ == "__main__":
    app.listen(
        AppListenOptions(port=control.options.port, host="127.0.0.1"), lambda config: control.listening()
    )
    app.loop.create_background_task(obey)
    app.run()
