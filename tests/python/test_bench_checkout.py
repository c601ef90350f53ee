"""Kept answers say of which commit they are, and whether the code was changed since."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ringcast.bench.checkout import commit


def git(repository: Path, *arguments: str) -> str:
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=repository, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit: measured code, results and documentation."""
    for name in ("python/code.py", "benches/results/P1.json", "docs/page.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as committed\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--no-gpg-sign", "--message", "All")
    return tmp_path


def test_the_commit_that_is_checked_out_is_named(repository: Path) -> None:
    assert commit(repository / "python" / "code.py") == git(repository, "rev-parse", "--short", "HEAD")


def test_code_that_is_changed_since_is_marked(repository: Path) -> None:
    (repository / "python" / "code.py").write_text("changed\n")
    head = git(repository, "rev-parse", "--short", "HEAD")
    assert commit(repository / "python" / "code.py") == f"{head}+"


@pytest.mark.parametrize("name", ["benches/results/P1.json", "docs/page.md", "peers.json"])
def test_what_makes_no_difference_to_the_code_does_not_count(repository: Path, name: str) -> None:
    (repository / name).write_text("changed\n")
    assert commit(repository / "python" / "code.py") == git(repository, "rev-parse", "--short", "HEAD")


def test_an_archive_of_the_sources_has_no_commit(tmp_path: Path) -> None:
    (tmp_path / "code.py").touch()
    assert commit(tmp_path / "code.py") is None


def test_a_repository_that_the_code_is_not_of_is_not_named(repository: Path) -> None:
    (repository / "python" / "installed.py").touch()
    assert commit(repository / "python" / "installed.py") is None


def test_without_git_there_is_no_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commit(repository / "python" / "code.py") is not None
    monkeypatch.setenv("PATH", str(repository))
    assert commit(repository / "python" / "code.py") is None
