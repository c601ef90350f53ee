"""Events that JSON cannot carry: refused whoever is there, or sent where all clients use MessagePack."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from linked import LinkedSocket, call, resume_from, running

from ringcast import Actor, Context, MemoryStore, action
from ringcast.errors import CloseCode, DefinitionError, EventNotJson
from ringcast.router import Router
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Connect, Error, Event

BINARY = [b"\xff\x00", bytearray(b"\xff"), memoryview(b"\xff"), {"picture": [b"\xfe"]}]


class Board(Actor):
    @action
    def put(self, c: Context) -> None:
        c.broadcast("put", b"\xff\x00")


class DurableBoard(Board):
    durable = True


class Camera(Board, msgpack_only=True):
    pass


class DurableCamera(Camera):
    durable = True


def actor_of(router: Router) -> Any:
    (instance,) = router._directory
    return instance.actor


@pytest.mark.parametrize("cls", [Board, DurableBoard])
@pytest.mark.parametrize("encodings", [[Encoding.JSON], [Encoding.MSGPACK], list(Encoding)])
async def test_what_json_cannot_carry_is_refused_whoever_is_there(
    cls: type[Any], encodings: list[Encoding]
) -> None:
    async with running(cls) as router:
        clients = [LinkedSocket(router, encoding) for encoding in encodings]
        for client in clients:
            await client.connect(cls.__name__, "a", events=("put",))
        board = actor_of(router)
        for value in BINARY:
            for send in (board.broadcast, board.conns.send):
                with pytest.raises(EventNotJson, match=r"the event 'put' of .*Board .*msgpack_only"):
                    send("put", value)
        with pytest.raises(EventNotJson):
            await call(router, cls.__name__, "a", "put")
        # Text, and keys that are numbers, are carried; the next event has the next number.
        board.broadcast("put", b"text", {1: "x"})
        for client in clients:
            event = await client.receive(Event)
            lossless = client.encoding is Encoding.MSGPACK
            assert event.args == ([b"text", {1: "x"}] if lossless else ["text", {"1": "x"}])
            assert event.offset == 1
            client.lose()


@pytest.mark.parametrize("cls", [Camera, DurableCamera])
async def test_an_actor_that_takes_messagepack_only_sends_any_bytes(cls: type[Any]) -> None:
    async with running(cls) as router, LinkedSocket(router, Encoding.MSGPACK) as client:
        await client.connect(cls.__name__, "a", events=("put",))
        for value in BINARY:
            actor_of(router).broadcast("put", value)
            # As they are read: all of them `bytes`.
            (arrived,) = (await client.receive(Event)).args
            assert arrived == value


@pytest.mark.parametrize("cls", [Camera, DurableCamera])
async def test_a_client_with_json_is_refused_there_and_harms_nobody(cls: type[Any]) -> None:
    async with running(cls) as router, LinkedSocket(router, Encoding.MSGPACK) as client:
        await client.connect(cls.__name__, "a", events=("put",))
        async with LinkedSocket(router) as other:
            other.send(Connect(cls.__name__, ("a",)))
            refused = await other.receive(Error)
            assert refused.error["code"] == "encoding_refused"
            assert "MessagePack only" in refused.error["message"]
            await other.closed_with(CloseCode.CONNECT_REFUSED)
        await call(router, cls.__name__, "a", "put")
        assert (await client.receive(Event)).args == [b"\xff\x00"]


async def test_a_kept_session_with_json_of_an_actor_that_takes_it_no_more_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()

    class Lens(Board):
        durable = True

    async with running(Lens, store=store) as router, LinkedSocket(router) as client:
        connected = await client.connect("lens", "a", events=("put",))
    kept = copy.deepcopy(store)

    class NewLens(Board, msgpack_only=True):
        durable = True

    NewLens.__name__ = "Lens"
    async with running(NewLens, store=kept) as router:
        async with LinkedSocket(router) as client:
            client.send(Connect("lens", ("a",), resume=resume_from(connected)))
            assert (await client.receive(Error)).error["code"] == "encoding_refused"
        async with LinkedSocket(router, Encoding.MSGPACK) as client:
            await client.connect("lens", "a", events=("put",))
            await call(router, "lens", "a", "put")
            assert (await client.receive(Event)).args == [b"\xff\x00"]
    assert f"the session of connection {connected.connection} is lost" in caplog.text


async def test_a_subclass_takes_it_over() -> None:
    class Wide(Camera, max_ring_events=5):
        pass

    class Open(Camera, msgpack_only=False):
        pass

    assert Wide.__ringcast_stream__.msgpack_only
    assert not Open.__ringcast_stream__.msgpack_only


def test_it_is_true_or_false() -> None:
    with pytest.raises(DefinitionError, match="msgpack_only is True or False"):

        class Wrong(Actor, msgpack_only="yes"):  # type: ignore[call-arg]
            pass


# --- in which encodings a durable actor writes --------------------------------------------------------------


async def test_events_are_written_in_an_encoding_only_while_somebody_uses_it() -> None:
    async with running(DurableBoard) as router, LinkedSocket(router, Encoding.MSGPACK) as stays:
        await stays.connect("durableBoard", "a", events=("put",))
        (instance,) = router._directory
        both = 1 << Encoding.JSON.index | 1 << Encoding.MSGPACK.index
        for _ in range(2):
            async with LinkedSocket(router) as first, LinkedSocket(router) as second:
                await first.connect("durableBoard", "a", events=("put",))
                await second.connect("durableBoard", "a", events=("put",))
                first.lose(CloseCode.NORMAL)
                await instance.settled()
                assert instance.stream.encodings == both
                actor_of(router).broadcast("put", "x")
                assert (await second.receive(Event)).args == ["x"]
                second.lose(CloseCode.NORMAL)
            await instance.settled()
            assert instance.stream.encodings == 1 << Encoding.MSGPACK.index
            actor_of(router).broadcast("put", "y")
            assert [(await stays.receive(Event)).args for _ in range(2)] == [["x"], ["y"]]


async def test_a_session_that_waits_for_its_client_still_uses_its_encoding() -> None:
    async with running(DurableBoard) as router, LinkedSocket(router, Encoding.MSGPACK) as stays:
        await stays.connect("durableBoard", "a")
        async with LinkedSocket(router) as client:
            connected = await client.connect("durableBoard", "a", events=("put",))
        actor_of(router).broadcast("put", "missed")
        async with LinkedSocket(router) as client:
            await client.connect("durableBoard", "a", events=("put",), resume=resume_from(connected))
            assert (await client.receive(Event)).args == ["missed"]


async def test_who_comes_as_the_last_one_of_its_encoding_goes_misses_nothing() -> None:
    async with running(DurableBoard) as router, LinkedSocket(router, Encoding.MSGPACK) as stays:
        await stays.connect("durableBoard", "a")
        (instance,) = router._directory
        for _ in range(20):
            async with LinkedSocket(router) as old, LinkedSocket(router) as new:
                await old.connect("durableBoard", "a")
                actor_of(router).broadcast("other", "x")
                old.lose(CloseCode.NORMAL)
                new.send(Connect("durableBoard", ("a",), subscriptions=("put",)))
                actor_of(router).broadcast("other", "x")
                await new.next()
                actor_of(router).broadcast("put", "y")
                assert (await new.receive(Event)).args == ["y"]
                new.lose(CloseCode.NORMAL)
            await instance.settled()


async def test_who_asks_for_an_encoding_and_goes_again_leaves_nothing_behind() -> None:
    async with running(DurableBoard) as router, LinkedSocket(router, Encoding.MSGPACK) as stays:
        await stays.connect("durableBoard", "a")
        (instance,) = router._directory
        await instance.prepare(Encoding.JSON)
        assert instance.stream.encodings & 1 << Encoding.JSON.index
        await instance.settled()
        assert instance.stream.encodings == 1 << Encoding.MSGPACK.index


async def test_an_encoding_that_somebody_waits_for_is_not_given_up_as_another_client_goes() -> None:
    async with (
        running(DurableBoard) as router,
        LinkedSocket(router, Encoding.MSGPACK) as stays,
        LinkedSocket(router, Encoding.MSGPACK) as goes,
    ):
        for client in (stays, goes):
            await client.connect("durableBoard", "a", events=("put",))
        (instance,) = router._directory
        board = actor_of(router)
        board.broadcast("put", "one")
        goes.lose(CloseCode.NORMAL)
        # In the commit that the newcomer waits for: what is sent there has to be written for him as well.
        instance.after(lambda: instance.after(lambda: board.broadcast("put", "two")))
        await instance.prepare(Encoding.JSON)
        instance.stream.open(Encoding.JSON.index)
        assert [(await stays.receive(Event)).args for _ in range(2)] == [["one"], ["two"]]
