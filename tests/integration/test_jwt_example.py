"""The verifier of `examples/jwt_auth.py`, which people will copy: what it lets in, and what it must not."""

from __future__ import annotations

import asyncio
import json
import time
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from example_modules import load_example
from served import IMPATIENT
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from ringcast import Client, MemoryStore, Registry, ServerConfig
from ringcast.errors import Unauthorized
from ringcast.server.serve import serving
from ringcast.testing import NetworkProxy

KEY = "k" * 64
CLAIMS: dict[str, Any] = {"sub": "ann", "aud": "lounge", "exp": int(time.time()) + 3600}


@pytest.fixture(scope="module")
def example() -> ModuleType:
    return load_example("jwt_auth.py")


def token(key: str = KEY, algorithm: str = "HS256", **changes: Any) -> str:
    """Return a token with other claims; None leaves one out."""
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm)


def test_a_good_token(example: ModuleType) -> None:
    verifier = example.Verifier(KEY, "lounge")
    assert verifier.user_of(token()) == "ann"
    assert (
        verifier.user_of_header(f"Bearer {token()}") == verifier.user_of_header(f"bearer {token()}") == "ann"
    )


@pytest.mark.parametrize(
    "bad",
    [
        token(exp=1),
        token(exp=None),
        token(aud="another service"),
        token(aud=None),
        token(sub=None),
        token(nbf=int(time.time()) + 3600),
        token("x" * 64),
        token("", "none"),
        token(algorithm="HS512"),
        token()[:-2],
        "",
        "a.b.c",
        None,
        7,
        {"token": token()},
    ],
    # Tokens have the time in them.
    ids=[
        *("expired", "without an end", "for another", "for nobody", "of nobody", "not yet", "other secret"),
        *(
            "no signature",
            "another algorithm",
            "cut short",
            "empty",
            "no token",
            "None",
            "a number",
            "an object",
        ),
    ],
)
def test_a_bad_token(example: ModuleType, bad: object) -> None:
    verifier = example.Verifier(KEY, "lounge")
    with pytest.raises(Unauthorized) as refused:
        verifier.user_of(bad)
    assert refused.value.message == "the token is not valid, or no longer"
    with pytest.raises(Unauthorized):
        verifier.user_of_header(f"Basic {token()}")


async def test_a_client_that_comes_back_with_a_new_token_each_time(example: ModuleType) -> None:
    registry = Registry(example.Lounge, store=MemoryStore(), config=ServerConfig(session_window_s=0))
    issuer = example.Issuer(example.KEY, example.AUDIENCE)
    async with serving(registry) as url:
        address = urlsplit(url)
        async with (
            NetworkProxy(address.hostname or "", address.port or 0) as network,
            Client(network.url, config=IMPATIENT) as client,
        ):
            connection = client.lounge.get_or_create("main").connect(
                params=lambda: {"token": issuer.token("ann")}
            )
            back = asyncio.Event()
            connection.on("reconnected", back.set)
            await connection.ready()
            for _ in range(3):
                assert await connection.who_am_i() == "ann"
                before = issuer.issued
                back.clear()
                network.cut()
                network.restore()
                async with asyncio.timeout(30):
                    await back.wait()
                assert issuer.issued > before


async def test_a_ticket_in_the_url(example: ModuleType) -> None:
    issuer = example.Issuer(example.KEY, example.AUDIENCE)
    async with serving(Registry(example.Lounge, store=MemoryStore())) as url:
        async with httpx.AsyncClient(base_url=url) as http:
            header = {"Authorization": f"Bearer {issuer.token('ann')}"}
            path = "/actors/lounge/actions/ticket"
            assert (await http.post(path, json={"key": ["main"]})).status_code == 401
            response = await http.post(path, json={"key": ["main"]}, headers=header)
            ticket = response.json()["value"]
        assert await connect_with(url, f"/connect?ticket={ticket}") == "connected"
        assert await connect_with(url, f"/connect?ticket={ticket}") == "unauthorized"


async def test_who_is_refused_makes_no_room(example: ModuleType) -> None:
    issuer, registry = (
        example.Issuer(example.KEY, example.AUDIENCE),
        Registry(example.Lounge, store=MemoryStore()),
    )
    async with serving(registry) as url, httpx.AsyncClient(base_url=url) as http:
        banned = {"Authorization": f"Bearer {issuer.token('mallory')}"}
        for target in ("/connect?ticket=made+up", "/connect"):
            assert await connect_with(url, target) == "unauthorized"
        refused = await http.get("/actors/lounge/events", params={"key": "main", "ticket": "made up"})
        assert refused.status_code == 401
        for headers, status in (({}, 401), (banned, 403)):
            for way in ("actions/ticket", "resolve"):
                response = await http.post(f"/actors/lounge/{way}", json={"key": ["main"]}, headers=headers)
                assert response.status_code == status
        assert registry.router.stored_actors == await registry.router.store.count() == 0


async def connect_with(url: str, target: str) -> str:
    """Connect with a request for `target`; return the answer's kind, or the code of the error."""
    protocol = [Subprotocol("ringcast.v1.json")]
    async with connect(url.replace("http", "ws", 1) + target, subprotocols=protocol) as socket:
        await socket.send(json.dumps(["connect", {"actor": "lounge", "key": ["main"]}]))
        answer = json.loads(await socket.recv())
        return str(answer[0] if answer[0] == "connected" else answer[2]["code"])
