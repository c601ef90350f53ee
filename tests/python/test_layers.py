"""Who may import what: the layers of the package, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ringcast

PACKAGE = Path(ringcast.__file__).parent

# What a layer may import at run time of the package's other folders. What lies beside the folders is for all,
# and so are the errors.
FOR_ALL = {"errors"}
MAY_IMPORT = {
    "errors": set[str](),
    "wire": set[str](),
    "schema": {"wire"},
    "store": set[str](),
    "running": {"schema", "wire", "store", "durable"},
    "durable": {"schema", "wire", "store", "running"},
    "gateway": {"wire", "operations"},
    "operations": {"store"},
    "describe": {"schema", "wire"},
}


def run_time_imports(node: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    """Give the dotted name of whatever is imported below `node`, but not for type checkers only.

    `package` is where the file stands, below the whole package; others as they are written.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from (name for branch in child.orelse for name in run_time_imports(branch, package))
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            around = package[: len(package) - child.level + 1] if child.level else ()
            parts = ("ringcast", *around) if child.level else ()
            parts += (child.module,) if child.module else ()
            yield from (".".join((*parts, alias.name)) for alias in child.names)
        else:
            yield from run_time_imports(child, package)


def imports_of(path: Path) -> set[str]:
    package = path.relative_to(PACKAGE).parent.parts
    return set(run_time_imports(ast.parse(path.read_text()), package))


def test_only_the_router_the_matching_of_events_and_the_load_import_the_core_at_run_time() -> None:
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any("_core" in name.split(".") for name in imports_of(path))
    }
    assert importers == {"router.py", "wire/event_match.py", "bench/load.py"}


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_a_layer_imports_only_those_that_it_stands_on(layer: str) -> None:
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    imported = {
        name.split(".")[1]
        for path in (PACKAGE / layer).rglob("*.py")
        for name in imports_of(path)
        if name.startswith("ringcast.")
    }
    assert imported & folders - {layer} - FOR_ALL == MAY_IMPORT[layer]
