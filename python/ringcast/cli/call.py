"""`ringcast call`: run one action and print its result."""

from __future__ import annotations

from typing import Any

import click

from ..errors import NotConnected, UnknownAction
from .lines import put_json
from .options import KEY_HELP, Target, checked_name, debug_option, json_or_text, takes_target
from .running import run_client

__all__ = ["call"]


# Unknown options are arguments, so that negative numbers need no `--` before them.
@click.command(
    short_help="Run one action and print its result.",
    context_settings={"ignore_unknown_options": True},
    epilog=f"{KEY_HELP} It is one word: what comes behind it is ACTION. "
    "Each of ARGS is JSON if it can be read as such, and text otherwise; "
    "put -- before arguments that look like options.",
)
@takes_target(several_keys=False)
@click.argument("action", callback=checked_name)
@click.argument("args", nargs=-1)
@debug_option
def call(target: Target, action: str, args: tuple[str, ...]) -> None:
    """Run ACTION of an actor with ARGS and print its result as one line of JSON.

    The call is one HTTP request, unless --params is given: then it is made over a connection with
    these parameters, for actions that ask who is calling.

    \b
    Examples:
      ringcast call http://127.0.0.1:8080 ticker stocks latest MSFT
      ringcast call http://127.0.0.1:8080 gameRoom eu/room-456 move '{"x": 1, "y": 2}' \\
          --params '{"player_id": "ann"}'
    """
    try:
        result = run_client(_call(target, action, [json_or_text(text) for text in args]))
    except UnknownAction as error:
        if not args:
            raise
        # A likely slip: a key of several words, of which only the first was taken for the key.
        raise click.ClickException(
            f"{error.message} ({error.code}); KEY is one word here, {'/'.join(target.key)!r}: "
            f"write a key of several parts with slashes ({'/'.join((*target.key, action))})"
        ) from error
    put_json(result)


async def _call(target: Target, action: str, arguments: list[Any]) -> Any:
    async with target.open() as handle:
        if target.params is None:
            try:
                return await handle.call(action, *arguments)
            except NotConnected as error:
                raise click.ClickException(f"{action} asks who is calling: give --params") from error
        # Found over HTTP first: a connection would go on trying for ever where there is no server.
        await handle.resolve()
        async with handle.connect(target.params) as connection:
            return await connection.call(action, *arguments)
