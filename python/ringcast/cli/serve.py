"""`ringcast serve`: run the registry of a module of the user's."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import click

from ..config import ServerConfig, with_tls
from ..store import SqliteStore
from .lines import remark
from .loading import load_registry
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
    "--tls-certificate",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Speak TLS, with the certificate in this PEM file and those that vouch for it.  "
    "[default: that of the registry, else no TLS]",
)
@click.option(
    "--tls-key",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="PEM file with the private key of that certificate, if it is not in the same one.",
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
    "session_window_s",
    type=Number(),
    metavar="S",
    help="Seconds that a client may be away and miss nothing.  [default: that of the registry, else 30]",
)
@click.option(
    "--docs",
    is_flag=True,
    default=None,
    help="Serve a page to try the actions at /docs, and documents that describe them.",
)
@click.option("--log-level", type=click.Choice(LOG_LEVELS), default="info", show_default=True)
@debug_option
def serve(
    place: str,
    host: str | None,
    port: int | None,
    store_path: str | None,
    log_level: str,
    **settings: Any,
) -> None:
    """Serve the actors of a registry until Ctrl-C or SIGTERM; then save their state and tell the clients.

    MODULE is imported from the current directory or from what is installed; REGISTRY is the name of a
    Registry in it. Options stand in for what the registry itself says.

    \b
    Example, with `registry = Registry(NewsRoom)` in app.py:
      ringcast serve app:registry --port 8080 --store news.db
      ringcast serve app:registry --port 8443 --tls-certificate chain.pem --tls-key key.pem
    """
    registry = load_registry(place)
    registry.config = config = _changed(registry.config, settings)
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


def _changed(config: ServerConfig, settings: dict[str, Any]) -> ServerConfig:
    """Return `config` with the settings that were given; they go by their names in it."""
    given = {name: value for name, value in settings.items() if value is not None}
    try:
        config = with_tls(config, given.pop("tls_certificate", None), given.pop("tls_key", None))
    except ValueError as error:
        raise click.UsageError("--tls-key goes with --tls-certificate") from error
    return replace(config, **given)


def _announce(names: str, address: str) -> None:
    remark(f"serving {names} at {address} (Ctrl-C ends it)")
