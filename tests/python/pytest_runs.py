"""Test runs of their own, in a folder of their own: for the tests of what users' tests do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import ringcast

ASYNCIO = ("-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function")
ANYIO = ("-p", "anyio.pytest_plugin")


def run(folder: Path, *options: str, autoload: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the tests in `folder` with these plugins only, or with those that are installed.

    Whatever they warn of is an error.
    """
    package = str(Path(ringcast.__file__).parent.parent)
    path = os.pathsep.join(filter(None, (str(folder), package, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    if not autoload:
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        options = ("-p", "ringcast.testing.plugin", *options)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    return subprocess.run(
        [*command, "-W", "error", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def passes(folder: Path, count: int, *options: str, autoload: bool = False) -> None:
    ended = run(folder, *options, autoload=autoload)
    assert re.search(rf"^=+ {count} passed in ", ended.stdout, re.MULTILINE), ended.stdout + ended.stderr
