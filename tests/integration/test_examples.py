"""Every program in `examples/` runs, and shows what it says it shows."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

import programs

FOLDER = programs.PROJECT / "examples"
EXAMPLES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.py"))

SHOWS = {
    "beside_app.py": [
        "the application has started, and the actors may use it",
        "the route answers: {'published': 1}",
        "the browser hears: Ships that pass, as one of 1",
        "the application's own WebSocket: pong",
        "the application has ended, behind the actors",
    ],
    "chat.py": [
        "bob hears ann: Hello everyone!",
        "bob sees a message go",
        "ann is told: there is no message",
    ],
    "counter.py": ["event: 1", "reply: 1", "event: 6", "reply: 6", "over HTTP it would be the same: 7"],
    "fastapi_app.py": [
        "the route answers: {'published': 1}",
        "the browser hears: Ships that pass",
        "and calls: 2",
        "the browser hears: In the night",
    ],
    "filters/auction.py": [
        "cleo: bid vase 50",
        "ann: outbid vase 70",
        "bob: outbid vase 110",
        "dora: reserveReached vase 110",
        "the loop sends the same",
    ],
    "filters/game_room.py": [
        "bob sees ann at 3.0, 4.0",
        "cleo sees bob at 20.0, 0.0",
        "cleo hears ann whisper: to the left!",
        "the loop sends the same",
    ],
    "filters/news_room.py": [
        "ann reads premium article 2: What it means",
        "bob reads public article 3: Sun",
        "the loop sends the same",
    ],
    "game.py": [
        "ann sees the game start",
        "bob sees ann at 3.0, 4.0",
        "cleo sees ann at 3.0, 4.0",
        "cleo hears ann whisper: to the left!",
    ],
    "jwt_auth.py": [
        "connected as ann with token number 1",
        "bob is refused for good: unauthorized",
        "mallory is refused for good: forbidden",
        "a call without a token: 401",
        "a call of cleo",
        "a ticket is good for cleo",
        "and only once",
    ],
    "news.py": [
        "ann reads public article 1: A release",
        "ann reads premium article 2: What it means",
        "bob reads public article 3: Sun",
    ],
    "script.py": [
        "without a connection: {",
        "a handler hears a price",
        "price number 3",
        "an error comes as it is: unknown_action",
    ],
    "ticker.py": ["connected", "MSFT"],
}
HIDES = {
    "filters/auction.py": ["cleo: bid vase 70", "cleo: reserveReached", "bob: sold"],
    "filters/game_room.py": ["ann sees bob", "bob hears"],
    "filters/news_room.py": ["bob reads premium", "ann reads public article 3"],
    "game.py": ["ann sees ann", "at -1.0", "bob hears", "ann hears"],
    "news.py": ["bob reads premium"],
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with programs.demo("--speed", "200") as server:
        yield server.url


def test_every_example_is_listed() -> None:
    readme = (FOLDER / "README.md").read_text()
    assert sorted(SHOWS) == EXAMPLES
    for name in EXAMPLES:
        assert f"[{name}]({name})" in readme


@pytest.mark.parametrize("name", EXAMPLES)
def test_runs(name: str, url: str) -> None:
    ended = programs.start(sys.executable, f"examples/{name}", url, "20").finish()
    assert (ended.code, ended.err) == (0, [])
    said = "\n".join(ended.out)
    for text in SHOWS[name]:
        assert text in said
    for text in HIDES.get(name, []):
        assert text not in said
