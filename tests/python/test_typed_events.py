"""Events that an actor declares: what fits, what is refused, and where; and the switch that leaves it out."""

from __future__ import annotations

import collections.abc
import datetime
import logging
import sys
import threading
from collections import OrderedDict
from dataclasses import InitVar, dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import partial
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NoReturn,
    NotRequired,
    Optional,
    Protocol,
    TypeVar,
)
from uuid import UUID

import pydantic
import pytest
from linked import LinkedSocket, call, running
from typing_extensions import TypedDict

from ringcast import Actor, Context, action, where
from ringcast.connection import Connection
from ringcast.errors import (
    DefinitionError,
    InvalidEvent,
    InvalidEventName,
    ReservedName,
    RingcastError,
    UnknownEvent,
)
from ringcast.router import Router
from ringcast.running.event import Emitter
from ringcast.schema.declared import DeclaredEvents, EventSpec, Parameter
from ringcast.schema.definition import define
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Call, Event, Reply, Subscribe
from ringcast.wire.protocol import Error as ErrorMessage


@dataclass
class Place:
    x: float
    y: float = 0.0


@dataclass(slots=True)
class Move:
    player: str
    to: Place
    seen_by: list[str] = field(default_factory=list)


class FarMove(Move):
    pass


@dataclass
class Numbered:
    """Makes itself a number: a second instance would have another one."""

    made: ClassVar[int] = 0
    start: InitVar[int]
    number: int = field(init=False, default=0)

    def __post_init__(self, start: int) -> None:
        Numbered.made += 1
        self.number = start + Numbered.made


@dataclass
class Tree:
    name: str
    inside: list[Tree] = field(default_factory=list)


class Article(pydantic.BaseModel):
    title: str
    tags: list[str] = []


class Premium(Article):
    price: int


ItemT = TypeVar("ItemT")


class Page(pydantic.BaseModel, Generic[ItemT]):
    items: list[ItemT]


@pydantic.dataclasses.dataclass
class Checked:
    size: int


class Said(TypedDict):
    text: str
    type: NotRequired[Literal["loud", "quiet"]]


class Point(NamedTuple):
    x: int
    y: int


class Role(Enum):
    MEMBER = "member"
    ADMIN = "admin"


class Tone(StrEnum):
    LOUD = "loud"


class Size(IntEnum):
    BIG = 3


@dataclass
class Cat:
    kind: Literal["cat"]
    lives: int


@dataclass
class Dog:
    kind: Literal["dog"]
    name: str


Pet = Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]

NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


def spec_of(*annotations: Any) -> EventSpec:
    parameters = tuple(Parameter(f"arg{n}", annotation) for n, annotation in enumerate(annotations))
    return EventSpec("Room", "said", parameters)


# --- what fits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 3),
        (int, Size.BIG),
        (float, 2.5),
        (float, 3),
        (float, float("nan")),
        (str, "text"),
        (str, Tone.LOUD),
        (bool, True),
        (bytes, b"x"),
        (Decimal, Decimal("1.5")),
        (datetime.datetime, NOON),
        (datetime.date, NOON.date()),
        (datetime.timedelta, datetime.timedelta(1)),
        (UUID, UUID(int=1)),
        (Role, Role.ADMIN),
        (Literal["a", 1], "a"),
        (int | str, "a"),
        (Optional[int], None),  # noqa: UP045  # both ways to write it
        (Place | None, Place(1)),
        (list[int], [1, 2]),
        (tuple[int, str], (1, "a")),
        (tuple[int, ...], (1, 2)),
        (set[str], {"a"}),
        (frozenset[str], frozenset("a")),
        (collections.abc.Set[str], {"a"}),
        (collections.abc.Sequence[int], [1]),
        (collections.abc.Sequence[int], (1,)),
        (collections.abc.Mapping[str, int], OrderedDict(a=1)),
        (dict[int, list[Place]], {1: [Place(1, 2.5)]}),
        (Place, Place(1)),
        (Move, Move("ann", Place(1), ["bob"])),
        (Move, FarMove("ann", Place(1))),
        (Tree, Tree("a", [Tree("b", [Tree("c")])])),
        (Article, Article(title="t")),
        (Article, Premium(title="t", price=1)),
        (Page[int], Page[int](items=[1])),
        (Page[int], Page(items=[1])),
        (Checked, Checked(size=1)),
        (Said, {"text": "a"}),
        (Said, {"text": "a", "type": "loud"}),
        (Point, Point(1, 2)),
        (Pet, Dog("dog", "rex")),
        (Annotated[int, pydantic.Field(gt=0)], 1),
        (Any, object()),
    ],
    ids=repr,
)
def test_a_value_of_the_type_fits(annotation: Any, value: Any) -> None:
    spec_of(annotation).check((value,))


