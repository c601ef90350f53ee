"""`ringcast demo`: serve the actors of `ringcast.demo`, and say how to meet them from a second terminal."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final, Literal

import click

from ..demo import Ticker, registry
from ..demo.prices import read_prices
from ..demo.site import PAGE, site_routes
from ..demo.ticker import DEFAULT_SPEED, MAX_SPEED
from ..operations.logs import LOG_LEVELS, LogConfig
from ..registry import Registry
from ..server.application import Beside
from .options import Number, debug_option
from .serving import serve_registry

__all__ = ["demo"]

_TICKER_KEY: Final = "stocks"


@click.command(short_help="Serve four actors to play with.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8080,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--speed",
    type=Number(min_open=True, most=MAX_SPEED),
    default=DEFAULT_SPEED,
    show_default=True,
    metavar="N",
    help="Prices a second.",
)
@click.option("--log-level", type=click.Choice(LOG_LEVELS), default="warning", show_default=True)
@debug_option
def demo(host: str, port: int, speed: float, log_level: Literal["debug", "info", "warning", "error"]) -> None:
    """Serve chat, game and news rooms, a ticker that plays real share prices, and a page for all of it.

    Prints two lines to paste into a second terminal: one listens, one calls. Nothing is kept when it
    ends, which is by Ctrl-C.

    \b
    Example:
      ringcast demo --speed 20 --port 8080
    """
    read_prices()  # an error about missing data comes now, not when the ticker starts
    beginning: list[asyncio.Task[None]] = []  # the loop itself would not keep it alive

    def on_listening(address: str) -> None:
        beginning.append(asyncio.get_running_loop().create_task(_begin(registry, address, speed)))

    serve_registry(registry, host, port, LogConfig(log_level=log_level), on_listening, Beside(site_routes()))


async def _begin(registry: Registry, address: str, speed: float) -> None:
    # An actor starts with its first use; a listener that came back at once may have been quicker.
    await registry.client.get_or_create(Ticker, [_TICKER_KEY]).set_speed(speed)
    command = _this_program()
    click.echo(
        f"""\
Ringcast demo: chatRoom, gameRoom, newsRoom and ticker at {address} (Ctrl-C ends it)

{_page(address)}

Paste into a second terminal, to listen to share prices:

  {command} listen {address} ticker {_TICKER_KEY} --event price

and, beside it or after it, to call an action:

  {command} call {address} ticker {_TICKER_KEY} latest MSFT

A page at {address}/docs has their actions to try.

With --cut-every 5 --cut-for 3 at its end, the first line has its network cut for real, and shows the
missed prices afterwards, in order."""
    )


def _page(address: str) -> str:
    if (PAGE / "index.html").is_file():
        return f"Open {address}/ in two windows of a browser, side by side."
    return "There is no page to open: it is not built. In a clone of Ringcast, `make demo` builds it."


def _this_program() -> str:
    """Return how a shell in the same directory starts this program again."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return shlex.join([sys.executable, "-m", "ringcast"])
    found = shutil.which(program.name)
    if found is not None and program.is_absolute() and Path(found) == program:
        return program.name
    return shlex.quote(sys.argv[0])
