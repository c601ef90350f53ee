"""Links and sessions over real sockets: the connect message, requests, and an end by the actor."""

from __future__ import annotations

from typing import Any

import pytest
from linked import LinkedSocket, call, eventually, resume_from, running
from room import Room, actor_of

from ringcast import Actor, Context, MemoryStore
from ringcast.errors import MASKED, CloseCode, TooManyCalls, UserError, from_wire
from ringcast.store import StoredActor
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Connect, Connected, Error, Event, Reply, Subscribe, Unsubscribe


@pytest.fixture(params=list(Encoding), ids=["json", "msgpack"])
def encoding(request: pytest.FixtureRequest) -> Encoding:
    found: Encoding = request.param
    return found


# --- connecting ---------------------------------------------------------------------------------------------


async def test_connecting_answers_with_a_position_and_events_of_on_connect_arrive(encoding: Encoding) -> None:
    async with running(Room) as router, LinkedSocket(router, encoding) as client:
        connected = await client.connect("room", "a", params={"name": "ann"}, events=("joined",))
        assert connected.offset == 0
        assert connected.replayed is None and connected.gap is None
        assert connected.window_s == 30
        assert client.link.connected
        joined, welcome = await client.receive(Event), await client.receive(Event)
        assert joined == (connected.stream, 1, "joined", ["ann"])
        assert welcome == (connected.stream, 2, "welcome", ["ann"])
        assert router.connections == 1


async def test_a_connection_is_visible_only_after_its_hooks(encoding: Encoding) -> None:
    async with running(Room) as router, LinkedSocket(router, encoding) as client:
        await client.connect("room", "a", params={"name": "ann"})
        assert await call(router, "room", "a", "lines") == ["connect ann 0"]
        assert len(actor_of(router).conns) == 1


async def test_a_hook_that_refuses_says_why_and_leaves_nothing(encoding: Encoding) -> None:
    async with running(Room) as router, LinkedSocket(router, encoding) as client:
        client.send(Connect("room", ("a",), params={"refuse": "ann"}))
        error = await client.receive(Error)
        assert error == (None, {"code": "forbidden", "message": "not you", "metadata": {"who": "ann"}})
        await client.closed_with(CloseCode.CONNECT_REFUSED)
        assert router.connections == 0
        assert await call(router, "room", "a", "lines") == []


async def test_a_hook_that_breaks_does_not_tell_its_text(
    encoding: Encoding, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Room) as router, LinkedSocket(router, encoding) as client:
        client.send(Connect("room", ("a",), params={"break": 1}))
        error = await client.receive(Error)
        assert error == (None, {"code": "internal_error", "message": MASKED})
        await client.closed_with(CloseCode.CONNECT_REFUSED)
        assert "a secret" in caplog.text


async def test_params_that_do_not_fit_are_refused(encoding: Encoding) -> None:
    async with running(Room) as router, LinkedSocket(router, encoding) as client:
        client.send(Connect("room", ("a",), params={"name": 5}))
        error = (await client.receive(Error)).error
        assert error["code"] == "validation_error"
        assert error["message"].startswith("Room params: params")
        await client.closed_with(CloseCode.CONNECT_REFUSED)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Connect("nobody"), "unknown_actor"),
        (Connect("room", ("missing",), lookup="get"), "actor_not_found"),
        (Connect("room", lookup="id", actor_id="missing"), "actor_not_found"),
    ],
)
async def test_an_actor_that_cannot_be_had_is_refused(request_: Connect, code: str) -> None:
    async with running(Room) as router, LinkedSocket(router) as client:
        client.send(request_)
        assert (await client.receive(Error)).error["code"] == code
        await client.closed_with(CloseCode.CONNECT_REFUSED)


async def test_the_first_message_is_connect(encoding: Encoding) -> None:
    async with running(Room) as router, LinkedSocket(router, encoding) as client:
        client.send(Call(1, "say", []))
        assert (await client.receive(Error)).error["code"] == "invalid_message"
        await client.closed_with(CloseCode.CONNECT_EXPECTED)
        assert not client.link.connected


