"""`ringcast settings`: what a server would run with, and where that comes from; the flags for it.

What settings there are, and how they are read, is the work of `ringcast.operations.settings`.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable
from typing import Any, Final

import click

from ..config import ServerConfig
from ..operations.settings import SETTINGS, Effective, Setting, SettingsError, load
from .lines import remark
from .loading import load_registry
from .options import Number, debug_option

__all__ = ["UNKNOWN", "settings", "takes_settings"]

UNKNOWN: Final = "these variables are no settings, and mean nothing here"

_METAVARS: Final = {int: "N", float: "S", str: "TEXT"}
_TYPES: Final[dict[str, click.ParamType[Any]]] = {
    "port": click.IntRange(0, 65_535),
    "session_window_s": Number(),
    "store_path": click.Path(dir_okay=False),
    "tls_certificate": click.Path(dir_okay=False),
    "tls_key": click.Path(dir_okay=False),
}
"""Of those that are checked before anything is read. The others are text here: their settings check them."""


def takes_settings(function: Callable[..., None]) -> Callable[..., None]:
    """Take every setting as a flag, and `--config`; pass on how to load them, as `settings`, first.

    That is a function from the registry's own settings to what holds. It raises `click.UsageError`.
    """

    @functools.wraps(function)
    def run(config_file: str | None, **options: Any) -> None:
        flags = {name: options.pop(name) for name in SETTINGS}
        given = {name: value for name, value in flags.items() if value is not None}
        function(functools.partial(_loaded, file=config_file, flags=given), **options)

    command: Callable[..., None] = run
    for setting in reversed(SETTINGS.values()):
        command = _option(setting)(command)
    return click.option(
        "--config",
        "config_file",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Read settings from this TOML file.  [default: that in RINGCAST_CONFIG, else none]",
    )(command)


def _loaded(config: ServerConfig, *, file: str | None, flags: dict[str, Any]) -> Effective:
    try:
        return load(config, file=file, flags=flags)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error


def _option(setting: Setting) -> Callable[[Callable[..., None]], Callable[..., None]]:
    help_text = _first_sentence(setting.text)
    if setting.plain_type is bool:
        name = setting.flag.removeprefix("--")
        return click.option(f"--{name}/--no-{name}", setting.name, default=None, help=help_text)
    choices = typing.get_args(setting.type) if typing.get_origin(setting.type) is typing.Literal else ()
    if choices:
        return click.option(setting.flag, setting.name, type=click.Choice(choices), help=help_text)
    return click.option(
        setting.flag,
        setting.name,
        type=_TYPES.get(setting.name),
        metavar="FILE"
        if isinstance(_TYPES.get(setting.name), click.Path)
        else _METAVARS.get(setting.plain_type, "TEXT,…"),
        help=help_text,
    )


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".").replace("`", "") + "."


@click.command(short_help="Show what a server would run with.")
@click.argument("place", metavar="[MODULE:REGISTRY]", required=False)
@click.option("--table", is_flag=True, help="Print what each setting means instead, as a table in Markdown.")
@takes_settings
@debug_option
def settings(settings: Callable[[ServerConfig], Effective], place: str | None, table: bool) -> None:
    """Show every setting, its value, and what it comes from: a flag, a variable, the file or the code.

    Takes the flags of `ringcast serve`, and reads the same file and variables. What it prints is a file
    that it can read.

    \b
    Example:
      ringcast settings app:registry --config ringcast.toml
    """
    if table:
        click.echo(setting_table())
        return
    config = ServerConfig() if place is None else load_registry(place).config
    effective = settings(config)
    width = max(map(len, SETTINGS))
    for name, setting in SETTINGS.items():
        origin = effective.origins.get(name)
        if origin is None:
            origin = "default" if effective.value(name) == setting.default else "the registry"
        click.echo(f"{name:{width}} = {effective.shown(name):24} # {origin}")
    if effective.unknown:
        remark(f"{UNKNOWN}: {', '.join(effective.unknown)}")


def setting_table() -> str:
    """Return what each setting means, as a table in Markdown."""
    rows = ["| setting | flag | variable | default | meaning |", "| --- | --- | --- | --- | --- |"]
    effective = load(ServerConfig(), environment={})
    for name, setting in SETTINGS.items():
        flag = setting.flag
        if setting.plain_type is bool:
            flag += f"`, `--no-{flag.removeprefix('--')}"
        default = effective.shown(name)
        rows.append(f"| `{name}` | `{flag}` | `{setting.variable}` | `{default}` | {setting.text} |")
    return "\n".join(rows)
