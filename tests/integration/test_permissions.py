"""What an actor allows, seen by its clients: who may call, who may listen, and a permission withdrawn."""

from __future__ import annotations

import httpx
import pytest
from heard import Heard

import programs
from ringcast import Client
from ringcast.errors import CallRefused, SubscriptionRefused
from ringcast.testing import NetworkProxy
from ringcast.wire.protocol import Gap


async def test_a_call_that_is_not_allowed_is_an_error_of_its_own_and_nothing_else_stops(
    client: Client, key: list[str]
) -> None:
    desk = client.desk.get_or_create(key)
    async with desk.connect({"role": "guest"}) as guest, desk.connect({}) as staff:
        with pytest.raises(CallRefused) as caught:
            await guest.close_desk()
        assert caught.value.code == "call_refused"
        assert await staff.close_desk() == "closed"
        assert await guest.tell("on it goes") is None
        with pytest.raises(CallRefused):
            await desk.close_desk()


async def test_over_http_it_is_forbidden(server: programs.Server, key: list[str]) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        body = {"lookup": "get_or_create", "key": key, "args": []}
        for action, status in (("closeDesk", 403), ("close_desk", 403), ("tell", 422)):
            answer = await http.post(f"/actors/desk/actions/{action}", json=body)
            assert answer.status_code == status, answer.text
            assert answer.json()["error"]["code"] == {403: "call_refused", 422: "validation_error"}[status]


async def test_a_permission_that_is_withdrawn_is_an_error_and_the_rest_goes_on(
    client: Client, key: list[str]
) -> None:
    desk = client.desk.get_or_create(key)
    async with desk.connect({}) as connection:
        heard = Heard(connection, "secret", "news", "error")
        await connection.tell("before")
        await connection.make_all("guest", "after")
        await heard.until("news", 2)
        [error] = await heard.until("error")
        assert isinstance(error, SubscriptionRefused)
        assert "secret" in str(error)
        assert heard.of("secret") == ["before"]
        # Back in favour, it has to ask again.
        await connection.make_all("staff", "still not")
        await heard.until("news", 3)
        connection.off("secret")
        again = Heard(connection, "secret")
        await connection.tell("at last")
        assert await again.until("secret") == ["at last"]
        assert heard.of("secret") == ["before"]


async def test_one_that_is_withdrawn_while_the_network_is_lost(
    far: Client, network: NetworkProxy, client: Client, key: list[str]
) -> None:
    desk = far.desk.get_or_create(key)
    async with desk.connect({}) as connection:
        heard = Heard(connection, "secret", "news", "error", "disconnected", "reconnected")
        await connection.tell("one")
        network.cut()
        await heard.until("disconnected")
        near = client.desk.get_or_create(key)
        await near.tell("two")
        await near.make_all("guest", "three")
        network.restore()
        await heard.until("news", 3)
        assert heard.of("secret") == ["one", "two"]
        [error] = await heard.until("error")
        assert isinstance(error, SubscriptionRefused)


async def test_one_that_is_withdrawn_and_given_back_while_the_network_is_lost_is_a_gap(
    far: Client, network: NetworkProxy, client: Client, key: list[str]
) -> None:
    desk = far.desk.get_or_create(key)
    async with desk.connect({}) as connection:
        heard = Heard(connection, "secret", "news", "error", "disconnected", "gap")
        await connection.tell("one")
        network.cut()
        await heard.until("disconnected")
        near = client.desk.get_or_create(key)
        await near.tell("two")
        await near.make_all("guest", "three")
        await near.make_all("staff", "four")
        network.restore()
        assert await heard.until("gap") == [Gap("permission_withdrawn")]
        await connection.tell("five")
        assert await heard.until("secret", 3) == ["one", "two", "five"]
        assert heard.of("error") == []