@pytest.mark.parametrize(
    ("annotation", "value", "told"),
    [
        (int, "3", "arg0: Input should be a valid integer (str was given)"),
        (int, 3.0, "arg0: Input should be a valid integer (float was given)"),
        (int, True, "(bool was given)"),
        (float, "3", "(str was given)"),
        (float, True, "(bool was given)"),
        # Sent as text.
        (float, Decimal(1), "(Decimal was given)"),
        (str, b"x", "(bytes was given)"),
        (str, Role.ADMIN, "(Role was given)"),
        (bool, 1, "(int was given)"),
        (datetime.datetime, "2026-01-01T12:00:00Z", "(str was given)"),
        (datetime.date, NOON, "(datetime was given)"),
        (Role, "admin", "(str was given)"),
        (Literal["a", "b"], "c", "arg0: Input should be 'a' or 'b' (str was given)"),
        (int | str, 1.5, "arg0.int: Input should be a valid integer (float was given); arg0.str: "),
        (int | None, "a", "(str was given)"),
        (list[int], [1, "2"], "arg0.1: Input should be a valid integer (str was given)"),
        (list[int], (1,), "(tuple was given)"),
        (tuple[int, str], [1, "a"], "(list was given)"),
        (collections.abc.Set[str], ["a"], "arg0: Input should be an instance of set (list was given)"),
        (dict[str, int], {"a": "b"}, "arg0.a: Input should be a valid integer (str was given)"),
        # Of a dataclass, which has not looked at its fields.
        (Place, Place("east"), "arg0.x: Input should be an instance of float (str was given)"),  # type: ignore[arg-type]
        (Move, Move("ann", Place(1), [2]), "arg0.seen_by.0: "),  # type: ignore[list-item]
        (Move, Move("ann", {"x": 1}), "arg0.to: Input should be an instance of Place (dict was given)"),  # type: ignore[arg-type]
        (list[Place], [Place(1), Place(None)], "arg0.1.x: "),  # type: ignore[arg-type]
        (Tree, Tree("a", [Tree("b", [Tree(3)])]), "arg0.inside.0.inside.0.name: "),  # type: ignore[arg-type]
        # A dict that lacks what has a default, or whose names are not those on the wire, is not what a client
        # was told.
        (Place, {"x": 1.0, "y": 2.0}, "arg0: Input should be an instance of Place (dict was given)"),
        (Article, {"title": "t"}, "arg0: Input should be an instance of Article (dict was given)"),
        (Checked, {"size": 1}, "arg0: Input should be an instance of Checked (dict was given)"),
        (Premium, Article(title="t"), "arg0: Input should be an instance of Premium (Article was given)"),
        (Said, {}, "arg0.text: Field required (dict was given)"),
        (Said, {"text": "a", "type": "soft"}, "arg0.type: Input should be 'loud' or 'quiet'"),
        (Said, Place(1), "(Place was given)"),
        (Point, Point("a", 2), "arg0.x: Input should be a valid integer (str was given)"),  # type: ignore[arg-type]
        (Place | Article, Place("east"), "arg0.x: "),  # type: ignore[arg-type]
        (Pet, Cat("cat", "nine"), "lives: Input should be a valid integer (str was given)"),  # type: ignore[arg-type]
        (Pet, Dog("cow", "rex"), "Input tag 'cow' found using 'kind'"),  # type: ignore[arg-type]
        (Annotated[int, pydantic.Field(gt=0)], 0, "arg0: Input should be greater than 0 (int was given)"),
    ],
    ids=repr,
)
def test_what_is_not_of_the_type_is_refused_and_nothing_is_converted(
    annotation: Any, value: Any, told: str
) -> None:
    with pytest.raises(InvalidEvent) as caught:
        spec_of(annotation).check((value,))
    assert caught.value.code == "invalid_event"
    assert told in caught.value.message
    assert caught.value.message.startswith("'said' of Room takes (arg0: ")
    assert "is-instance" not in caught.value.message


