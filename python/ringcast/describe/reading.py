"""Reading what a registry offers its clients from its definitions: annotations, names, docstrings.

An action that returns what the hook `on_before_action_response` makes of its result is taken by its own
annotation: the hook is expected to keep the type.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from ..action import ActionSpec
from ..errors import DefinitionError, RingcastError
from ..registry import Registry
from ..schema.arguments import resolve_hints
from ..schema.declared import EventSpec
from ..schema.definition import ActorDefinition, names_in_scope
from ..wire.naming import camel_case, snake_case
from .annotations import described
from .interface import ActionInterface, ActorInterface, Argument, EventInterface, Interface, Schema
from .schemas import Place, schemas_of

__all__ = ["interface_of"]

_NOT_CALLED = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
"""Arguments arrive by position: these have a default that always holds."""


def interface_of(registry: Registry) -> Interface:
    """Return what the registry's actors offer, in the order in which it has them."""
    places = _AllPlaces()
    actors = [_Reader(definition, places).actor() for definition in registry.definitions]
    places.resolve()
    return Interface(tuple(make() for make in actors), places.types, tuple(places.remarks))


class _AllPlaces:
    """The places of a registry. Their schemas are made in one go, when it is known which names are free."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._schemas: list[Schema] = []
        self.types: dict[str, Schema] = {}
        self.remarks: list[str] = []

    def add(self, place: Place) -> Callable[[], Schema]:
        """Return what gives its schema once all are known."""
        index = len(self._places)
        self._places.append(place)
        return lambda: self._schemas[index]

    def resolve(self) -> None:
        self._schemas, self.types, remarks = schemas_of(self._places)
        self.remarks += remarks

    def remark(self, text: str) -> None:
        """Note, once, what the author of the registry should know."""
        if text not in self.remarks:
            self.remarks.append(text)


@dataclass(slots=True, frozen=True)
class _Reader:
    """Reads one actor. What its methods return is called when all schemas are known."""

    definition: ActorDefinition
    places: _AllPlaces

    @property
    def name(self) -> str:
        return camel_case(snake_case(self.definition.name))

    def actor(self) -> Callable[[], ActorInterface]:
        definition = self.definition
        specs = {spec.name: spec for spec in definition.actions.values()}
        actions = [self._action(spec) for spec in specs.values()]
        events = self._events()
        call_params = self._sent("on_before_connect", "params")
        params = [*call_params, *self._params_of_state()]
        input = self._sent("create_state", "input")
        snapshot = (
            None if definition.hooks.snapshot is None else self._returned(definition.hooks.snapshot.function)
        )
        return lambda: ActorInterface(
            name=self.name,
            description=described(definition.cls),
            params=_all_of([make() for make in params]),
            params_required=bool(params)
            and not self._takes_no_params("on_before_connect", "create_conn_state"),
            call_params=_all_of([make() for make in call_params]),
            call_params_required=bool(call_params) and not self._takes_no_params("on_before_connect"),
            input=_all_of([make() for make in input]),
            actions=tuple(make() for make in actions),
            events=None if events is None else tuple(make() for make in events),
            snapshot=None if snapshot is None else snapshot(),
            msgpack_only=definition.stream.msgpack_only,
        )

    def _hints(self, function: Callable[..., Any], wanted: Sequence[str]) -> dict[str, Any]:
        return resolve_hints(function, wanted, names_in_scope(self.definition.cls))

    def _argument(self, where: str, parameter: inspect.Parameter, hint: Any) -> Callable[[], Argument]:
        schema = self.places.add(Place(f"{where}: {parameter.name}", hint, "client"))
        repeated = parameter.kind is parameter.VAR_POSITIONAL
        required = parameter.default is parameter.empty and not repeated
        none = parameter.default is None
        return lambda: Argument(parameter.name, schema(), required, repeated, none)

    def _action(self, spec: ActionSpec) -> Callable[[], ActionInterface]:
        where = f"{self.name}.{spec.name}"
        parameters = [
            parameter
            for parameter in list(inspect.signature(spec.function).parameters.values())[2:]
            if parameter.kind not in _NOT_CALLED
        ]
        hints = self._hints(spec.function, [parameter.name for parameter in parameters])
        arguments = [self._argument(where, each, hints.get(each.name, Any)) for each in parameters]
        result = self._returned(spec.function)
        nothing = self._result_type(spec.function) is NoneType
        return lambda: ActionInterface(
            name=spec.wire_names[-1],
            description=described(spec.function),
            arguments=tuple(make() for make in arguments),
            result=result(),
            returns_nothing=nothing,
        )

    def _returned(self, function: Callable[..., Any]) -> Callable[[], Schema]:
        where = f"{self.name}.{function.__name__}: result"
        return self.places.add(Place(where, self._result_type(function), "server"))

    def _result_type(self, function: Callable[..., Any]) -> Any:
        try:
            return self._hints(function, ["return"]).get("return", Any)
        except DefinitionError as error:
            # It does not keep the action from running: nothing else needs this type.
            self.places.remark(error.message)
            return Any

    def _sent(self, hook: str, what: str) -> list[Callable[[], Schema]]:
        found = getattr(self.definition.hooks, hook)
        if found is None or found.takes < 2:
            return []
        parameter = list(inspect.signature(found.function).parameters)[2]
        hint = self._hints(found.function, [parameter]).get(parameter, Any)
        return [self.places.add(Place(f"{self.name}.{hook}: {what}", hint, "client"))]

    def _params_of_state(self) -> list[Callable[[], Schema]]:
        found = self._sent("create_conn_state", "params")
        state = self.definition.conn_state.annotation
        if self.definition.hooks.create_conn_state is None and state is not None:
            # A connection's state is then made of them.
            found.append(self.places.add(Place(f"{self.name}: params", state, "client")))
        return found

    def _takes_no_params(self, *hooks: str) -> bool:
        """Tell whether a client may come without any, as far as these hooks are asked."""
        try:
            for hook in hooks:
                self.definition.checked(hook, "params", None)
            if "create_conn_state" in hooks and self.definition.hooks.create_conn_state is None:
                self.definition.conn_state.validated_or_constructed(None, "params")
        except RingcastError:
            return False
        return True

    def _events(self) -> list[Callable[[], EventInterface]] | None:
        declared = self.definition.events
        return None if declared is None else [self._event(event) for event in declared.values()]

    def _event(self, event: EventSpec) -> Callable[[], EventInterface]:
        cls = self.definition.cls
        found = []
        for each in event.parameters:
            where = f"{self.name}.Events.{event.name}: {each.name}"
            schema = self.places.add(Place(where, each.annotation, "server"))
            found.append((each.name, schema))
        declaration = inspect.getattr_static(cls.Events, event.name, None)  # type: ignore[attr-defined]
        description = described(declaration) if inspect.isfunction(declaration) else None
        return lambda: EventInterface(
            event.name, description, tuple(Argument(name, schema()) for name, schema in found)
        )


def _all_of(schemas: Sequence[Schema]) -> Schema | None:
    """Return the schema of what fits all of these; None where there are none."""
    different = [schema for index, schema in enumerate(schemas) if schema not in schemas[:index]]
    if len(different) > 1:
        return {"allOf": different}
    return different[0] if different else None
