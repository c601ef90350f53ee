"""The demo's page: its files with the right headers, nothing beside them, and a page that is not built."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from ringcast import MemoryStore, Registry
from ringcast.demo import ChatRoom
from ringcast.demo.site import PAGE, site_routes
from ringcast.server.application import Beside
from ringcast.server.serve import serving

FILES = {
    "index.html": ("/", "text/html; charset=utf-8"),
    "icon.svg": ("/icon.svg", "image/svg+xml"),
    "assets/index-Ab1_.js": ("/assets/index-Ab1_.js", "text/javascript; charset=utf-8"),
    "assets/index-Cd2_.css": ("/assets/index-Cd2_.css", "text/css; charset=utf-8"),
}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("not for you")
    directory = tmp_path / "page"
    for name in FILES:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"this is {name}")
    (directory / "index.js.map").write_text("of no type that is served")
    return directory


@pytest.fixture
async def http(page: Path) -> AsyncIterator[httpx.AsyncClient]:
    registry = Registry(ChatRoom, store=MemoryStore())
    async with (
        serving(registry, beside=Beside(site_routes(page))) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        yield client


@pytest.mark.parametrize("name", FILES)
async def test_a_file_comes_with_its_type_and_may_take_nothing_from_elsewhere(
    http: httpx.AsyncClient, name: str
) -> None:
    address, media_type = FILES[name]
    found = await http.get(address)
    assert (found.status_code, found.text) == (200, f"this is {name}")
    assert found.headers["content-type"] == media_type
    assert found.headers["x-content-type-options"] == "nosniff"
    policy = dict(part.split(" ", 1) for part in found.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}


async def test_what_is_named_by_its_content_is_kept_and_the_rest_asked_for_again(
    http: httpx.AsyncClient,
) -> None:
    kept = await http.get("/assets/index-Ab1_.js")
    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    index = await http.get("/")
    assert index.headers["cache-control"] == "no-cache"
    again = await http.get("/", headers={"If-None-Match": index.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await http.get("/", headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.text) == (200, "this is index.html")


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/assets/..%5c..%5csecret.txt",
        "//secret.txt",
        "/index.js.map",
        "/assets",
        "/assets/",
        "/index.html%00",
    ],
)
async def test_nothing_else_is_found(http: httpx.AsyncClient, target: str) -> None:
    # By hand: a client would tidy the path up.
    place = urlsplit(str(http.base_url))
    with socket.create_connection((place.hostname, place.port)) as sock:
        sock.setblocking(False)
        answer = await _answer(sock, f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.startswith("HTTP/1.1 404")
    assert "not for you" not in answer


async def _answer(sock: socket.socket, request: str) -> str:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, request.encode())
    data = b""
    while part := await loop.sock_recv(sock, 65_536):
        data += part
    return data.decode()


async def test_the_servers_own_routes_come_first_and_other_methods_are_refused(
    http: httpx.AsyncClient,
) -> None:
    assert (await http.get("/health")).json()["status"] == "ok"
    assert (await http.post("/")).status_code == 405


async def test_a_page_that_is_not_built_says_so(tmp_path: Path) -> None:
    registry = Registry(ChatRoom, store=MemoryStore())
    routes = site_routes(tmp_path / "page")
    async with serving(registry, beside=Beside(routes)) as url, httpx.AsyncClient() as client:
        found = await client.get(url)
    assert found.status_code == 503
    assert "`make demo` builds it" in found.text


async def test_an_ordinary_server_has_no_page() -> None:
    async with serving(Registry(ChatRoom, store=MemoryStore())) as url, httpx.AsyncClient() as client:
        assert (await client.get(url)).status_code == 404


def test_what_is_built_is_served_whole_and_names_no_other_place() -> None:
    if not (PAGE / "index.html").is_file():
        pytest.skip("the page is not built")
    index = (PAGE / "index.html").read_text()
    assert "://" not in index
    addresses = {route.path for route in site_routes()}
    assert "/" in addresses
    assert any(address.endswith(".js") and address in index for address in addresses)
    assert any(address.endswith(".css") and address in index for address in addresses)
