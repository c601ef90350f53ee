"""`ringcast serve --app`: an application beside the actors, and having none to serve."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

import programs

SOURCE = """
from contextlib import asynccontextmanager

from fastapi import FastAPI

from ringcast import Actor, Context, MemoryStore, Registry, action


class Counter(Actor):
    @action
    def count(self, c: Context, to: int) -> int:
        return to


registry = Registry(Counter, store=MemoryStore())


@asynccontextmanager
async def broken(app):
    raise OSError("no database")
    yield


app = FastAPI()
failing = FastAPI(lifespan=broken)
crossing = FastAPI()
crossing.get("/realtime/news")(lambda: "never seen")
number = 7


class Hiding:
    def __init__(self, around):
        self.around = around

    async def __call__(self, scope, receive, send):
        await self.around(scope, receive, send)


apart = Registry(Counter, store=MemoryStore())
hiding = FastAPI()
hiding.mount("/live", Hiding(apart.asgi()))


@app.get("/count/{to}")
async def count(to: int) -> int:
    return await registry.client.get_or_create(Counter, ["a"]).count(to)
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A directory with the module `site`, which has a registry and applications."""
    (tmp_path / "news_site.py").write_text(SOURCE)
    return tmp_path


@pytest.mark.parametrize(("options", "mount"), [((), "/realtime"), (("--mount", "/live"), "/live")])
def test_an_application_is_served_beside_the_actors(
    module: Path, options: tuple[str, ...], mount: str
) -> None:
    with programs.serve("news_site:registry", "--app", "news_site:app", *options, cwd=module) as server:
        assert f"serving Counter at {server.url}{mount} " in server.said
        assert httpx.get(f"{server.url}/count/3").json() == 3
        assert httpx.get(f"{server.url}{mount}/health").json()["status"] == "ok"
        assert httpx.get(f"{server.url}/health").json() == {"detail": "Not Found"}
        assert programs.run("call", f"{server.url}{mount}", "counter", "b", "count", "4").out == ["4"]


def test_actors_that_the_application_hides_are_where_it_serves_them(module: Path) -> None:
    with programs.serve("news_site:apart", "--app", "news_site:hiding", cwd=module) as server:
        assert f"serving Counter where the application has them, at {server.url} " in server.said
        assert httpx.get(f"{server.url}/live/health").json()["status"] == "ok"
        assert httpx.get(f"{server.url}/realtime/health").status_code == 404


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--app", "nowhere:app"), 1, "there is no module nowhere here or installed"),
        (("--app", "news_site:number"), 1, "news_site:number is not an ASGI application"),
        (("--app", "news_site"), 2, "'news_site' is not of the form MODULE:APP, such as app:app"),
        (("--app", "news_site:app", "--mount", "/"), 2, "'/' is no mount: give a path such as /realtime"),
        (("--mount", "/live"), 2, "--mount is for an application beside the actors: say which with --app"),
        (("--app", "news_site:crossing"), 2, "choose another mount"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    module: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    ended = programs.run("serve", "news_site:registry", "--port", "0", *options, cwd=module)
    assert (ended.code, ended.out) == (code, [])
    assert message in ended.err[-1]


def test_an_application_that_does_not_start_ends_the_server(module: Path) -> None:
    ended = programs.run(
        "serve", "news_site:registry", "--port", "0", "--app", "news_site:failing", cwd=module
    )
    assert ended.code == 1
    assert ended.err[-1] == "error: the application could not be started; its log says why"
    assert any("no database" in line for line in ended.err)
