"""`ringcast serve`: run the registry of a module of the user's, with settings from all places."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

import click

from ..config import ServerConfig
from ..operations.logs import fields
from ..operations.settings import Effective
from ..store import SqliteStore
from .lines import remark
from .loading import load_registry
from .options import debug_option
from .serving import serve_registry
from .settings import takes_settings

__all__ = ["serve"]

_LOG: Final = logging.getLogger("ringcast.server")


@click.command(short_help="Serve the actors of a registry.")
@click.argument("place", metavar="MODULE:REGISTRY")
@takes_settings
@debug_option
def serve(settings: Callable[[ServerConfig], Effective], place: str) -> None:
    """Serve the actors of a registry until Ctrl-C or SIGTERM; then save their state and tell the clients.

    MODULE is imported from the current directory or from what is installed; REGISTRY is the name of a
    Registry in it. Flags stand in for variables (RINGCAST_PORT), those for the file of --config, and that for
    what the registry itself says. `ringcast settings` shows what holds.

    \b
    Example, with `registry = Registry(NewsRoom)` in app.py:
      ringcast serve app:registry --port 8080 --store news.db
      ringcast serve app:registry --port 8443 --tls-certificate chain.pem --tls-key key.pem
      ringcast serve app:registry --config ringcast.toml --log-format json
    """
    registry = load_registry(place)
    effective = settings(registry.config)
    registry.config = config = effective.server
    if "store_path" in effective.origins:
        registry.store = SqliteStore(config.store_path)
    names = ", ".join(definition.name for definition in registry.definitions)
    announce = _log if effective.log.log_format == "json" else _announce
    serve_registry(registry, config.host, config.port, effective.log, partial(announce, names))


def _announce(names: str, address: str) -> None:
    remark(f"serving {names} at {address} (Ctrl-C ends it)")


def _log(names: str, address: str) -> None:
    """Say the same to whoever reads nothing but JSON."""
    _LOG.info("serving %s at %s", names, address, extra=fields("listening"))