async def test_a_second_connect_message_is_an_error() -> None:
    async with running(Room) as router, LinkedSocket(router) as client:
        await client.connect("room", "a")
        await client.receive(Event)
        client.send(Connect("room", ("a",)))
        await client.receive(Error)
        await client.closed_with(CloseCode.INVALID_MESSAGE)


async def test_a_malformed_message_closes_this_socket_only() -> None:
    async with running(Room) as router, LinkedSocket(router) as good, LinkedSocket(router) as bad:
        for client in (good, bad):
            await client.connect("room", "a", events=("said",))
            await client.receive(Event)
        bad.send_raw(b'["call", 1')
        await bad.receive(Error)
        await bad.closed_with(CloseCode.INVALID_MESSAGE)
        good.send(Call(1, "say", ["still here"]))
        assert (await good.receive(Event)).args == ["still here"]
        assert (await good.receive(Reply)).id == 1


async def test_requests_with_text_that_is_no_unicode_are_counted_like_others() -> None:
    limits = {"max_actions_per_s": 1, "max_actions_at_once": 3}
    async with running(Room, **limits) as router, LinkedSocket(router) as client:
        await client.connect("room", "a", events=("said",))
        await client.receive(Event)
        codes = []
        for id in range(1, 5):
            client.send_raw(rb'["call",%d,"say",["\ud83d"]]' % id)
            answer = await client.receive(Error)
            assert answer.id == id
            codes.append(answer.error["code"])
        assert codes == ["validation_error"] * 3 + ["rate_limited"]


async def test_names_that_may_not_be_subscribed_are_reported(encoding: Encoding) -> None:
    async with running(Room) as router, LinkedSocket(router, encoding) as client:
        connected = await client.connect("room", "a", events=("private", "said", "gap"))
        refused = {name: error["code"] for name, error in connected.refused_subscriptions.items()}
        assert refused == {"private": "subscription_refused", "gap": "reserved_name"}
        await client.receive(Event)
        client.send(Call(1, "say", []))
        assert (await client.receive(Event)).name == "said"


class Unreadable(MemoryStore):
    """Fails as a store does whose disk is gone for a moment."""

    async def find(self, name: str, key: tuple[str, ...]) -> StoredActor | None:
        raise OSError("the disk is gone")


async def test_a_store_that_fails_does_not_refuse_for_good(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Room, store=Unreadable()) as router, LinkedSocket(router) as client:
        client.send(Connect("room", ("a",)))
        assert await client.receive(Error) == (None, {"code": "internal_error", "message": MASKED})
        await client.closed_with(CloseCode.INTERNAL_ERROR)
        assert "the disk is gone" in caplog.text


class Picky(Actor[None, None]):
    """Refuses with what no encoding can write."""

    def on_before_connect(self, c: Context[None, None], params: Any) -> None:
        if params == "out":
            raise UserError("out \ud800", metadata=object())

    def can_subscribe(self, c: Context[None, None], event: str) -> bool:
        raise UserError(f"not {event} \ud800")


async def test_refusals_that_cannot_be_written_arrive_all_the_same(encoding: Encoding) -> None:
    async with (
        running(Picky) as router,
        LinkedSocket(router, encoding) as refused,
        LinkedSocket(router, encoding) as taken,
    ):
        refused.send(Connect("picky", params="out"))
        assert await refused.receive(Error) == (None, {"code": "user_error", "message": "out ?"})
        await refused.closed_with(CloseCode.CONNECT_REFUSED)
        connected = await taken.connect("picky", events=("news",))
        assert connected.refused_subscriptions == {"news": {"code": "user_error", "message": "not news ?"}}


# --- requests -----------------------------------------------------------------------------------------------


async def test_a_reply_comes_after_the_events_of_its_action(encoding: Encoding) -> None:
    async with running(Room) as router, LinkedSocket(router, encoding) as client:
        await client.connect("room", "a", events=("said",))
        await client.receive(Event)
        client.send(*(Call(id, "say", [id]) for id in range(1, 101)))
        for id in range(1, 101):
            assert (await client.receive(Event)).args == [id]
            assert await client.receive(Reply) == (id, id)


