"""The examples of this project as modules, though they are no package's."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import programs

__all__ = ["load_example"]


def load_example(place: str) -> ModuleType:
    """Load the file at this place below `examples/`, anew each time."""
    path = programs.PROJECT / "examples" / place
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Where annotations of its classes are looked up.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
