"""Finding what `MODULE:NAME` names in a module of the user's: a registry, or an application beside it."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import cast

import click
from starlette.types import ASGIApp

from ..registry import Registry

__all__ = ["load_application", "load_registry"]


def load_registry(place: str) -> Registry:
    """Import the registry at `MODULE:REGISTRY`. Raises `click.ClickException` if there is none."""
    module, name = _load(place, "MODULE:REGISTRY, such as app:registry")
    registry = getattr(module, name, None)
    if not isinstance(registry, Registry):
        others = [key for key, value in vars(module).items() if isinstance(value, Registry)]
        hint = f"; did you mean {module.__name__}:{others[0]}?" if others else ""
        raise click.ClickException(f"{place} is not a Registry{hint}")
    return registry


def load_application(place: str) -> ASGIApp:
    """Import the ASGI application at `MODULE:APP`. Raises `click.ClickException` if there is none."""
    module, name = _load(place, "MODULE:APP, such as app:app")
    app = getattr(module, name, None)
    if not callable(app):
        raise click.ClickException(f"{place} is not an ASGI application")
    return cast(ASGIApp, app)


def _load(place: str, form: str) -> tuple[ModuleType, str]:
    """Return the module that `place` names, and the name in it."""
    module_name, colon, name = place.partition(":")
    if not (module_name and colon and name):
        raise click.UsageError(f"{place!r} is not of the form {form}")
    # As `python -m` does: a command installed elsewhere has the directory of its script there instead.
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that is missing somewhere inside the user's own is an error of that one.
        if error.name is None or not (module_name == error.name or module_name.startswith(error.name + ".")):
            raise
        raise click.ClickException(f"there is no module {module_name} here or installed") from error
    return module, name