async def test_replies_are_flushed_when_the_last_message_of_a_read_has_no_reply_yet() -> None:
    async with running(Room) as router, LinkedSocket(router) as client:
        await client.connect("room", "a")
        await client.receive(Event)
        client.send(Call(1, "say", []), Call(2, "wait", ["done"]))
        assert await client.receive(Reply) == (1, 1)
        client.send(Call(3, "let_go", []))
        assert {await client.receive(Reply), await client.receive(Reply)} == {(2, "done"), (3, None)}


async def test_replies_are_flushed_when_the_rest_of_a_read_never_comes() -> None:
    async with running(Room) as router, LinkedSocket(router) as client:
        await client.connect("room", "a")
        await client.receive(Event)
        client.link.on_message(client.encoding.encode(Call(1, "say", []).to_wire()), last=False)
        assert await client.receive(Reply) == (1, 1)


@pytest.mark.parametrize(
    ("action_name", "args", "error"),
    [
        ("fail", ["user"], {"code": "nope", "message": "no", "metadata": {"a": [1]}}),
        ("fail", ["other"], {"code": "internal_error", "message": MASKED}),
        ("fail", ["result"], {"code": "internal_error", "message": MASKED}),
        ("fail", ["metadata"], {"code": "user_error", "message": "no"}),
        ("fail", ["surrogate"], {"code": "n?", "message": "no ?"}),
        ("missing", [], {"code": "unknown_action", "message": "Room has no action 'missing'"}),
    ],
)
async def test_errors_of_requests(
    encoding: Encoding,
    action_name: str,
    args: list[Any],
    error: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(Room) as router, LinkedSocket(router, encoding) as client:
        await client.connect("room", "a")
        await client.receive(Event)
        client.send(Call(1, action_name, args))
        assert await client.receive(Error) == (1, error)
        client.send(Call(2, "say", []))
        assert await client.receive(Reply) == (2, 1)


async def test_calls_past_the_limit_do_not_run(encoding: Encoding) -> None:
    async with running(Room, max_calls_in_flight=2) as router, LinkedSocket(router, encoding) as client:
        await client.connect("room", "a")
        await client.receive(Event)
        client.send(*(Call(id, "wait", [id]) for id in (1, 2, 3)))
        refused = await client.receive(Error)
        assert refused.id == 3
        assert isinstance(from_wire(refused.error), TooManyCalls)
        client.send(Call(3, "wait", [3]))
        assert await client.receive(Error) == refused
        await call(router, "room", "a", "let_go")
        assert {await client.receive(Reply), await client.receive(Reply)} == {(1, 1), (2, 2)}
        assert actor_of(router).runs == 2
        client.send(Call(4, "say", []))
        assert await client.receive(Reply) == (4, 3)


async def test_subscribing_takes_effect_at_once_and_unsubscribing_ends_it(encoding: Encoding) -> None:
    async with running(Room) as router, LinkedSocket(router, encoding) as client:
        await client.connect("room", "a")
        await client.receive(Event)
        client.send(
            Subscribe(1, "said"), Call(2, "say", ["x"]), Unsubscribe(3, "said"), Call(4, "say", ["y"])
        )
        assert await client.receive(Reply) == (1, None)
        assert (await client.receive(Event)).args == ["x"]
        assert [await client.receive(Reply) for _ in range(3)] == [(2, 1), (3, None), (4, 2)]


async def test_a_refused_subscription_is_an_error_reply() -> None:
    async with running(Room) as router, LinkedSocket(router) as client:
        await client.connect("room", "a")
        await client.receive(Event)
        client.send(Subscribe(1, "private"), Subscribe(2, "connected"))
        codes = [(await client.receive(Error)).error["code"] for _ in range(2)]
        assert codes == ["subscription_refused", "reserved_name"]


async def test_subscriptions_are_bounded() -> None:
    async with running(Room) as router, LinkedSocket(router) as client:
        await client.connect("room", "a", events=tuple(f"event{n}" for n in range(256)))
        await client.receive(Event)
        client.send(Subscribe(1, "event1"), Subscribe(2, "one too many"))
        assert await client.receive(Reply) == (1, None)
        assert (await client.receive(Error)).error["code"] == "subscription_refused"


# --- the actor ends it --------------------------------------------------------------------------------------


async def test_a_kicked_client_gets_what_was_sent_and_then_the_reason(encoding: Encoding) -> None:
    async with (
        running(Room) as router,
        LinkedSocket(router, encoding) as ann,
        LinkedSocket(router, encoding) as bob,
    ):
        connected = await ann.connect("room", "a", params={"name": "ann"})
        await ann.receive(Event)
        await bob.connect("room", "a", params={"name": "bob"}, events=("left",))
        await bob.receive(Event)
        bob.send(Call(1, "kick", ["ann"]))
        assert await bob.receive(Reply) == (1, None)
        assert (await ann.receive(Event)).name == "kicked"
        assert await ann.closed() == (CloseCode.DISCONNECTED, "be nice")
        assert (await bob.receive(Event)).args == ["ann"]
        ann.lose(CloseCode.DISCONNECTED)
        assert router.connections == 1
        assert next(iter(router._directory)).stream.connections() == 1  # type: ignore[attr-defined]
        async with LinkedSocket(router, encoding) as again:
            again.send(Connect("room", ("a",), resume=resume_from(connected)))
            assert await again.closed() == (CloseCode.DISCONNECTED, "be nice")


async def test_a_client_that_kicks_itself_gets_its_reply_first() -> None:
    async with running(Room) as router, LinkedSocket(router) as client:
        await client.connect("room", "a", params={"name": "ann"})
        await client.receive(Event)
        client.send(Call(1, "kick", ["ann"]))
        assert (await client.receive(Event)).name == "kicked"
        assert await client.receive(Reply) == (1, None)
        await client.closed_with(CloseCode.DISCONNECTED)


async def test_a_reason_that_does_not_fit_is_cut_between_characters() -> None:
    async with running(Room) as router, LinkedSocket(router) as client:
        await client.connect("room", "a", params={"name": "ann"})
        await client.receive(Event)
        next(iter(actor_of(router).conns)).disconnect("ä" * 100)
        assert await client.closed() == (CloseCode.DISCONNECTED, "ä" * 61)


@pytest.mark.parametrize("code", [CloseCode.DISCONNECTED, CloseCode.ACTOR_DESTROYED])
async def test_a_client_that_was_sent_away_while_it_was_lost_is_told_when_it_comes_back(
    code: CloseCode,
) -> None:
    async with running(Room) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("room", "a")
            await first.receive(Event)
        (conn,) = actor_of(router).conns
        if code is CloseCode.DISCONNECTED:
            conn.disconnect("go away")
        else:
            actor_of(router).destroy()
        await eventually(lambda: router.connections == 0)
        async with LinkedSocket(router) as second:
            second.send(Connect("room", ("a",), resume=resume_from(connected)))
            closed = await second.closed()
            assert closed.code == code
            assert closed.reason == ("go away" if code is CloseCode.DISCONNECTED else "")


async def test_a_result_larger_than_clients_take_is_an_error_of_the_call_alone(encoding: Encoding) -> None:
    async with running(Room, max_reply_bytes=1000) as router, LinkedSocket(router, encoding) as client:
        await client.connect("room", "k")
        await client.receive(Event)
        actor_of(router).release.set()
        client.send(Call(1, "wait", ["x" * 1001]), Call(2, "wait", ["x" * 900]))
        answer = await client.receive(Error)
        assert (answer.id, answer.error["code"]) == (1, "reply_too_large")
        assert (await client.receive(Reply)).id == 2


async def test_a_reply_to_a_client_that_is_away_is_kept_for_it_and_no_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(Room) as router:
        async with LinkedSocket(router) as first:
            connected = await first.connect("room", "a")
            await first.receive(Event)
            first.send(Call(1, "wait", ["done"]))
        await call(router, "room", "a", "let_go")
        async with LinkedSocket(router) as second:
            second.send(Connect("room", ("a",), resume=resume_from(connected)), Call(1, "wait", ["done"]))
            await second.receive(Connected)
            await second.receive(Event)
            assert await second.receive(Reply) == (1, "done")
    assert caplog.records == []
