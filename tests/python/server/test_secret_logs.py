"""No token of a client gets into a log, however much is logged and whatever goes wrong."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import httpx
import pytest
from pydantic import BaseModel
from raw_socket import opened
from websockets.exceptions import InvalidStatus

from ringcast import Actor, Client, Context, MemoryStore, Registry, ServerConfig, action
from ringcast.errors import RingcastError, Unauthorized
from ringcast.server.serve import serving
from ringcast.tickets import Tickets

SECRET: Final = "s3cret-token-of-ann"
HEADERS: Final = {"Authorization": f"Bearer {SECRET}", "Cookie": f"sid={SECRET}"}
LOGGERS: Final = ("ringcast", "uvicorn", "asyncio", "picows", "httpx", "httpcore")


class Params(BaseModel):
    token: str
    then: str = "enter"


class Vault(Actor):
    def __init__(self) -> None:
        self.tickets: Tickets[str] = Tickets()

    def on_before_connect(self, c: Context, params: Params) -> None:
        assert c.request.headers.get("authorization", f"Bearer {SECRET}") == f"Bearer {SECRET}"
        if params.then == "refuse":
            raise Unauthorized("sign in first")
        if params.then == "crash":
            raise RuntimeError("the verifier is down")
        if params.then == "redeem":
            self.tickets.take(params.token)

    @action
    def ticket(self, c: Context) -> str:
        if c.request.headers.get("authorization") != f"Bearer {SECRET}":
            raise Unauthorized("sign in first")
        return self.tickets.give("ann")

    @action
    def keep(self, c: Context, token: int) -> None: ...

    @action
    def crash(self, c: Context, token: str) -> None:
        raise RuntimeError("no")


class Kept(logging.Handler):
    """Keeps all that is logged, as it would be written, tracebacks and fields of records too."""

    def __init__(self) -> None:
        super().__init__(0)
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said += [self.format(record), repr(vars(record))]


@pytest.fixture(params=[logging.DEBUG, 1], ids=["debug", "everything"])
def logs(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Give what is logged by anybody; there must be no secret in it."""
    kept = Kept()
    for name in LOGGERS:
        caplog.set_level(request.param, logger=name)
    caplog.set_level(request.param)
    # The library of these tests logs what it sends.
    caplog.set_level(logging.WARNING, logger="websockets")
    logging.getLogger().addHandler(kept)
    yield kept.said
    logging.getLogger().removeHandler(kept)
    assert any(line.startswith("ringcast") for line in kept.said)
    assert [line for line in kept.said if SECRET in line] == []


@pytest.fixture
async def url(logs: list[str]) -> AsyncIterator[str]:
    config = ServerConfig(max_params_bytes=500, max_message_bytes=5000)
    async with serving(Registry(Vault, store=MemoryStore(), config=config)) as url:
        yield url


@pytest.mark.parametrize("padding", ["", "x" * 3000], ids=["short head", "long head"])
@pytest.mark.parametrize("then", ["enter", "refuse", "crash"])
async def test_connects(url: str, then: str, padding: str) -> None:
    async with opened(url, {**HEADERS, "X-Padding": padding}) as socket:
        answer = await socket.connect("vault", params={"token": SECRET, "then": then})
        code = {"refuse": "unauthorized", "crash": "internal_error"}.get(then)
        assert (answer[0] == "connected") if code is None else (answer[2]["code"] == code)


@pytest.mark.parametrize(
    "message",
    [
        f'["connect",{{"actor":"vault","params":{{"token":["{SECRET}"]}}}}]',
        f'["connect",{{"actor":"vault","params":{{"token":"{SECRET}","more":"{"x" * 600}"}}}}]',
        f'["connect",{{"actor":"vault","params":{{"token":"{SECRET}"}},"lookup":"{SECRET}"}}]',
        f'["connect",{{"actor":"vault","resume":{{"session":"{SECRET}","epoch":"{SECRET}","offset":1}}}}]',
        f'["{SECRET}"]',
        f'["call",1,"{SECRET}",["{SECRET}"]]',
        f'["connect",{{"params":"{SECRET}',
        f'["connect","{SECRET + "x" * 6000}"]',
    ],
    ids=["wrong type", "too large", "lookup", "resume", "kind", "too early", "broken", "too long"],
)
async def test_messages_that_are_refused(url: str, message: str) -> None:
    async with opened(url, HEADERS) as socket:
        await socket.socket.send(message)
        assert await socket.closed_with() in range(1009, 5000)


async def test_upgrades_that_are_refused(url: str) -> None:
    for wrong in ({"Origin": f"https://{SECRET}.example"}, {"Sec-WebSocket-Extensions": f"{SECRET};;"}):
        with pytest.raises(InvalidStatus):
            async with opened(url, {**HEADERS, **wrong}):
                pass


async def test_actions(url: str) -> None:
    async with opened(url, HEADERS) as socket:
        await socket.connect("vault", params={"token": SECRET})
        assert (await socket.ask("call", "keep", [SECRET]))["code"] == "validation_error"
        assert (await socket.ask("call", "crash", [SECRET]))["code"] == "internal_error"


async def test_http(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, headers=HEADERS) as client:
        params = {"token": SECRET}
        for name, body, status in (
            ("keep", {"params": params, "args": [SECRET]}, 422),
            ("crash", {"params": params, "args": [SECRET]}, 500),
            ("ticket", {"params": params, "lookup": SECRET}, 400),
            ("none", {"params": params}, 404),
            ("keep", {"params": {**params, "then": "refuse"}, "args": [1]}, 401),
            ("keep", {"params": {**params, "then": "crash"}, "args": [1]}, 500),
            ("keep", {"params": {"token": [SECRET]}, "args": [1]}, 422),
        ):
            response = await client.post(
                f"/actors/vault/actions/{name}",
                json={"key": ["k"], **body},
                headers={"Idempotency-Key": f"{SECRET}-{status}-{name}"},
            )
            assert response.status_code == status
        foreign = {"Origin": f"https://{SECRET}.example"}
        assert (await client.get("/health", headers=foreign)).status_code == 403


async def test_a_ticket_in_the_place_of_a_token(url: str, logs: list[str]) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        path, body = "/actors/vault/actions/ticket", {"key": ["k"], "params": {"token": ""}}
        assert (await client.post(path, json=body)).status_code == 401
        ticket = (await client.post(path, json=body, headers=HEADERS)).json()["value"]
    for code in (None, "unauthorized"):
        async with opened(url) as socket:
            answer = await socket.connect("vault", params={"token": ticket, "then": "redeem"})
            assert (answer[0] == "connected") if code is None else (answer[2]["code"] == code)
    assert [line for line in logs if ticket in line] == []


@pytest.mark.parametrize("then", ["enter", "refuse"])
async def test_the_client(url: str, then: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="picows")  # below it logs what it sends, and says so
    params: dict[str, Any] = {"token": SECRET, "then": then}
    async with Client(url) as client:
        connection = client.vault.get_or_create("k").connect(params=lambda: params)
        try:
            await connection.ready()
        except RingcastError as error:
            assert (then, error.code) == ("refuse", "unauthorized")
        else:
            assert then == "enter"
