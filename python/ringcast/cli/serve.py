"""`ringcast serve`: find a registry in a module of the user's, and run it."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace
from functools import partial

import click

from ..registry import Registry
from ..store import SqliteStore
from .lines import remark
from .options import Number, debug_option
from .serving import LOG_LEVELS, serve_registry

__all__ = ["serve"]


@click.command(short_help="Serve the actors of a registry.")
@click.argument("place", metavar="MODULE:REGISTRY")
@click.option("--host", help="Address to listen on.  [default: that of the registry, else 127.0.0.1]")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="Port to listen on; 0 takes a free one.  [default: that of the registry, else 8080]",
)
@click.option(
    "--store",
    "store_path",
    type=click.Path(dir_okay=False),
    metavar="PATH",
    help="SQLite file to keep state in.  [default: the registry's store, else ringcast.db]",
)
@click.option(
    "--session-window",
    type=Number(),
    metavar="S",
    help="Seconds that a client may be away and miss nothing.  [default: that of the registry, else 30]",
)
@click.option("--log-level", type=click.Choice(LOG_LEVELS), default="info", show_default=True)
@debug_option
def serve(
    place: str,
    host: str | None,
    port: int | None,
    store_path: str | None,
    session_window: float | None,
    log_level: str,
) -> None:
    """Serve the actors of a registry until Ctrl-C or SIGTERM; then save their state and tell the clients.

    MODULE is imported from the current directory or from what is installed; REGISTRY is the name of a
    Registry in it. Options stand in for what the registry itself says.

    \b
    Example, with `registry = Registry(NewsRoom)` in app.py:
      ringcast serve app:registry --port 8080 --store news.db
    """
    registry = _load(place)
    config = registry.config
    if session_window is not None:
        registry.config = config = replace(config, session_window_s=session_window)
    if store_path is not None:
        registry.store = SqliteStore(store_path)
    names = ", ".join(definition.name for definition in registry.definitions)
    serve_registry(
        registry,
        config.host if host is None else host,
        config.port if port is None else port,
        log_level,
        partial(_announce, names),
    )


def _announce(names: str, address: str) -> None:
    remark(f"serving {names} at {address} (Ctrl-C ends it)")


def _load(place: str) -> Registry:
    """Import the registry at `MODULE:REGISTRY`. Raises `click.ClickException` if there is none."""
    module_name, colon, name = place.partition(":")
    if not (module_name and colon and name):
        raise click.UsageError(f"{place!r} is not of the form MODULE:REGISTRY, such as app:registry")
    # As `python -m` does: a command installed elsewhere has the directory of its script there instead.
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that is missing somewhere inside the user's own is an error of that one.
        if error.name is None or not (module_name == error.name or module_name.startswith(error.name + ".")):
            raise
        raise click.ClickException(f"there is no module {module_name} here or installed") from error
    registry = getattr(module, name, None)
    if not isinstance(registry, Registry):
        others = [key for key, value in vars(module).items() if isinstance(value, Registry)]
        hint = f"; did you mean {module_name}:{others[0]}?" if others else ""
        raise click.ClickException(f"{place} is not a Registry{hint}")
    return registry