def test_no_instance_is_made_for_looking_at_the_fields_of_one() -> None:
    value = Numbered(10)
    before = Numbered.made
    spec_of(Numbered).check((value,))
    assert Numbered.made == before
    value.number = "none"  # type: ignore[assignment]
    with pytest.raises(InvalidEvent, match=r"arg0\.number"):
        spec_of(Numbered).check((value,))


def test_a_value_that_contains_itself_is_refused() -> None:
    value = Tree("a")
    value.inside.append(value)
    with pytest.raises(InvalidEvent, match="cyclic"):
        spec_of(Tree).check((value,))


def test_a_model_is_taken_as_it_is_unless_it_says_otherwise() -> None:
    class Careful(pydantic.BaseModel, revalidate_instances="always"):
        size: int

    changed = Article(title="t")
    changed.title = 5  # type: ignore[assignment]
    spec_of(Article).check((changed,))
    with pytest.raises(InvalidEvent, match=r"arg0\.size"):
        spec_of(Careful).check((Careful.model_construct(size="big"),))


@pytest.mark.parametrize(
    ("annotations", "data", "told"),
    [
        ([], (1,), "'said' of Room takes no arguments, and 1 was given"),
        ([int], (), "'said' of Room takes (arg0: int), and none were given"),
        ([int, Place | None], (1,), "'said' of Room takes (arg0: int, arg1: Place | None), and 1 was given"),
        ([int, Any], (1, 2, 3), "'said' of Room takes (arg0: int, arg1: Any), and 3 were given"),
        ([int, Literal["a"]], (1, 2), "'said' of Room takes (arg0: int, arg1: Literal['a']); arg1: Input"),
    ],
)
def test_the_error_names_the_arguments(annotations: list[Any], data: tuple[Any, ...], told: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        spec_of(*annotations).check(data)
    assert caught.value.message.startswith(told)


def test_what_was_given_is_told_with_the_traceback_and_not_to_clients() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise LookupError

    with pytest.raises(InvalidEvent) as caught:
        spec_of(int, int).check(("the secret", Odd()))
    assert "the secret" not in str(caught.value.to_wire())
    [note] = caught.value.__notes__
    assert note == "arg0 was 'the secret'\narg1 was a Odd whose repr raises LookupError"


# --- how events are declared --------------------------------------------------------------------------------


def declared(events: Any, **attributes: Any) -> DeclaredEvents:
    cls = type("Room", (Actor,), {"__module__": __name__, "Events": events, **attributes})
    found = define(cls).events
    assert found is not None
    return found


def parameters_of(events: DeclaredEvents) -> dict[str, list[tuple[str, Any]]]:
    return {name: [(each.name, each.annotation) for each in spec.parameters] for name, spec in events.items()}


def test_annotations_declare_one_argument_and_methods_any_number() -> None:
    class Events:
        """What happens in a room."""

        newArticle: Article
        started: None

        def moved(self, x: int, /, y: int, anything) -> None: ...  # type: ignore[no-untyped-def]

        def ended(self) -> None: ...

    assert parameters_of(declared(Events)) == {
        "newArticle": [("data", Article)],
        "started": [],
        "moved": [("x", int), ("y", int), ("anything", Any)],
        "ended": [],
    }


def test_types_that_are_local_or_inside_the_actor_are_found() -> None:
    @dataclass
    class Local:
        x: int

    class Room(Actor):
        @dataclass
        class Inner:
            y: int

        class Events:
            one: list[Local]

            def two(self, inner: Inner, local: Local) -> None: ...  # noqa: F821  # found in the actor

    events = define(Room).events
    assert events is not None
    assert parameters_of(events) == {
        "one": [("data", list[Local])],
        "two": [("inner", Room.Inner), ("local", Local)],
    }


def test_annotations_that_are_no_text_are_the_same() -> None:
    events = declared(type("Events", (), {"__annotations__": {"a": int, "b": None, "c": "Place | None"}}))
    assert parameters_of(events)["a"] == [("data", int)]
    assert parameters_of(events)["b"] == []
    with pytest.raises(InvalidEvent):
        events["a"].check(("1",))


def test_events_are_inherited_with_the_actor_and_by_the_class_events_itself() -> None:
    class Common:
        note: str
        size: int

    class Room(Actor):
        class Events(Common):
            size: float  # type: ignore[assignment]

    class Loud:
        class Events:
            shouted: str

    class Big(Loud, Room):
        class Events:
            def note(self, text: str, by: str) -> None: ...

    class Plain(Room):
        pass

    found = [define(cls).events for cls in (Room, Big, Plain)]
    assert [parameters_of(events) for events in found if events is not None] == [
        {"note": [("data", str)], "size": [("data", float)]},
        {"note": [("text", str), ("by", str)], "size": [("data", float)], "shouted": [("data", str)]},
        {"note": [("data", str)], "size": [("data", float)]},
    ]


def test_a_protocol_may_declare_them() -> None:
    class Events(Protocol):
        size: int

        def said(self, text: str) -> None: ...

    assert parameters_of(declared(Events)) == {"size": [("data", int)], "said": [("text", str)]}


def test_none_declared_is_something_else_than_an_empty_declaration() -> None:
    class Free(Actor):
        pass

    class Silent(Actor):
        class Events:
            pass

    assert define(Free).events is None
    silent = define(Silent).events
    assert silent is not None and list(silent) == []


async def _later(self: Any) -> None: ...


def _given() -> Any:
    def after(self: Any, x: int = 3) -> None: ...

    def rest(self: Any, *x: int) -> None: ...

    def keyword(self: Any, *, x: int) -> None: ...

    def without_self(x: int) -> None: ...

    def answers(self: Any) -> int: ...

    def generator(self: Any) -> Any:
        yield

    return locals()


FUNCTIONS = _given()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"__annotations__": {"said": int}, "said": 3}, "an event has no value"),
        (
            {"said": 3},
            r"is an annotation \(said: Type\) or a plain method \(def said\(self, …\)\), not a int",
        ),
        ({"said": staticmethod(FUNCTIONS["answers"])}, "not a staticmethod"),
        ({"said": property(FUNCTIONS["answers"])}, "not a property"),
        ({"Said": Said}, "or a plain method"),
        ({"said": _later}, "neither async nor yields"),
        ({"said": FUNCTIONS["generator"]}, "neither async nor yields"),
        ({"said": FUNCTIONS["after"]}, "x: the arguments of an event are positional and have no defaults"),
        ({"said": FUNCTIONS["rest"]}, "x: the arguments of an event are positional"),
        ({"said": FUNCTIONS["keyword"]}, "x: the arguments of an event are positional"),
        ({"said": FUNCTIONS["without_self"]}, "takes self first"),
        ({"said": FUNCTIONS["answers"]}, "an event returns None"),
        ({"__annotations__": {"said": ClassVar[int]}}, r"typing\.ClassVar\[int\] is not the type"),
        ({"__annotations__": {"said": "ClassVar[int]"}}, "is not the type of an argument"),
        ({"__annotations__": {"said": Final}}, "is not the type of an argument"),
        ({"__annotations__": {"said": threading.Lock}}, "said: data has the type .* cannot be validated"),
        ({"__annotations__": {"said": "Missing"}}, r"of Room\.Events\.said cannot be resolved: .*Missing"),
        ({"__annotations__": {"_said": int}}, "does not start with an underscore"),
    ],
    ids=str,
)
def test_anything_else_is_an_error_that_says_what_is_wrong(body: dict[str, Any], told: str) -> None:
    with pytest.raises(DefinitionError, match=told) as caught:
        declared(type("Events", (), {"__module__": __name__, **body}))
    assert "Room.Events." in caught.value.message


