"""`ringcast listen`: print the events of an actor as they come, over any number of lost networks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import click

from ..client import Connection
from ..errors import InvalidFilter, RingcastError, SubscriptionRefused
from ..testing import NetworkProxy
from ..wire.naming import RESERVED_EVENTS
from ..wire.protocol import Gap
from ..wire.topics import topic_of
from .lines import put_json, remark
from .options import KEY_HELP, Number, Target, checked_name, debug_option, json_or_text, takes_target
from .running import run_client

__all__ = ["listen"]


@dataclass(slots=True, frozen=True)
class _Outages:
    """When to cut the network: this long after each (re)connect, for this long; both in seconds."""

    every_s: float
    for_s: float


def _events(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for name in checked_name(ctx, param, value):
        if name in RESERVED_EVENTS:
            raise click.BadParameter(
                f"{name!r} is told on stderr anyway: it is of the connection, and no actor sends it",
                ctx,
                param,
            )
    return value


_Condition = tuple[str, Any]
"""A field and its operator, behind the name of an event or not; and the value."""
_Filters = dict[str, dict[str, Any] | None]
"""By event: what is said of its fields, if anything."""


def _conditions(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> list[_Condition]:
    conditions = []
    for text in value:
        key, equals, wanted = text.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{text!r} is no FIELD=VALUE", ctx, param)
        conditions.append((key, json_or_text(wanted)))
    return conditions


def _filters(events: tuple[str, ...], conditions: list[_Condition]) -> _Filters:
    """Return each event with the filter that it is listened for with, if any."""
    found: dict[str, dict[str, Any]] = {name: {} for name in events}
    for key, wanted in conditions:
        of_event = max((name for name in found if key.startswith(f"{name}.")), key=len, default=None)
        field = key if of_event is None else key.removeprefix(f"{of_event}.")
        for name in found if of_event is None else (of_event,):
            if field in found[name]:
                raise click.UsageError(
                    f"--where {key}: {field!r} of {name!r} is said twice; __in takes several values"
                )
            found[name][field] = wanted
    for name, fields in found.items():
        try:
            topic_of(name, fields)
        except InvalidFilter as error:
            raise click.UsageError(f"--where of {name!r}: {error}") from error
    return {name: fields or None for name, fields in found.items()}


@click.command(
    short_help="Print the events of an actor.",
    epilog=f"{KEY_HELP} It may be repeated: further KEY add parts.",
)
@takes_target(several_keys=True)
@click.option(
    "--event",
    "events",
    multiple=True,
    required=True,
    callback=_events,
    metavar="NAME",
    help="Event to listen for; repeatable.",
)
@click.option(
    "--where",
    "conditions",
    multiple=True,
    callback=_conditions,
    metavar="[NAME.]FIELD[__OP]=VALUE",
    help="Only events whose FIELD is VALUE, which is JSON or text, or compares with it by OP (ne, lt, le, "
    "gt, ge, in, not_in, has, prefix, is, is_not); of the event NAME, or of each. All of them have to hold.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Stop after N events.")
@click.option(
    "--cut-every",
    type=Number(min_open=True),
    metavar="S",
    help="Really cut the network S seconds after each (re)connect, to watch the replay.",
)
@click.option(
    "--cut-for",
    type=Number(min_open=True),
    default=3.0,
    show_default=True,
    metavar="S",
    help="Keep the network cut for S seconds.",
)
@debug_option
def listen(
    target: Target,
    events: tuple[str, ...],
    conditions: list[_Condition],
    count: int | None,
    cut_every: float | None,
    cut_for: float,
) -> None:
    """Connect to an actor and print each event as one line of JSON: its offset, name and args.

    What becomes of the connection is said on stderr: connected, disconnected, reconnected, how many
    missed events are replayed, and gaps. Ends after --count events, by Ctrl-C, or when the server
    refuses an event or ends the connection for good.

    \b
    Examples:
      ringcast listen http://127.0.0.1:8080 ticker stocks --event price --cut-every 5 --cut-for 3
      ringcast listen http://127.0.0.1:8080 ticker stocks --event price --where symbol=MSFT
      ringcast listen http://127.0.0.1:8080 ticker stocks --event price \\
          --where 'symbol__in=["IBM", "MSFT"]' --where price.price__ge=100
    """
    filters = _filters(events, conditions)
    outages = None if cut_every is None else _Outages(cut_every, cut_for)
    if outages is not None and urlsplit(target.url).scheme != "http":
        raise click.UsageError("--cut-every needs an http:// address: the proxy has no certificate")
    run_client(_listen(target, filters, count, outages))


async def _listen(target: Target, filters: _Filters, count: int | None, outages: _Outages | None) -> None:
    async with contextlib.AsyncExitStack() as stack:
        network = None
        if outages is not None:
            network, target = await stack.enter_async_context(_through_proxy(target))
        handle = await stack.enter_async_context(target.open())
        # Found over HTTP first: a connection would go on trying for ever where there is no server.
        await handle.resolve()
        connection = handle.connect(target.params)
        watch = _Watch(connection, count)
        watch.listen(filters)
        async with connection:
            if network is not None and outages is not None:
                cutting = asyncio.create_task(_cut(network, connection, outages))
                stack.callback(cutting.cancel)
            await watch.done


@contextlib.asynccontextmanager
async def _through_proxy(target: Target) -> AsyncIterator[tuple[NetworkProxy, Target]]:
    parts = urlsplit(target.url)
    async with NetworkProxy(parts.hostname or "", parts.port or 80) as network:
        yield network, replace(target, url=network.url + parts.path)


async def _cut(network: NetworkProxy, connection: Connection, outages: _Outages) -> None:
    with contextlib.suppress(RingcastError):  # the connection has ended for good; `_Watch` says so
        while True:
            await connection.ready()
            await asyncio.sleep(outages.every_s)
            remark(f"network cut for {outages.for_s:g} s")
            network.cut()
            await asyncio.sleep(outages.for_s)
            network.restore()
            remark("network restored")


class _Watch:
    """Prints what one connection brings, until enough has come or the connection ends."""

    def __init__(self, connection: Connection, count: int | None) -> None:
        self._connection = connection
        self._left = count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done after the last event that was asked for; raises what ended the connection for good."""

    def listen(self, filters: _Filters) -> None:
        """Register for these events and for the connection's own; call it before the connection is made."""
        connection = self._connection
        connection.on("connected", lambda: remark(f"connected at offset {connection.position[1]}"))
        connection.on("disconnected", self._on_disconnected)
        connection.on("reconnected", lambda: remark("reconnected"))
        connection.on("replayed", lambda count: remark(f"replayed {count}: that many missed events follow"))
        connection.on("gap", lambda gap: remark(_describe(gap)))
        connection.on("error", self._on_error)
        for name, where in filters.items():
            connection.on(name, partial(self._on_event, name), where=where)

    def _on_disconnected(self) -> None:
        reason = self._connection.last_error  # None when it was this side that closed
        remark("disconnected" if reason is None else f"disconnected: {reason}")

    def _on_event(self, name: str, *args: Any) -> None:
        if self.done.done():
            return  # more came in the same read
        try:
            # The connection's position has moved to an event by the time its handlers run.
            put_json({"offset": self._connection.position[1], "name": name, "args": args})
        except OSError as error:  # the reader of our output has gone
            self._fail(error)
            return
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self.done.set_result(None)

    def _on_error(self, error: Exception) -> None:
        final = self._connection.status == "closed" or isinstance(error, SubscriptionRefused)
        if final and not self.done.done():
            self._fail(error)
        else:
            remark(f"error: {error}")

    def _fail(self, error: Exception) -> None:
        self.done.set_exception(error)
        self.done.exception()  # seen: where entering the connection raises it, nobody waits for `done`


def _describe(gap: Gap) -> str:
    lost = "" if gap.first is None else f", offsets {gap.first} to {gap.last} are lost"
    return f"gap: {gap.reason}{lost}"
