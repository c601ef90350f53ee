"""`ringcast types`, `openapi` and `asyncapi`: files written and checked, and modules that do not work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import programs

APP = '''
"""A module of a user's."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ringcast import Actor, Context, Registry, action

if TYPE_CHECKING:
    from somewhere import Hidden


@dataclass
class Article:
    title: str


class NewsRoom(Actor):
    class Events:
        newArticle: Article

    @action
    def publish(self, c: Context, article: Article) -> Article:
        return article
'''
REGISTRY = "\nregistry = Registry(NewsRoom)\n"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The file of the module `app`, whose registry is `registry`."""
    path = tmp_path / "app.py"
    path.write_text(APP + REGISTRY)
    return path


def test_types_are_written_to_a_file_or_to_stdout(app: Path) -> None:
    written = programs.run("types", "app:registry", "-o", "registry.d.ts", cwd=app.parent)
    assert (written.code, written.out, written.err) == (0, [], [])
    text = (app.parent / "registry.d.ts").read_text()
    assert text.startswith("// Made by `ringcast types app:registry` ")
    assert "newArticle: [data: Article];" in text
    shown = programs.run("types", "app:registry", cwd=app.parent)
    assert shown.out == text.splitlines()
    # A registry is described, and not run.
    assert not (app.parent / "ringcast.db").exists()


@pytest.mark.parametrize("command", ["types", "openapi", "asyncapi"])
def test_check_fails_when_the_file_is_no_longer_true(app: Path, command: str) -> None:
    def check() -> programs.Ended:
        return programs.run(command, "app:registry", "--output", "made", "--check", cwd=app.parent)

    missing = check()
    assert (missing.code, missing.err) == (1, ["error: made is not there; write it without --check"])
    assert programs.run(command, "app:registry", "--output", "made", cwd=app.parent).code == 0
    before = (app.parent / "made").read_bytes()
    assert (check().code, check().err) == (0, [])
    app.write_text(app.read_text().replace("title: str", "title: str\n    words: int"))
    drifted = check()
    assert drifted.code == 1
    assert drifted.err[-1] == "error: made is not what the registry offers now; write it without --check"
    assert any(line.startswith("+") and "words" in line for line in drifted.err)
    assert len(drifted.err) <= 22
    assert (app.parent / "made").read_bytes() == before


def test_documents_have_a_title_and_a_version(app: Path) -> None:
    for command in ("openapi", "asyncapi"):
        ended = programs.run(command, "app:registry", "--title", "News", "--version", "2", cwd=app.parent)
        info = json.loads("\n".join(ended.out))["info"]
        assert (info["title"], info["version"]) == ("News", "2")


def test_what_cannot_be_told_is_noted_and_no_error(app: Path) -> None:
    hidden = "\n    @action\n    def hidden(self, c: Context) -> 'Hidden': ...\n"
    app.write_text(APP + hidden + REGISTRY)
    ended = programs.run("types", "app:registry", cwd=app.parent)
    assert ended.code == 0
    assert ended.err == [
        "note: the annotations of NewsRoom.hidden cannot be resolved: name 'Hidden' is not defined"
    ]
    assert "      hidden(): unknown;" in ended.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere:registry"], 1, "there is no module nowhere here or installed"),
        (["app:other"], 1, "app:other is not a Registry; did you mean app:registry?"),
        (["broken:registry"], 1, "ZeroDivisionError: division by zero (--debug shows where)"),
        (["app"], 2, "'app' is not of the form MODULE:REGISTRY, such as app:registry"),
        (["app:registry", "--check"], 2, "--check needs the file to look at: -o FILE"),
        (["app:registry", "-o", "no/where"], 1, "[Errno 2] No such file or directory: 'no/where'"),
    ],
)
def test_what_is_wrong_is_one_line(app: Path, arguments: list[str], code: int, message: str) -> None:
    (app.parent / "broken.py").write_text("registry = 1 / 0\n")
    ended = programs.run("types", *arguments, cwd=app.parent)
    assert (ended.code, ended.out) == (code, [])
    assert ended.err[0].startswith(f"error: {message}")
