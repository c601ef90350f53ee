"""Actor classes read, and what is wrong with some of them."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from ringcast import Actor, Context, action
from ringcast.actor import StreamOptions
from ringcast.errors import DefinitionError, ReservedName
from ringcast.schema.definition import define


@dataclass
class News:
    articles: list[str] = field(default_factory=list)


@dataclass
class Reader:
    user_id: str


def test_names_and_types_are_read() -> None:
    class NewsRoom(Actor[News, Reader]):
        @action
        def send_message(self, c: Context[News, Reader], text: str) -> None: ...

    definition = define(NewsRoom)
    assert definition.name == "NewsRoom"
    assert definition.wire_names == ("NewsRoom", "newsRoom", "news_room")
    assert definition.state.annotation is News
    assert definition.conn_state.annotation is Reader
    assert definition.actions.keys() == {"send_message", "sendMessage"}
    assert definition.actions["sendMessage"] is definition.actions["send_message"]


def test_both_type_parameters_are_optional() -> None:
    class Plain(Actor):
        pass

    class Saved(Actor[News]):
        pass

    class Attached(Actor[None, Reader]):
        pass

    found = [
        (define(cls).state.annotation, define(cls).conn_state.annotation) for cls in (Plain, Saved, Attached)
    ]
    assert found == [(None, None), (News, None), (None, Reader)]


def test_type_parameters_are_followed_through_classes_between() -> None:
    StateT = TypeVar("StateT")
    OtherT = TypeVar("OtherT")

    class Base(Actor[StateT, Reader], Generic[OtherT, StateT]):
        pass

    class Middle(Base[int, News]):
        pass

    class Leaf(Middle):
        pass

    assert define(Leaf).state.annotation is News
    assert define(Leaf).conn_state.annotation is Reader


def test_type_parameters_may_be_named_in_advance() -> None:
    class Later(Actor["News", "Reader"]):
        pass

    assert define(Later).state.annotation is News
    assert define(Later).conn_state.annotation is Reader


def test_types_of_the_scope_around_the_class_can_be_named() -> None:
    class Local(BaseModel):
        value: int = 0

    class Room(Actor["Local"]):
        class Inner(BaseModel):
            text: str

        @action
        def act(self, c: Context[Local], local: Local, inner: Inner) -> None: ...

        def create_conn_state(self, c: Context[Local], params: Local) -> None: ...

    definition = define(Room)
    assert definition.state.annotation is Local
    bound = definition.actions["act"].arguments.bind([{"value": 1}, {"text": "x"}])
    assert bound == [Local(value=1), Room.Inner(text="x")]
    assert definition.checked("create_conn_state", "Room params", {"value": "3"}) == Local(value=3)


@pytest.mark.parametrize("state", [News, dict[str, int], list[int], TypedDict("T", {}), dict, set[str], int])
def test_many_types_can_be_a_state(state: Any) -> None:
    class Room(Actor[state]):
        pass

    kind = define(Room).state
    made = kind.construct()
    assert kind.load(kind.dump(made)) == made


def test_a_state_that_needs_arguments_needs_create_state() -> None:
    class Broken(Actor[Reader]):
        pass

    class Fine(Actor[Reader]):
        def create_state(self, c: Context[Reader], input: Any) -> Reader:
            return Reader("ann")

    with pytest.raises(DefinitionError, match=r"Broken: a state cannot be made without arguments.*user_id"):
        define(Broken)
    assert define(Fine).hooks.create_state is not None


def test_a_state_that_cannot_be_written_is_refused() -> None:
    class Opaque:
        pass

    class Broken(Actor[Opaque]):
        pass

    with pytest.raises(DefinitionError, match="Broken state"):
        define(Broken)


def test_what_is_no_actor_class_is_refused() -> None:
    for wrong in (Actor, News, "NewsRoom", News()):
        with pytest.raises(DefinitionError, match="no subclass of Actor"):
            define(wrong)  # type: ignore[arg-type]


def test_two_actions_that_collide_on_the_wire_are_refused() -> None:
    class Broken(Actor):
        @action
        def send_it(self, c: Context) -> None: ...

        @action
        def sendIt(self, c: Context) -> None: ...  # noqa: N802

    with pytest.raises(DefinitionError, match=r"send_it.*'sendIt'"):
        define(Broken)


def test_an_action_may_not_take_the_name_of_a_method_or_hook() -> None:
    class Shadows(Actor):
        @action
        def broadcast(self, c: Context) -> None: ...  # type: ignore[override]

    class Hooked(Actor):
        @action
        def on_connect(self, c: Context) -> None: ...

    for cls in (Shadows, Hooked):
        with pytest.raises(DefinitionError, match="name"):
            define(cls)


def test_an_action_needs_the_context() -> None:
    class Broken(Actor):
        @action
        def act(self) -> None: ...

    with pytest.raises(DefinitionError, match="takes the context after self"):
        define(Broken)


def test_a_private_name_is_no_action() -> None:
    class Broken(Actor):
        @action
        def _act(self, c: Context) -> None: ...

    with pytest.raises(DefinitionError, match="underscore"):
        define(Broken)


def test_a_generator_is_no_action() -> None:
    class Broken(Actor):
        @action
        async def act(self, c: Context):  # type: ignore[no-untyped-def]
            yield 1

    with pytest.raises(DefinitionError, match="generator"):
        define(Broken)


@pytest.mark.parametrize("wrapper", [staticmethod, classmethod, property])
def test_the_decorator_goes_on_plain_methods_only(wrapper: Any) -> None:
    def act(self: Any, c: Any) -> None: ...

    with pytest.raises(DefinitionError, match="plain method"):
        action(wrapper(act))


def test_a_timeout_is_above_zero() -> None:
    with pytest.raises(DefinitionError, match="timeout_s"):
        action(timeout_s=0)


@pytest.mark.parametrize("timeout_s", [float("nan"), float("inf"), 1e300, -1])
def test_a_timeout_is_finite(timeout_s: float) -> None:
    with pytest.raises(DefinitionError, match="above 0 and finite"):
        action(timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("name", "hook"),
    [
        ("on_conect", "on_connect"),
        ("on_connected", "on_connect"),
        ("onConnect", "on_connect"),
        ("on_strat", "on_start"),
        ("on_state_changed", "on_state_change"),
        ("can_suscribe", "can_subscribe"),
        ("creat_state", "create_state"),
        ("snapshots", "snapshot"),
    ],
)
def test_a_method_that_is_nearly_a_hook_is_refused(name: str, hook: str) -> None:
    cls = type("Room", (Actor,), {name: lambda self, c: None})
    with pytest.raises(DefinitionError, match=rf"Room.{name} is no hook; did you mean {hook}\?"):
        define(cls)


@pytest.mark.parametrize(
    "name", ["on_timer", "on_message", "on_tick", "can_move", "can_publish", "create_player", "start", "stop"]
)
def test_a_method_of_ones_own_may_begin_like_a_hook(name: str) -> None:
    define(type("Room", (Actor,), {name: lambda self: None, f"_{name}": lambda self: None}))


def test_an_action_and_a_plain_attribute_may_be_called_nearly_like_a_hook() -> None:
    @action
    def on_conect(self: Any, c: Any) -> None:
        pass

    define(type("Room", (Actor,), {"on_conect": on_conect, "snapshots": 5}))


@pytest.mark.parametrize(("name", "value"), [("state", 3), ("broadcast", 5), ("conns", []), ("log", print)])
def test_what_every_actor_has_may_not_be_hidden(name: str, value: Any) -> None:
    with pytest.raises(DefinitionError, match=f"Room.{name} hides what every actor has"):
        define(type("Room", (Actor,), {name: value}))


def test_a_method_of_every_actor_may_be_overridden() -> None:
    class Loud(Actor):
        def broadcast(self, name: str, *data: Any, exclude: Any = None) -> None:
            super().broadcast(name.upper(), *data, exclude=exclude)

    define(Loud)


def test_an_override_of_an_action_stays_one() -> None:
    class Base(Actor):
        @action(timeout_s=3)
        def act(self, c: Context) -> int:
            return 1

    class Leaf(Base):
        def act(self, c: Context) -> int:
            return 2

    spec = define(Leaf).actions["act"]
    assert spec.function is Leaf.act
    assert spec.timeout_s == 3


def test_decorators_that_keep_the_signature_may_come_between() -> None:
    def logged(function: Callable[..., Awaitable[int]]) -> Callable[..., Awaitable[int]]:
        @functools.wraps(function)
        async def wrapper(*args: Any) -> int:
            return await function(*args)

        return wrapper

    class Room(Actor):
        @action
        @logged
        async def act(self, c: Context, value: int) -> int:
            return value

    assert define(Room).actions["act"].arguments.bind(["7"]) == [7]


def test_hooks_may_leave_out_trailing_parameters() -> None:
    class Room(Actor):
        def on_start(self) -> None: ...

        def on_before_connect(self, c: Context) -> None: ...

        async def create_conn_state(self, c: Context, params: Any) -> None: ...

    hooks = define(Room).hooks
    assert hooks.on_start is not None and hooks.on_before_connect is not None
    assert hooks.create_conn_state is not None
    taken = (hooks.on_start.takes, hooks.on_before_connect.takes, hooks.create_conn_state.takes)
    assert taken == (0, 1, 2)
    assert hooks.create_conn_state.is_async
    assert hooks.on_stop is None


def test_a_hook_is_a_plain_method() -> None:
    class Broken(Actor):
        on_start = 5

    with pytest.raises(DefinitionError, match="on_start is a hook"):
        define(Broken)


def test_declared_events_may_not_take_reserved_names() -> None:
    class Fine(Actor):
        class Events:
            newArticle: News

    assert list(define(Fine).events or ()) == ["newArticle"]
    # At the class statement, where the types of the events may not be there yet.
    with pytest.raises(ReservedName, match=r"^Broken\.Events\.gap"):

        class Broken(Actor):
            class Events:
                newArticle: Later  # noqa: F821
                gap: Later  # noqa: F821

    with pytest.raises(ReservedName, match=r"^ByMethod\.Events\.error"):

        class ByMethod(Fine):
            class Events:
                def error(self, text: str) -> None: ...


def test_events_that_are_put_into_a_class_later_may_not_take_reserved_names_either() -> None:
    class Late(Actor):
        pass

    class Events:
        gap: News

    Late.Events = Events  # type: ignore[attr-defined]
    with pytest.raises(ReservedName, match=r"^Late\.Events\.gap"):
        define(Late)


def test_the_class_statement_sets_the_ring_and_subclasses_inherit_it() -> None:
    class Ticker(Actor, max_ring_events=10, slow_reader="skip"):
        pass

    class Fast(Ticker, max_ring_bytes=4096):
        pass

    assert define(Ticker).stream == StreamOptions(10, StreamOptions().max_bytes, "skip")
    assert define(Fast).stream == StreamOptions(10, 4096, "skip")


def test_a_ring_that_holds_nothing_is_refused() -> None:
    with pytest.raises(DefinitionError, match="at least one event"):

        class Broken(Actor, max_ring_events=0):
            pass

    with pytest.raises(DefinitionError, match="slow_reader"):

        class Wrong(Actor, slow_reader="wait"):  # type: ignore[call-arg]
            pass


def test_a_hook_may_not_need_more_than_it_is_offered() -> None:
    class Broken(Actor):
        def on_connect(self, c: Context, params: Any) -> None: ...

    class Fine(Actor):
        def on_connect(self, c: Context, more: int = 5, *rest: Any, **named: Any) -> None: ...

    with pytest.raises(DefinitionError, match="on_connect takes at most 1 after self"):
        define(Broken)
    assert define(Fine).hooks.on_connect is not None


def test_an_actor_is_made_without_arguments() -> None:
    class Broken(Actor):
        def __init__(self, size: int) -> None: ...

    with pytest.raises(DefinitionError, match="__init__ takes no arguments"):
        define(Broken)


def test_a_type_parameter_that_cannot_be_resolved_is_refused() -> None:
    class Broken(Actor["Nowhere"]):  # type: ignore[name-defined]
        pass

    with pytest.raises(DefinitionError, match="'Nowhere' cannot be resolved"):
        define(Broken)


def test_a_state_may_be_told_by_its_hook_alone() -> None:
    class Told(Actor):
        def create_state(self, c: Context) -> dict[str, int]:
            return {"n": 1}

    assert define(Told).state.load(define(Told).state.dump({"n": 2})) == {"n": 2}


def test_a_state_that_nobody_tells_is_refused() -> None:
    class Untold(Actor):
        def create_state(self, c: Context):  # type: ignore[no-untyped-def]
            return {"n": 1}

    with pytest.raises(DefinitionError, match="create_state has to say what it returns"):
        define(Untold)
