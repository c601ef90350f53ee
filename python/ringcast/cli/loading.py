"""Finding the registry that `MODULE:REGISTRY` names, in a module of the user's."""

from __future__ import annotations

import importlib
import os
import sys

import click

from ..registry import Registry

__all__ = ["load_registry"]


def load_registry(place: str) -> Registry:
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
