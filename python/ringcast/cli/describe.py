"""`ringcast types`, `openapi` and `asyncapi`: what a registry offers its clients, written to a file.

What is written depends on the registry alone, so that `--check` can tell a file that is no longer true.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ..describe import Interface, asyncapi, interface_of, openapi, typescript
from ..server.handshake import PATH
from ..server.replies import STATUS_BY_CODE
from .lines import remark
from .loading import load_registry
from .options import debug_option

__all__ = ["asyncapi_command", "openapi_command", "types"]

Command = TypeVar("Command", bound=Callable[..., Any])

_MOST_LINES: Final = 20
"""How much of a difference `--check` shows."""


def _written_options(command: Command) -> Command:
    options = [
        click.argument("place", metavar="MODULE:REGISTRY"),
        click.option(
            "-o",
            "--output",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="File to write.  [default: standard output]",
        ),
        click.option(
            "--check",
            is_flag=True,
            help="Write nothing; fail, with the difference, unless FILE is what would be written.",
        ),
        debug_option,
    ]
    for add in reversed(options):
        command = add(command)
    return command


def _titled(command: Command) -> Command:
    options = [
        click.option("--title", default="Actors", show_default=True, help="Name of the interface."),
        click.option("--version", default="1.0.0", show_default=True, help="Version of the interface."),
    ]
    for add in reversed(options):
        command = add(command)
    return command


@click.command(short_help="Write the TypeScript types of a registry.")
@_written_options
def types(place: str, output: Path | None, check: bool) -> None:
    """Write what the actors of a registry take and send as TypeScript declarations.

    With them, `createClient<Registry>` of @ringcast/client knows every action, event and parameter, and a
    wrong one does not compile. MODULE is imported as by `ringcast serve`.

    \b
    Examples, the second one for CI:
      ringcast types app:registry -o registry.d.ts
      ringcast types app:registry -o registry.d.ts --check
    """
    _put(typescript(_interface(place), f"ringcast types {place}"), output, check)


@click.command("openapi", short_help="Write an OpenAPI document of a registry's actions.")
@_written_options
@_titled
def openapi_command(place: str, output: Path | None, check: bool, title: str, version: str) -> None:
    """Write the actions of a registry, as they are called over HTTP, as an OpenAPI 3.1 document in JSON.

    \b
    Example:
      ringcast openapi app:registry -o openapi.json
    """
    document = openapi(_interface(place), STATUS_BY_CODE, title=title, version=version)
    _put(_as_json(document), output, check)


@click.command("asyncapi", short_help="Write an AsyncAPI document of a registry's connections.")
@_written_options
@_titled
def asyncapi_command(place: str, output: Path | None, check: bool, title: str, version: str) -> None:
    """Write the messages of connections to a registry's actors as an AsyncAPI 3 document in JSON.

    \b
    Example:
      ringcast asyncapi app:registry -o asyncapi.json
    """
    _put(_as_json(asyncapi(_interface(place), PATH, title=title, version=version)), output, check)


def _interface(place: str) -> Interface:
    interface = interface_of(load_registry(place))
    for text in interface.remarks:
        remark(f"note: {text}")
    return interface


def _as_json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _put(text: str, output: Path | None, check: bool) -> None:
    """Write `text`, or hold it against the file. Raises `click.ClickException` where they differ."""
    if check:
        if output is None:
            raise click.UsageError("--check needs the file to look at: -o FILE")
        _require_same(text, output)
    elif output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def _require_same(text: str, output: Path) -> None:
    try:
        there = output.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise click.ClickException(f"{output} is not there; write it without --check") from error
    if there == text:
        return
    lines = list(
        difflib.unified_diff(
            there.splitlines(), text.splitlines(), str(output), "as the registry is now", lineterm="", n=1
        )
    )
    for line in lines[:_MOST_LINES]:
        remark(line)
    if len(lines) > _MOST_LINES:
        remark(f"… and {len(lines) - _MOST_LINES} lines more")
    raise click.ClickException(f"{output} is not what the registry offers now; write it without --check")
