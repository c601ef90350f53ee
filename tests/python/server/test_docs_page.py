"""The page and the documents that a server has of its actors, and that it has none unless it is told to."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from openapi_spec_validator import OpenAPIV31SpecValidator
from raw_socket import opened

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.server.application import Beside, mounted
from ringcast.server.serve import serving

PATHS = ("/docs", "/openapi.json", "/asyncapi.json")


class Greeter(Actor[None, None]):
    """Says <script>alert(1)</script>."""

    @action
    def greet(self, c: Context[None, None], name: str) -> str:
        """Say hello."""
        return f"hello {name}"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    registry = Registry(Greeter, store=MemoryStore(), config=ServerConfig(docs=True))
    async with serving(registry) as url, httpx.AsyncClient(base_url=url) as client:
        yield client


async def test_there_are_none_by_default() -> None:
    registry = Registry(Greeter, store=MemoryStore())
    async with serving(registry) as url, httpx.AsyncClient(base_url=url) as client:
        for path in PATHS:
            response = await client.get(path)
            assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


async def test_the_page_runs_what_is_in_it_and_nothing_else(client: httpx.AsyncClient) -> None:
    response = await client.get("/docs")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        [inside] = re.findall(f"<{tag}[^>]*>(.*?)</{tag}>", response.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"
    # Nothing comes from elsewhere, and nothing of the actors is in it as HTML.
    assert not re.search(r"https?:|//[a-z]|src=|innerHTML|\bon\w+=", response.text.replace("// ", ""))
    assert "Greeter" not in response.text
    assert "greet" not in response.text


async def test_below_a_mount_the_page_asks_for_nothing_above_it() -> None:
    registry = Registry(Greeter, store=MemoryStore(), config=ServerConfig(docs=True))
    beside = Beside(application=mounted(registry, FastAPI(), "/live"))
    async with serving(registry, beside=beside) as url, httpx.AsyncClient(base_url=url) as client:
        page = (await client.get("/live/docs")).text
        asked = re.findall(r"fetch\(([^,)]*)", page)
        assert len(asked) == 2 and all(address.lstrip("`${").startswith("BELOW") for address in asked)
        assert (await client.get("/live/openapi.json")).json()["paths"]
        # FastAPI's own, of no actors.
        assert (await client.get("/openapi.json")).json()["paths"] == {}


@pytest.mark.parametrize("by_application", [False, True])
async def test_below_a_mount_the_documents_name_where_it_is(by_application: bool) -> None:
    registry = Registry(Greeter, store=MemoryStore(), config=ServerConfig(docs=True))
    application = FastAPI()
    if by_application:
        application.mount("/live", registry.asgi())
    beside = Beside(application=mounted(registry, application, "/live"))
    async with serving(registry, beside=beside) as url, httpx.AsyncClient(base_url=url) as client:
        openapi, asyncapi = [(await client.get(f"/live{path}")).json() for path in PATHS[1:]]
        [server] = openapi["servers"]
        response = await client.post(f"{server['url']}/actors/greeter/actions/greet", json={"args": ["ann"]})
        assert response.json() == {"value": "hello ann"}
        address = asyncapi["channels"]["greeter"]["address"]
        async with opened(url.removesuffix("/live") + address.removesuffix("/connect")) as socket:
            assert (await socket.connect("greeter"))[0] == "connected"


async def test_the_documents_name_a_mount_as_a_url_does() -> None:
    """Of any text, in an application that another server might run."""
    registry = Registry(Greeter, store=MemoryStore(), config=ServerConfig(docs=True))
    application = FastAPI(lifespan=registry.lifespan)
    application.mount("/a b/ü{x}", registry.asgi())
    around = Registry(store=MemoryStore())
    async with (
        serving(around, beside=Beside(application=mounted(around, application))) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        openapi, asyncapi = [(await client.get(f"/a b/ü{{x}}{path}")).json() for path in PATHS[1:]]
        OpenAPIV31SpecValidator(openapi).validate()
        [server] = openapi["servers"]
        assert server["url"] == "/a%20b/%C3%BC%7Bx%7D"
        response = await client.post(f"{server['url']}/actors/greeter/actions/greet", json={"args": ["ann"]})
        assert response.json() == {"value": "hello ann"}
        address = asyncapi["channels"]["greeter"]["address"]
        assert address == f"{server['url']}/connect"
        async with opened(url + address.removesuffix("/connect")) as socket:
            assert (await socket.connect("greeter"))[0] == "connected"


async def test_at_the_root_the_documents_name_no_place(client: httpx.AsyncClient) -> None:
    openapi, asyncapi = [(await client.get(path)).json() for path in PATHS[1:]]
    assert "servers" not in openapi
    assert asyncapi["channels"]["greeter"]["address"] == "/connect"


async def test_the_documents_are_json_and_name_every_action(client: httpx.AsyncClient) -> None:
    openapi, asyncapi = [(await client.get(path)).json() for path in PATHS[1:]]
    assert openapi["openapi"] == "3.1.0"
    assert list(openapi["paths"]) == [
        "/actors/greeter/actions/greet",
        "/actors/greeter/resolve",
        "/health",
    ]
    assert asyncapi["asyncapi"] == "3.0.0"
    assert list(asyncapi["channels"]) == ["greeter"]


async def test_the_paths_of_the_document_are_served(client: httpx.AsyncClient) -> None:
    openapi = (await client.get("/openapi.json")).json()
    for path, methods in openapi["paths"].items():
        for method in methods:
            response = await client.request(method, path, json={"args": ["ann"]})
            assert response.status_code == 200, path


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_they_are_only_read(client: httpx.AsyncClient, method: str) -> None:
    for path in PATHS:
        assert (await client.request(method, path)).status_code == 405
