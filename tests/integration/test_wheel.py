"""A wheel has the whole package and nothing else, and runs without the clone that it was built from."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import programs

PACKAGE = programs.PROJECT / "python" / "ringcast"
MATURIN = str(Path(sys.executable).parent / "maturin")

# One connection of a served actor, both from what was installed.
ALONE = """
import asyncio
import ringcast
from ringcast import Actor, Client, Context, action
from ringcast.testing import LocalServer

class Counter(Actor):
    @action
    def increase(self, c: Context, by: int) -> int:
        c.broadcast("increased", by)
        return by

async def main() -> None:
    async with LocalServer(Counter) as server, Client(server.url) as client:
        async with client.counter.get_or_create("a").connect() as connection:
            heard = asyncio.get_running_loop().create_future()
            connection.on("increased", heard.set_result)
            print(await connection.increase(2), await heard)

print(ringcast.__file__)
asyncio.run(main())
"""

# Only where `make test` has not compiled the core already does a wheel take minutes.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [MATURIN, "build", "--release", "--quiet", "--out", str(out)]
    built = subprocess.run(command, cwd=programs.PROJECT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    [path] = out.glob("*.whl")
    return path


def test_a_wheel_has_the_whole_package_and_nothing_else(wheel: Path) -> None:
    assert "-abi3-" in wheel.name
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("ringcast/")}
    written = {
        f"ringcast/{path.relative_to(PACKAGE).as_posix()}"
        for pattern in ("*.py", "*.pyi", "py.typed", "*.html", "*.d.ts")
        for path in PACKAGE.rglob(pattern)
    }
    assert packed >= written
    more = {name for name in packed - written if not name.startswith("ringcast/demo/page/")}
    assert more == {"ringcast/_core.abi3.so"}


def test_it_runs_where_the_clone_is_not(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    program = tmp_path / "alone.py"
    program.write_text(f"import sys; sys.path.insert(0, {str(site)!r})\n{ALONE}")
    ended = programs.start(sys.executable, str(program), cwd=tmp_path).finish()
    assert ended.code == 0, ended.err
    assert ended.out == [str(site / "ringcast" / "__init__.py"), "2 2"]