def test_events_is_a_class() -> None:
    with pytest.raises(DefinitionError, match=r"Room\.Events is a class that declares events, not 5"):
        declared(5)


@pytest.mark.parametrize("as_method", [False, True])
@pytest.mark.parametrize(("name", "error"), [("gap", ReservedName), ("x" * 129, InvalidEventName)])
def test_names_that_no_event_may_have(name: str, error: type[RingcastError], as_method: bool) -> None:
    def method(self: Any) -> None: ...

    body: dict[str, Any] = {name: method} if as_method else {"__annotations__": {name: int}}
    with pytest.raises(error, match=rf"Room\.Events\.{name}: "):
        declared(type("Events", (), {"__module__": __name__, **body}))


# --- in a running actor -------------------------------------------------------------------------------------


class Game(Actor[None, dict[str, Any]]):
    class Events:
        started: None
        whispered: str

        def moved(self, player: str, to: Place) -> None: ...

    @action
    def start(self, c: Context[None, Any], *data: Any) -> None:
        c.broadcast("started", *data)

    @action
    def whisper(self, c: Context[None, Any], text: Any) -> None:
        c.broadcast("whispered", "first")
        c.broadcast("whispered", text)

    @action
    def move(self, c: Context[None, Any], player: str, x: float) -> None:
        c.broadcast("moved", player, Place(x))

    @action
    def wander(self, c: Context[None, Any]) -> None:
        c.broadcast("mvoed", "ann", Place(1))


