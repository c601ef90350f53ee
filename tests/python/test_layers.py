"""Who may import what: the layers of the package, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import ringcast

PACKAGE = Path(ringcast.__file__).parent


def run_time_imports(node: ast.AST) -> Iterator[str]:
    """Give the dotted name of whatever is imported below `node`, but not for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from (name for branch in child.orelse for name in run_time_imports(branch))
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (f"{child.module or ''}.{alias.name}" for alias in child.names)
        else:
            yield from run_time_imports(child)


def test_only_the_router_the_matching_of_events_and_the_load_import_the_core_at_run_time() -> None:
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any("_core" in name.split(".") for name in run_time_imports(ast.parse(path.read_text())))
    }
    assert importers == {"router.py", "event_match.py", "bench/load.py"}
