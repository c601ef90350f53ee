"""Of which commit the measured code is: for answers that are kept."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

__all__ = ["commit"]

_UNMEASURED: Final = ("docs", "benches/results")
"""Where a change makes no difference to what is measured."""


def commit(file: Path = Path(__file__)) -> str | None:
    """Return the short name of the commit that is checked out, with a `+` if a file of it has been changed.

    None without git, and where no repository has `file`: this project may be installed inside of another one.
    Files that git does not know do not count: nothing uses them unless a file that it knows is changed.
    """
    try:
        _git(file, "ls-files", "--error-unmatch", file.name)
        name = _git(file, "rev-parse", "--short", "HEAD")
        but = [f":(top,exclude){place}" for place in _UNMEASURED]
        changed = _git(file, "status", "--porcelain", "--untracked-files=no", "--", ":(top)", *but)
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{name}+" if changed else name


def _git(file: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=file.parent, capture_output=True, text=True, check=True)
    return done.stdout.strip()
