"""Calls over a connection: results, errors, the time without a network, cancellation."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from ringcast.client import Client, Connection
from ringcast.errors import (
    ActionTimeout,
    CloseCode,
    ConnectionClosed,
    OfflineQueueFull,
    OutcomeUnknown,
    UnknownAction,
    UserError,
)
from ringcast.wire.protocol import Call, Gap, Reply, Subscribe

from .conftest import MakeClient
from .scripted import Peer, ScriptedServer, event, until


@pytest.fixture
async def connection(client: Client) -> Connection:
    return client.chat_room.get_or_create(["general"]).connect()


@pytest.fixture
async def peer(server: ScriptedServer, connection: Connection) -> Peer:
    peer = await server.accept()
    await peer.welcome()
    await connection.ready()
    return peer


def start(call: Any) -> asyncio.Task[Any]:
    return asyncio.ensure_future(call)


async def test_by_attribute_and_by_name(peer: Peer, connection: Connection) -> None:
    calls = [start(connection.send_message("ann", {"n": 1})), start(connection.call("close", 2))]
    assert await peer.receive() == Call(1, "send_message", ["ann", {"n": 1}])
    assert await peer.receive() == Call(2, "close", [2])
    peer.send(Reply(2, "second"), Reply(1, {"first": True}))
    assert await asyncio.gather(*calls) == [{"first": True}, "second"]


async def test_dataclasses_travel_as_objects(peer: Peer, connection: Connection) -> None:
    @dataclass
    class Article:
        id: str
        tags: list[str]

    call = start(connection.publish(Article("1", ["x"])))
    assert (await peer.receive_call()).args == [{"id": "1", "tags": ["x"]}]
    peer.send(Reply(1, None))
    assert await call is None


@pytest.mark.parametrize(("code", "kind"), [("unknown_action", UnknownAction), ("out_of_stock", UserError)])
async def test_errors_arrive_with_message_code_and_metadata(
    peer: Peer, connection: Connection, code: str, kind: type[Exception]
) -> None:
    call = start(connection.buy())
    await peer.receive_call()
    peer.send(["error", 1, {"code": code, "message": "no", "metadata": {"left": 0}}])
    with pytest.raises(kind, match="no") as raised:
        await call
    assert raised.value.code == code  # type: ignore[attr-defined]
    assert raised.value.metadata == {"left": 0}  # type: ignore[attr-defined]


async def test_functions_that_handle_earlier_events_have_run_before_the_result(
    peer: Peer, connection: Connection
) -> None:
    got: list[int] = []
    connection.on("a", got.append)
    assert await peer.receive() == Subscribe(1, "a")
    call = start(connection.act())
    await peer.receive_call()
    peer.send(event(1, "a", 1), event(2, "a", 2), Reply(2, None), event(3, "a", 3))
    await call
    assert got[:2] == [1, 2]


async def test_a_handler_may_call(peer: Peer, connection: Connection) -> None:
    got: list[Any] = []

    async def handler(number: int) -> None:
        got.append(await connection.double(number))

    connection.on("a", handler)
    await peer.receive()
    peer.send(event(1, "a", 1), event(2, "a", 2))
    assert (await peer.receive_call()).args == [1]
    peer.send(Reply(2, 2))
    assert (await peer.receive_call()).args == [2]
    peer.send(Reply(3, 4))
    await until(lambda: len(got) == 2)
    assert got == [2, 4]


async def test_what_cannot_be_encoded_is_raised_and_uses_no_id(peer: Peer, connection: Connection) -> None:
    with pytest.raises((TypeError, ValueError)):
        await connection.send(object())
    call = start(connection.send("fine"))
    assert await peer.receive() == Call(1, "send", ["fine"])
    peer.send(Reply(1, None))
    await call


async def test_an_answer_that_nobody_waits_for_is_ignored(peer: Peer, connection: Connection) -> None:
    peer.send(Reply(99, None), ["error", 98, {"code": "x", "message": ""}], event(1, "a"))
    await until(lambda: connection.position == ("e1", 1))
    assert connection.status == "connected"


class TestWithoutANetwork:
    async def test_calls_made_before_connecting_wait_and_run_once_in_order(
        self, server: ScriptedServer, connection: Connection
    ) -> None:
        calls = [start(connection.say(number)) for number in range(3)]
        peer = await server.accept()
        await peer.welcome()
        assert [await peer.receive() for _ in range(3)] == [Call(n + 1, "say", [n]) for n in range(3)]
        peer.send(*(Reply(id, id) for id in (1, 2, 3)))
        assert await asyncio.gather(*calls) == [1, 2, 3]

    async def test_a_call_that_waits_has_the_arguments_of_the_moment_it_was_made(
        self, server: ScriptedServer, connection: Connection
    ) -> None:
        words = ["before"]
        call = start(connection.say(words))
        await asyncio.sleep(0)
        words.append("after")
        peer = await server.accept()
        await peer.welcome()
        assert (await peer.receive_call()).args == [["before"]]
        peer.send(Reply(1, None))
        await call

    async def test_too_many_calls_that_wait(self, make_client: MakeClient) -> None:
        connection = make_client(max_offline_calls=2).room.get_or_create("k").connect()
        calls = [start(connection.say(number)) for number in range(3)]
        with pytest.raises(OfflineQueueFull, match="2 calls wait"):
            await calls[2]
        calls[0].cancel()
        await asyncio.sleep(0)
        # One place is free again.
        calls.append(start(connection.say(3)))
        await asyncio.sleep(0)
        assert not calls[3].done()
        await connection.close()
        for call in (calls[1], calls[3]):
            with pytest.raises(ConnectionClosed):
                await call

    async def test_unanswered_calls_are_sent_again_with_the_same_ids_before_those_that_waited(
        self, server: ScriptedServer, connection: Connection, peer: Peer
    ) -> None:
        answered, sent = start(connection.say(1)), start(connection.say(2))
        assert [(await peer.receive_call()).id for _ in range(2)] == [1, 2]
        peer.send(Reply(1, "one"))
        assert await answered == "one"
        peer.cut()
        await until(lambda: connection.status == "reconnecting")
        waited = start(connection.say(3))
        connection.on("a", print)
        peer = await server.accept()
        connect = await peer.welcome(replayed=0)
        assert connect.subscriptions == ("a",)
        assert [await peer.receive(), await peer.receive()] == [Call(2, "say", [2]), Call(3, "say", [3])]
        peer.send(Reply(3, "three"), Reply(2, "two"))
        assert await asyncio.gather(sent, waited) == ["two", "three"]

    async def test_a_call_keeps_its_id_over_several_cuts(
        self, server: ScriptedServer, connection: Connection, peer: Peer
    ) -> None:
        call = start(connection.say(1))
        for _ in range(3):
            assert await peer.receive() == Call(1, "say", [1])
            peer.cut()
            peer = await server.accept()
            await peer.welcome(replayed=0)
        await peer.receive_call()
        peer.send(Reply(1, "once"))
        assert await call == "once"

    @pytest.mark.parametrize(
        "answer",
        [
            {"session": "s2", "gap": Gap("session_expired")},
            {"session": "s2"},
            {"session": "s1", "epoch": "e2", "gap": Gap("epoch_changed")},
        ],
        ids=["session_expired", "new token", "epoch_changed"],
    )
    async def test_a_new_session_leaves_the_outcome_of_sent_calls_unknown(
        self, server: ScriptedServer, connection: Connection, peer: Peer, answer: dict[str, Any]
    ) -> None:
        sent = start(connection.say("sent"))
        await peer.receive_call()
        peer.cut()
        await until(lambda: connection.status == "reconnecting")
        waited = start(connection.say("waited"))
        peer = await server.accept()
        await peer.welcome(**answer)
        with pytest.raises(OutcomeUnknown, match="once or not at all"):
            await sent
        # Ids start again at 1; the call that was never sent is sent now.
        assert await peer.receive() == Call(1, "say", ["waited"])
        peer.send(Reply(1, "done"))
        assert await waited == "done"

    async def test_a_server_that_does_not_remember_the_outcome(
        self, connection: Connection, peer: Peer
    ) -> None:
        call = start(connection.say(1))
        await peer.receive_call()
        peer.send(["error", 1, {"code": "outcome_unknown", "message": "too long ago"}])
        with pytest.raises(OutcomeUnknown, match="too long ago"):
            await call

    async def test_unanswered_subscriptions_travel_with_the_connect_message_instead(
        self, server: ScriptedServer, connection: Connection, peer: Peer
    ) -> None:
        connection.on("a", print)
        await peer.receive()
        peer.cut()
        peer = await server.accept()
        assert (await peer.welcome(replayed=0)).subscriptions == ("a",)
        call = start(connection.say(1))
        assert await peer.receive() == Call(2, "say", [1])
        peer.send(Reply(2, None))
        await call


class TestGivingUp:
    async def test_a_cancelled_call_that_was_not_sent_is_never_sent(
        self, server: ScriptedServer, connection: Connection
    ) -> None:
        given_up, kept = start(connection.say(1)), start(connection.say(2))
        await asyncio.sleep(0)
        given_up.cancel()
        peer = await server.accept()
        await peer.welcome()
        assert await peer.receive() == Call(1, "say", [2])
        peer.send(Reply(1, None))
        await kept
        assert given_up.cancelled()

    async def test_a_cancelled_call_that_was_sent_is_not_sent_again(
        self, server: ScriptedServer, connection: Connection, peer: Peer
    ) -> None:
        given_up, kept = start(connection.say(1)), start(connection.say(2))
        await peer.receive_call()
        await peer.receive_call()
        given_up.cancel()
        await asyncio.wait({given_up})
        peer.cut()
        peer = await server.accept()
        await peer.welcome(replayed=0)
        assert await peer.receive() == Call(2, "say", [2])
        peer.send(Reply(1, "late"), Reply(2, "kept"))
        assert await kept == "kept"

    async def test_giving_up_in_a_new_session_does_not_touch_a_call_with_the_same_id(
        self, server: ScriptedServer, connection: Connection, peer: Peer
    ) -> None:
        old = start(connection.say("old"))
        await peer.receive_call()
        peer.cut()
        await until(lambda: connection.status == "reconnecting")
        new = start(connection.say("new"))
        peer = await server.accept()
        await peer.welcome(session="s2", gap=Gap("session_expired"))
        assert await peer.receive() == Call(1, "say", ["new"])
        with pytest.raises(OutcomeUnknown):
            await old
        peer.send(Reply(1, "answer"))
        assert await new == "answer"

    async def test_a_timeout(self, connection: Connection, peer: Peer) -> None:
        with pytest.raises(ActionTimeout, match=r"slow was not answered within 0.01 s"):
            await connection.slow(timeout_s=0.01)
        peer.send(Reply(1, "late"), event(1, "a"))
        await until(lambda: connection.position == ("e1", 1))
        assert connection.status == "connected"


class TestClosed:
    async def test_calls_without_an_answer_reject(self, connection: Connection, peer: Peer) -> None:
        call = start(connection.say(1))
        await peer.receive_call()
        await connection.close()
        # It may have run: nobody will tell.
        with pytest.raises(OutcomeUnknown, match="the connection is closed"):
            await call
        with pytest.raises(ConnectionClosed):
            await connection.say(2)

    async def test_ended_by_the_server_for_good(self, connection: Connection, peer: Peer) -> None:
        call = start(connection.say(1))
        await peer.receive_call()
        connection.on("error", lambda _error: None)
        await peer.close(CloseCode.ACTOR_DESTROYED, "the actor is gone")
        with pytest.raises(OutcomeUnknown, match="the actor is gone"):
            await call
        with pytest.raises(ConnectionClosed, match="the actor is gone"):
            await connection.say(2)

    async def test_names_that_cannot_be_actions(self, connection: Connection) -> None:
        with pytest.raises(ValueError, match="1 to 128"):
            await connection.call("x" * 129)
        with pytest.raises(AttributeError):
            connection._private  # noqa: B018
