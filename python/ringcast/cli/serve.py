"""`ringcast serve`: run the registry of a module of the user's, with settings from all places."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import click

from ..config import ServerConfig
from ..operations.logs import fields
from ..operations.settings import Effective
from ..registry import Registry
from ..server.application import DEFAULT_MOUNT, Application, Beside, mounted
from ..store import SqliteStore
from .lines import remark
from .loading import load_application, load_registry
from .options import debug_option
from .serving import serve_registry
from .settings import UNKNOWN, takes_settings

__all__ = ["serve"]

_LOG: Final = logging.getLogger("ringcast.server")


@click.command(short_help="Serve the actors of a registry.")
@click.argument("place", metavar="MODULE:REGISTRY")
@click.option(
    "--app",
    "app_place",
    metavar="MODULE:APP",
    help="Serve this ASGI application at the same port, on all paths but those below the mount.",
)
@click.option(
    "--mount",
    metavar="PATH",
    help=f"Where the actors are beside an application.  [default: where it has mounted them, "
    f"or {DEFAULT_MOUNT} if it has not]",
)
@takes_settings
@debug_option
def serve(
    settings: Callable[[ServerConfig], Effective], place: str, app_place: str | None, mount: str | None
) -> None:
    """Serve the actors of a registry until Ctrl-C or SIGTERM; then save their state and tell the clients.

    MODULE is imported from the current directory or from what is installed; REGISTRY is the name of a
    Registry in it. Flags stand in for variables (RINGCAST_PORT), those for the file of --config, and that for
    what the registry itself says. `ringcast settings` shows what holds.

    \b
    Example, with `registry = Registry(NewsRoom)` in app.py:
      ringcast serve app:registry --port 8080 --store news.db
      ringcast serve app:registry --port 8443 --tls-certificate chain.pem --tls-key key.pem
      ringcast serve app:registry --config ringcast.toml --log-format json
      ringcast serve app:registry --app app:app
    """
    registry = load_registry(place)
    application = _application(registry, app_place, mount)
    effective = settings(registry.config)
    registry.config = config = effective.server
    if "store_path" in effective.origins:
        registry.store = SqliteStore(config.store_path)
    names = ", ".join(definition.name for definition in registry.definitions)
    where = "" if application is None else application.mount
    announce = _log if effective.log.log_format == "json" else _announce
    on_listening = partial(_started, partial(announce, names, where), effective.unknown)
    beside = Beside(application=application)
    serve_registry(registry, config.host, config.port, effective.log, on_listening, beside)


def _application(registry: Registry, place: str | None, mount: str | None) -> Application | None:
    if place is None:
        if mount is not None:
            raise click.UsageError("--mount is for an application beside the actors: say which with --app")
        return None
    try:
        return mounted(registry, load_application(place), mount)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _started(announce: Callable[[str], None], unknown: Sequence[str], address: str) -> None:
    if unknown:
        _LOG.warning("%s: %s", UNKNOWN, ", ".join(unknown))
    announce(address)


def _announce(names: str, mount: str | None, address: str) -> None:
    remark(f"serving {names} {_place(mount, address)} (Ctrl-C ends it)")


def _log(names: str, mount: str | None, address: str) -> None:
    """Say the same to whoever reads nothing but JSON."""
    _LOG.info("serving %s %s", names, _place(mount, address), extra=fields("listening"))


def _place(mount: str | None, address: str) -> str:
    return f"where the application has them, at {address}" if mount is None else f"at {address}{mount}"
