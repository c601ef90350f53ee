"""The client against real actors: over HTTP and WebSockets, and in process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ringcast import Actor, Context, MemoryStore, Registry, ServerConfig, UserError, action
from ringcast.client import Client, ClientConfig, Connection
from ringcast.errors import (
    ActionTimeout,
    ActorAlreadyExists,
    ActorNotFound,
    ConnectionClosed,
    ConnectionFailure,
    ConnectionRefused,
    NotConnected,
    OutcomeUnknown,
    UnknownAction,
    UnknownActor,
)
from ringcast.server.serve import serving
from ringcast.testing import NetworkProxy
from ringcast.wire.protocol import Connect

from .conftest import Delays
from .scripted import until


@dataclass
class Room:
    messages: list[str] = field(default_factory=list)


@dataclass
class Guest:
    name: str = "nobody"


class ChatRoom(Actor[Room, Guest]):
    def create_state(self, c: Any, input: list[str] | None) -> Room:
        return Room(list(input or []))

    def on_before_connect(self, c: Context[Room, Guest], params: Any) -> None:
        if isinstance(params, dict) and params.get("name") == "mallory":
            raise UserError("not you", code="banned", metadata={"for": "ever"})

    def create_conn_state(self, c: Context[Room, Guest], params: Guest | None) -> Guest:
        return params or Guest()

    @action
    def send_message(self, c: Context[Room, Guest], text: str) -> int:
        c.state.messages.append(text)
        c.broadcast("messageReceived", text)
        return len(c.state.messages)

    @action
    def messages(self, c: Context[Room, Guest]) -> list[str]:
        return c.state.messages

    @action
    def whoami(self, c: Context[Room, Guest]) -> str:
        return c.conn.state.name

    @action
    async def slow(self, c: Context[Room, Guest]) -> None:
        await asyncio.Event().wait()

    @action
    def fail(self, c: Context[Room, Guest]) -> None:
        raise UserError("full", code="room_full", metadata={"max": 2})

    @action
    def kick(self, c: Context[Room, Guest]) -> None:
        c.conn.disconnect("you were kicked")


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    # One test leaves an action running, which stopping waits for.
    config = ServerConfig(shutdown_timeout_s=0.2)
    async with Registry(ChatRoom, store=MemoryStore(), config=config) as registry:
        yield registry


@pytest.fixture(params=["json", "msgpack", "in process"])
async def client(
    request: pytest.FixtureRequest, registry: Registry, config: ClientConfig
) -> AsyncIterator[Client]:
    if request.param == "in process":
        async with registry.client as client:
            yield client
    else:
        async with serving(registry) as url, Client(url, encoding=request.param, config=config) as client:
            yield client


class TestHandle:
    async def test_calls_without_a_connection(self, client: Client) -> None:
        room = client.get_or_create(ChatRoom, ["general"])
        assert await room.send_message("hello") == 1
        assert await room.sendMessage("there") == 2
        assert await room.call("messages") == ["hello", "there"]

    @pytest.mark.parametrize("name", ["chat_room", "chatRoom", "ChatRoom"])
    async def test_by_name(self, client: Client, name: str) -> None:
        await client.get_or_create(ChatRoom, ["general"]).send_message("hello")
        assert await getattr(client, name).get(["general"]).messages() == ["hello"]
        assert await client.get(name, "general").messages() == ["hello"]

    async def test_get_of_a_missing_actor(self, client: Client) -> None:
        room = client.get(ChatRoom, ["nowhere"])
        with pytest.raises(ActorNotFound):
            await room.messages()
        with pytest.raises(ActorNotFound):
            await room
        with pytest.raises(ConnectionRefused) as refused:
            async with room.connect():
                pytest.fail("there is no such actor")
        assert isinstance(refused.value.__cause__, ActorNotFound)

    async def test_create_now(self, client: Client) -> None:
        room = await client.create(ChatRoom, ["new"], input=["first"])
        assert room.actor_id is not None
        assert await room.messages() == ["first"]
        with pytest.raises(ActorAlreadyExists):
            await client.create(ChatRoom, ["new"])
        # An id can be passed on.
        other = client.get_for_id("chat_room", room.actor_id)
        assert await other.send_message("second") == 2
        assert await client.get(ChatRoom, ["new"]).resolve() == room.actor_id

    async def test_create_at_the_first_use(self, client: Client) -> None:
        room = client.create(ChatRoom, ["new"], input=["first"])
        assert await asyncio.gather(room.messages(), room.messages()) == [["first"], ["first"]]
        async with room.connect() as connection:
            assert await connection.messages() == ["first"]
            assert connection.actor_id == room.actor_id

    async def test_a_create_whose_answer_is_lost_finds_what_it_has_created(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolve, lost = client._endpoint.resolve, 2

        async def resolve_in_vain(address: Connect, params: Any = None) -> tuple[str, tuple[str, ...]]:
            nonlocal lost
            found = await resolve(address, params)
            if lost:
                lost -= 1
                raise OutcomeUnknown("no answer came")
            return found

        monkeypatch.setattr(client._endpoint, "resolve", resolve_in_vain)
        room = client.create(ChatRoom, ["new"], input=["first"])
        with pytest.raises(OutcomeUnknown):
            await room
        async with room.connect() as connection:
            assert lost == 0
            assert await connection.messages() == ["first"]
        with pytest.raises(ActorAlreadyExists):
            await client.create(ChatRoom, ["new"])

    async def test_create_of_an_existing_actor_by_connecting(self, client: Client) -> None:
        await client.get_or_create(ChatRoom, ["old"])
        with pytest.raises(ConnectionRefused) as refused:
            async with client.create(ChatRoom, ["old"]).connect():
                pytest.fail("it was there before")
        assert isinstance(refused.value.__cause__, ActorAlreadyExists)

    async def test_get_for_id_of_a_missing_actor(self, client: Client) -> None:
        with pytest.raises(ActorNotFound):
            await client.chat_room.get_for_id("no-such-id").messages()

    async def test_errors(self, client: Client) -> None:
        room = client.get_or_create(ChatRoom, ["general"])
        with pytest.raises(UserError, match="full") as failed:
            await room.fail()
        assert (failed.value.code, failed.value.metadata) == ("room_full", {"max": 2})
        with pytest.raises(UnknownAction):
            await room.no_such_action()
        with pytest.raises(UnknownActor):
            await client.no_such_actor.get_or_create("x").anything()
        with pytest.raises(ActionTimeout):
            await room.slow(timeout_s=0.02)

    async def test_a_listener_without_a_connection_says_what_to_do(self, client: Client) -> None:
        room = client.get_or_create(ChatRoom, ["general"])
        for listen in (room.on, room.once, room.off, room.stream):
            with pytest.raises(NotConnected, match=r"handle\.connect\(\)"):
                listen("messageReceived", print)

    async def test_a_closed_client_says_so(self, client: Client) -> None:
        room = client.get_or_create(ChatRoom, ["general"])
        await room.messages()
        await client.close()
        await client.close()
        with pytest.raises(ConnectionClosed, match="the client is closed"):
            await room.messages()
        with pytest.raises(ConnectionClosed, match="the client is closed"):
            room.connect()


class TestConnection:
    async def test_events_and_calls(self, client: Client) -> None:
        room = client.get_or_create(ChatRoom, ["general"])
        got: list[str] = []
        async with room.connect({"name": "ann"}) as connection:
            connection.on("messageReceived", got.append)
            assert await connection.whoami() == "ann"
            assert await connection.send_message("one") == 1
            assert got == ["one"]
            assert await room.send_message("two") == 2
            await until(lambda: got == ["one", "two"])

    async def test_a_stream(self, client: Client) -> None:
        room = client.get_or_create(ChatRoom, ["general"])
        got: list[str] = []
        async with room.connect() as connection:
            stream = connection.stream("messageReceived")
            for number in range(100):
                await connection.send_message(str(number))
            async for text in stream:
                got.append(text)
                if len(got) == 100:
                    break
        assert got == [str(number) for number in range(100)]

    async def test_refused(self, client: Client) -> None:
        with pytest.raises(ConnectionRefused, match="not you") as refused:
            async with client.get_or_create(ChatRoom, ["general"]).connect({"name": "mallory"}):
                pytest.fail("mallory is banned")
        assert (refused.value.code, refused.value.metadata) == ("banned", {"for": "ever"})

    async def test_kicked(self, client: Client) -> None:
        errors: list[BaseException] = []
        connection = client.get_or_create(ChatRoom, ["general"]).connect()
        connection.on("error", errors.append)
        await connection.ready()
        await connection.kick()
        await until(lambda: connection.status == "closed")
        assert [type(error) for error in errors] == [ConnectionClosed]
        assert "you were kicked" in str(errors[0])

    async def test_a_reserved_name_cannot_be_subscribed_to(self, client: Client) -> None:
        async with client.get_or_create(ChatRoom, ["general"]).connect() as connection:
            connection.on("gap", print)
            connection.on("connected", print)
            assert await connection.messages() == []

    async def test_stopping_the_registry_ends_what_is_in_process(self, registry: Registry) -> None:
        connection = registry.client.get_or_create(ChatRoom, ["general"]).connect()
        await connection.ready()
        await registry.stop()
        assert connection.status == "closed"
        await registry.start()
        assert await registry.client.get_or_create(ChatRoom, ["other"]).messages() == []


class TestLostNetwork:
    @pytest.fixture(params=["json", "msgpack"])
    async def network(
        self, request: pytest.FixtureRequest, registry: Registry, config: ClientConfig
    ) -> AsyncIterator[tuple[NetworkProxy, Connection]]:
        async with serving(registry) as url:
            port = int(url.rpartition(":")[2])
            async with (
                NetworkProxy("127.0.0.1", port) as proxy,
                Client(proxy.url, encoding=request.param, config=config) as client,
            ):
                connection = client.get_or_create(ChatRoom, ["general"]).connect({"name": "ann"})
                yield proxy, connection

    async def test_nothing_is_lost_or_repeated_over_many_cuts(
        self, network: tuple[NetworkProxy, Connection], registry: Registry
    ) -> None:
        proxy, connection = network
        got: list[str] = []
        replayed: list[int] = []
        gaps: list[Any] = []
        connection.on("messageReceived", got.append)
        connection.on("replayed", replayed.append)
        connection.on("gap", gaps.append)
        await connection.ready()
        room = registry.client.get_or_create(ChatRoom, ["general"])
        for number in range(300):
            await room.send_message(str(number))
            if number % 50 == 25:
                # With events on the way, and some of those that are still to be read thrown away by the cut.
                proxy.cut()
                await until(lambda: connection.status == "reconnecting")
            elif number % 50 == 40:
                proxy.restore()
                await connection.ready()
        await until(lambda: len(got) == 300)
        assert got == [str(number) for number in range(300)]
        assert len(replayed) == 6
        assert sum(replayed) >= 6 * 15
        assert gaps == []

    async def test_each_call_runs_once_over_many_cuts(
        self, network: tuple[NetworkProxy, Connection], registry: Registry
    ) -> None:
        proxy, connection = network
        got: list[str] = []
        connection.on("messageReceived", got.append)
        await connection.ready()
        calls = []
        for number in range(200):
            calls.append(asyncio.ensure_future(connection.send_message(str(number))))
            if number % 40 == 20:
                await asyncio.sleep(0)
                proxy.cut()
                await until(lambda: connection.status == "reconnecting")
                proxy.restore()
            elif number % 10 == 5:
                await asyncio.sleep(0)
        counts = await asyncio.gather(*calls)
        stored = await registry.client.get_or_create(ChatRoom, ["general"]).messages()
        assert sorted(stored, key=int) == [str(number) for number in range(200)]
        assert sorted(counts) == list(range(1, 201))
        await until(lambda: len(got) == 200)
        assert got == stored

    async def test_the_actor_sees_one_connection_all_the_time(
        self, network: tuple[NetworkProxy, Connection]
    ) -> None:
        proxy, connection = network
        await connection.ready()
        id = connection.id
        proxy.cut()
        await until(lambda: connection.status == "reconnecting")
        proxy.restore()
        await connection.ready()
        assert connection.id == id
        assert await connection.whoami() == "ann"


class Bench(Actor):
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.gate = asyncio.Event()

    @action
    async def work(self, c: Context, length: int) -> str:
        self.begun += 1
        await self.gate.wait()
        self.ended += 1
        return "x" * length


@pytest.mark.parametrize(("calls", "length"), [(1500, 1), (100, 30_000)], ids=["many", "large"])
async def test_no_outcome_is_unknown_after_a_resume_in_time(
    config: ClientConfig, calls: int, length: int
) -> None:
    # Where nothing is acknowledged, a record of so many answers could not be bounded.
    registry = Registry(Bench, store=MemoryStore())
    async with (
        serving(registry) as url,
        NetworkProxy("127.0.0.1", int(url.rpartition(":")[2])) as proxy,
        Client(proxy.url, config=config) as client,
        client.bench.get_or_create("k").connect() as connection,
    ):
        (instance,) = registry.router._directory
        bench = instance.actor
        assert isinstance(bench, Bench)
        results = [asyncio.ensure_future(connection.work(length)) for _ in range(calls)]
        in_flight = min(calls, config.max_unanswered_calls)
        await until(lambda: bench.begun == in_flight)
        proxy.cut()
        await until(lambda: connection.status == "reconnecting")
        bench.gate.set()
        await until(lambda: bench.ended == in_flight)
        proxy.restore()
        assert [len(result) for result in await asyncio.gather(*results)] == [length] * calls
        assert bench.begun == calls


async def test_a_server_that_restarts(config: ClientConfig, delays: Delays) -> None:
    store = MemoryStore()
    async with serving(Registry(ChatRoom, store=store)) as url:
        client = Client(url, config=config)
        connection = client.get_or_create(ChatRoom, ["general"]).connect()
        gaps: list[Any] = []
        connection.on("gap", gaps.append)
        await connection.ready()
        await connection.send_message("before")
    await until(lambda: connection.status == "reconnecting")
    port = int(url.rpartition(":")[2])
    async with serving(Registry(ChatRoom, store=store), port=port):
        await connection.ready()
        # The new process of a server knows nothing of the old one's sessions, and the client says so.
        assert len(gaps) == 1
        assert await connection.whoami() == "nobody"
        await client.close()


async def test_a_server_that_cannot_be_reached(config: ClientConfig) -> None:
    async with serving(Registry(ChatRoom, store=MemoryStore())) as url:
        pass
    async with Client(url, config=config) as client:
        with pytest.raises(ConnectionFailure, match="cannot reach") as failed:
            await client.get_or_create(ChatRoom, ["general"]).messages()
        assert failed.value.code == "unreachable"
