"""What several subcommands take: an actor's address, values in JSON, options with one meaning everywhere.

They are checked here, before anything is connected; what to do with them is the subcommands'.
"""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeVar
from urllib.parse import unquote, urlsplit

import click
import orjson

from ..client import ActorHandle, Client
from ..wire.protocol import MAX_KEY_PARTS, MAX_NAME_CHARS

__all__ = [
    "DEBUG",
    "KEY_HELP",
    "Number",
    "Target",
    "checked_name",
    "debug_option",
    "json_or_text",
    "takes_target",
]

Command = TypeVar("Command", bound=Callable[..., Any])

DEBUG: Final = "--debug"
KEY_HELP: Final = (
    "KEY is the actor's key. A key of several parts is written with slashes (eu/room-456), a slash "
    "inside a part as %2F; '' is the key without parts."
)


class Number(click.FloatRange):
    """A number within a range, and finite: `nan` is within every range, and `inf` in those without an end."""

    def __init__(self, *, min_open: bool = False, most: float = 1e9) -> None:
        super().__init__(min=0, min_open=min_open, max=most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


def _server_url(ctx: click.Context, param: click.Parameter, value: str) -> str:
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        valid = valid and not parts.query and not parts.fragment
    except ValueError:  # brackets that do not match, a port that is no number or out of range
        valid = False
    if not valid:
        raise click.BadParameter(
            f"{value!r} is no server's address, such as http://127.0.0.1:8080", ctx, param
        )
    return url


def _key(ctx: click.Context, param: click.Parameter, value: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return the parts of all keys given: each one's, one after the other."""
    keys = (value,) if isinstance(value, str) else value
    parts = tuple(unquote(part) for key in keys if key for part in key.split("/"))
    if len(parts) > MAX_KEY_PARTS:
        raise click.BadParameter(f"a key has at most {MAX_KEY_PARTS} parts, not {len(parts)}", ctx, param)
    if any(len(part) > MAX_NAME_CHARS for part in parts):
        raise click.BadParameter(f"a part of a key has at most {MAX_NAME_CHARS} characters", ctx, param)
    return parts


def checked_name(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Return a name, or names, that a server takes."""
    for name in (value,) if isinstance(value, str) else value:
        if not 0 < len(name) <= MAX_NAME_CHARS:
            raise click.BadParameter(f"a name has 1 to {MAX_NAME_CHARS} characters", ctx, param)
    return value


def _json(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise click.BadParameter(f"{value!r} is not JSON: {error}", ctx, param) from error


def json_or_text(text: str) -> Any:
    """Return the JSON value that `text` is, or `text` itself when it is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def debug_option(command: Command) -> Command:
    """Add `--debug`; `main` looks for it, so that it works before and behind the subcommand's name."""
    option = click.option(
        DEBUG, is_flag=True, expose_value=False, help="Show the traceback of an error instead of one line."
    )
    return option(command)


@dataclass(slots=True, frozen=True)
class Target:
    """One actor of one server, and how to reach it."""

    url: str
    actor: str
    key: tuple[str, ...]
    params: Any
    encoding: Literal["json", "msgpack"]
    existing: bool

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ActorHandle[Any]]:
        """Give a handle whose client is closed at the end. Nothing is sent before the handle is used."""
        async with Client(self.url, encoding=self.encoding) as client:
            find = client.get if self.existing else client.get_or_create
            yield find(self.actor, self.key, params=self.params)


def takes_target(*, several_keys: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Take an actor's address and the options that go with it, and pass them on as one `Target`, first.

    `several_keys` allows KEY to be repeated, for subcommands in which nothing comes behind it.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(**options: Any) -> None:
            chosen = {field.name: options.pop(field.name) for field in fields(Target)}
            function(Target(**chosen), **options)

        command: Callable[..., None] = run
        for add in reversed(_target_parameters(several_keys)):
            command = add(command)
        return command

    return decorate


def _target_parameters(several_keys: bool) -> list[Callable[[Callable[..., None]], Callable[..., None]]]:
    return [
        click.argument("url", callback=_server_url),
        click.argument("actor", callback=checked_name),
        click.argument("key", callback=_key, nargs=-1 if several_keys else 1),
        click.option("--params", callback=_json, metavar="JSON", help="Parameters of the connection."),
        click.option(
            "--encoding",
            type=click.Choice(("json", "msgpack")),
            default="json",
            show_default=True,
            help="How messages of a connection are written.",
        ),
        click.option(
            "--existing", is_flag=True, help="Fail if there is no such actor, instead of creating it."
        ),
    ]