class DurableGame(Game):
    durable = True


class FastGame(Game, validate_events=False):
    pass


class SlowGame(FastGame, validate_events=True):
    pass


def actor_of(router: Router) -> Any:
    (instance,) = router._directory
    return instance.actor


def in_thread(work: Any) -> None:
    """Run it in another thread; raise what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def senders(actor: Any) -> dict[str, Any]:
    """Return every way to send."""
    conn: Connection[Any]
    (conn,) = actor.conns
    return {
        "broadcast": actor.broadcast,
        "broadcast where": lambda *event: actor.broadcast(*event, where=where(level=1)),
        "broadcast_threadsafe": lambda *event: in_thread(partial(actor.broadcast_threadsafe, *event)),
        "conn.send": conn.send,
        "conns.send": actor.conns.send,
        "selection.send": actor.conns.where(level=1).send,
        "nobody.send": actor.conns.exclude(conn).send,
    }


@pytest.mark.parametrize("cls", [Game, DurableGame])
async def test_every_way_to_send_checks_and_then_sends_nothing(cls: type[Any]) -> None:
    async with running(cls) as router, LinkedSocket(router, Encoding.MSGPACK) as client:
        await client.connect(cls.__name__, "a", params={"level": 1}, events=("started", "moved"))
        actor = actor_of(router)
        for kind, send in senders(actor).items():
            with pytest.raises(UnknownEvent, match=r"Game has no event 'movd' \(did you mean 'moved'\?\)"):
                send("movd", "ann", Place(1))
            with pytest.raises(InvalidEvent, match=r"'moved' of \w*Game takes \(player: str, to: Place\)"):
                send("moved", "ann")
            with pytest.raises(InvalidEvent, match=r"to\.x: .* \(str was given\)"):
                send("moved", "ann", Place("1"))  # type: ignore[arg-type]
            with pytest.raises(InvalidEvent):
                send("started", None)
            send("moved", kind, Place(1))
        arrived = [await client.receive(Event) for _ in range(6)]
        # From another thread, a durable actor's is handed over to the loop.
        sent = sorted(kind for kind in senders(actor) if kind != "nobody.send")
        assert sorted(event.args[0] for event in arrived) == sent
        assert [event.offset for event in arrived] == [1, 2, 3, 4, 5, 6]
        assert arrived[0].args == ["broadcast", {"x": 1, "y": 0.0}], "it is sent as it is"


async def test_an_event_to_a_connection_that_has_ended_is_checked_too() -> None:
    async with running(Game) as router:
        async with LinkedSocket(router) as client:
            await client.connect("game", "a", params={})
            (conn,) = actor_of(router).conns
            client.lose(1000)
        conn.send("whispered", "too late")
        with pytest.raises(InvalidEvent):
            conn.send("whispered", 5)


@pytest.mark.parametrize("name", ["", "x" * 129, 5, None, ["moved"]])
async def test_what_is_no_name_is_said_to_be_none(name: Any) -> None:
    async with running(Game) as router:
        await call(router, "game", "a", "start")
        for send in (actor_of(router).broadcast, actor_of(router).conns.send):
            with pytest.raises(InvalidEventName):
                send(name)
            with pytest.raises(ReservedName):
                send("gap")


async def test_a_name_may_be_a_member_of_an_enum_of_str() -> None:
    class Names(StrEnum):
        STARTED = "started"
        LOUD = "loud"

    async with running(Game) as router, LinkedSocket(router) as client:
        await client.connect("game", "a", params={}, events=("started",))
        actor_of(router).broadcast(Names.STARTED)
        assert (await client.receive(Event)).name == "started"
        with pytest.raises(UnknownEvent):
            actor_of(router).broadcast(Names.LOUD)


@pytest.mark.parametrize("cls", [Game, DurableGame])
async def test_the_caller_and_the_log_are_told_what_is_wrong(
    cls: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with running(cls) as router, LinkedSocket(router) as client:
        await client.connect(cls.__name__, "a", params={}, events=("whispered",))
        with caplog.at_level(logging.ERROR):
            client.send(Call(1, "whisper", [["a secret"]]))
            assert (await client.receive(Event)).args == ["first"], "what was sent before stays sent"
            error = (await client.receive(ErrorMessage)).error
        assert error == {
            "code": "invalid_event",
            "message": f"'whispered' of {cls.__name__} takes (data: str); "
            "data: Input should be a valid string (list was given)",
        }
        assert "data was ['a secret']" in caplog.text
        client.send(Call(2, "wander", []))
        assert (await client.receive(ErrorMessage)).error["code"] == "unknown_event"
        client.send(Call(3, "whisper", ["psst"]))
        assert [(await client.receive(Event)).args for _ in range(2)] == [["first"], ["psst"]]
        assert await client.receive(Reply) == (3, None)


async def test_a_subscription_to_an_unknown_name_is_refused_and_harms_no_other() -> None:
    async with running(Game) as router, LinkedSocket(router) as client:
        connected = await client.connect("game", "a", params={}, events=("mvoed", "moved", "gap"))
        assert {name: error["code"] for name, error in connected.refused_subscriptions.items()} == {
            "mvoed": "unknown_event",
            "gap": "reserved_name",
        }
        assert "did you mean 'moved'" in connected.refused_subscriptions["mvoed"]["message"]
        client.send(Subscribe(1, "started"), Subscribe(2, "stopped"))
        assert await client.receive(Reply) == (1, None)
        assert (await client.receive(ErrorMessage)).error == {
            "code": "unknown_event",
            "message": "Game has no event 'stopped'",
        }
        client.send(Call(3, "start", []), Call(4, "move", ["ann", 1]))
        events = [await client.receive(Event), await client.receive(Reply), await client.receive(Event)]
        assert [event.name for event in events if isinstance(event, Event)] == ["started", "moved"]


async def test_can_subscribe_is_not_asked_about_a_name_that_does_not_exist() -> None:
    asked: list[str] = []

    class Asking(Game):
        def can_subscribe(self, c: Context[None, Any], event: str) -> bool:
            asked.append(event)
            return event != "whispered"

    async with running(Asking) as router, LinkedSocket(router) as client:
        connected = await client.connect("asking", "a", params={}, events=("moved", "whispered", "nothing"))
        codes = {name: error["code"] for name, error in connected.refused_subscriptions.items()}
    assert codes == {"whispered": "subscription_refused", "nothing": "unknown_event"}
    assert asked == ["moved", "whispered"]


# --- the switch ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "server", "validates"),
    [
        (Game, True, True),
        (Game, False, False),
        (FastGame, True, False),
        (FastGame, False, False),
        (SlowGame, True, True),
        (SlowGame, False, True),
    ],
)
async def test_the_class_goes_before_the_server(cls: type[Any], server: bool, validates: bool) -> None:
    async with running(cls, validate_events=server) as router, LinkedSocket(router) as client:
        await client.connect(cls.__name__, "a", params={}, events=("moved",))
        actor = actor_of(router)
        if validates:
            with pytest.raises(InvalidEvent):
                actor.broadcast("moved", 1, 2, 3)
        else:
            actor.broadcast("moved", 1, 2, 3)
            assert (await client.receive(Event)).args == [1, 2, 3]
        for send in (actor.broadcast, actor.conns.send):
            with pytest.raises(UnknownEvent):
                send("movd", 1)


async def test_an_actor_that_declares_nothing_sends_anything() -> None:
    class Free(Actor):
        @action
        def touch(self, c: Context) -> None: ...

    async with running(Free) as router, LinkedSocket(router) as client:
        connected = await client.connect("free", "a", events=("anything",))
        assert connected.refused_subscriptions == {}
        actor_of(router).broadcast("anything", {"x": [1]})
        assert (await client.receive(Event)).args == [{"x": [1]}]


def test_it_is_true_or_false() -> None:
    with pytest.raises(DefinitionError, match="validate_events is True or False, not 'no'"):

        class Wrong(Actor, validate_events="no"):  # type: ignore[arg-type]
            pass


class Recorded:
    """A stream that nobody listens to."""

    encodings = 0

    def __init__(self) -> None:
        self.taken: list[str] = []

    def publish(self, name: str, *_: Any, **__: Any) -> int:
        self.taken.append(name)
        return len(self.taken)


def no_filters() -> NoReturn:
    raise AssertionError("nothing is filtered here")


def calls_of_python_in(work: Any) -> list[str]:
    """Return which functions of Python are called meanwhile."""
    called: list[str] = []

    def profile(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            called.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return called


def test_without_validation_an_event_costs_no_call_more() -> None:
    stream: Any = Recorded()
    emit = [
        Emitter(stream, "game", no_filters, checks=checks).emit
        for checks in (None, define(Game).event_checks(False), define(Game).event_checks(True))
    ]
    undeclared, names_only, validated = (calls_of_python_in(partial(each, "started", ())) for each in emit)
    assert undeclared == names_only == ["emit", "publish"]
    assert validated == ["emit", "check", "publish"]
    assert stream.taken == ["started"] * 3
