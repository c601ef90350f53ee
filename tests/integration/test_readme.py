"""The programs in README.md run as they stand, and its links and those of the other pages lead somewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import programs

README = programs.PROJECT / "README.md"
PAGES = sorted(
    path.relative_to(programs.PROJECT).as_posix()
    for folder in (".", "docs", "examples", "benches")
    for path in (programs.PROJECT / folder).glob("*.md")
)


def blocks() -> dict[str, str]:
    found = re.findall(r"<!-- tested: (\S+) -->\n```python\n(.*?)```", README.read_text(), re.DOTALL)
    return dict(found)


def test_twenty_lines_are_not_many_more() -> None:
    code = [line for block in blocks().values() for line in block.splitlines() if line.strip()]
    assert len(code) <= 25


def test_the_programs_run(tmp_path: Path) -> None:
    for name, block in blocks().items():
        (tmp_path / name).write_text(block)
    with programs.serve("counter:registry", cwd=tmp_path) as server:
        watch = tmp_path / "watch.py"
        watch.write_text(watch.read_text().replace("http://127.0.0.1:8080", server.url))
        for number in (2, 4):
            ended = programs.start(sys.executable, "watch.py", cwd=tmp_path).finish()
            assert (ended.code, ended.out, ended.err) == (0, [f"event: {number}", f"reply: {number}"], [])


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    path = programs.PROJECT / page
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page: str) -> None:
    makefile = (programs.PROJECT / "Makefile").read_text()
    for target in re.findall(
        r"(?:^    |`)make ([a-z][a-z-]*)", (programs.PROJECT / page).read_text(), re.MULTILINE
    ):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
