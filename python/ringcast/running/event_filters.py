"""What clients may listen for with a filter: the declared fields of events, as they are on the wire.

Whether a connection may listen for an event at all is its actor's to say (`questions.py`); how filters are
written is in `wire/topics.py`, and the core finds out which events match.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from ..errors import InvalidFilter, RingcastError, TooManyFilters
from ..schema.filterable import StateFields, fields_of
from ..wire.topics import filter_of, is_filtered, name_of
from .questions import may_subscribe as may_hear

if TYPE_CHECKING:
    from ..connection import Connection
    from ..schema.definition import ActorDefinition
    from .instance import ActorInstance

__all__ = ["event_fields", "may_subscribe", "misfits"]

_known: Final[WeakKeyDictionary[type, dict[str, StateFields]]] = WeakKeyDictionary()
"""By actor class and event: what has been asked for."""


def may_subscribe(
    instance: ActorInstance, connection: Connection[Any], topic: str, asked: bool
) -> bool | Awaitable[bool]:
    """Ask whether a connection may listen for a topic.

    The actor is asked about the event's name first: whoever may not hear of it learns nothing of its fields.
    If it was `asked` already, it has said yes. Raises `InvalidFilter` and `TooManyFilters`, and as the actor.
    """
    allowed = asked or may_hear(instance, connection, name_of(topic))
    if not is_filtered(topic):
        return allowed
    if isinstance(allowed, bool):
        return allowed and _fits(instance, topic)
    return _fits_if(allowed, instance, topic)


async def _fits_if(allowed: Awaitable[bool], instance: ActorInstance, topic: str) -> bool:
    return await allowed and _fits(instance, topic)


def _fits(instance: ActorInstance, topic: str) -> bool:
    event_fields(instance.definition, name_of(topic)).require(filter_of(topic))
    most = instance.node.config.max_filters_per_actor
    stream = instance.stream
    if stream.filters >= most and not stream.has_filter(topic):
        instance.node.limits_hit["max_filters_per_actor"] += 1
        raise TooManyFilters(f"{instance.definition.name}'s clients listen with {most} filters already")
    return True


def misfits(definition: ActorDefinition, topics: Iterable[str]) -> dict[str, RingcastError]:
    """Return those of the topics whose filter does not fit the declared fields, with the errors."""
    found: dict[str, RingcastError] = {}
    for topic in filter(is_filtered, topics):
        try:
            event_fields(definition, name_of(topic)).require(filter_of(topic))
        except InvalidFilter as error:
            found[topic] = error
    return found


def event_fields(definition: ActorDefinition, name: str) -> StateFields:
    """Return the fields of an actor's event that filters may use. Raises `InvalidFilter` if it has none."""
    known = _known.setdefault(definition.cls, {})
    if name not in known:
        spec = None if definition.events is None else definition.events.get(name)
        if spec is None:
            raise InvalidFilter(
                f"{name!r} cannot be filtered: {definition.name} does not declare its fields; "
                f"it would in `class Events: {name}: …`"
            )
        fields = fields_of(spec.parameters[0].annotation if spec.parameters else None, on_wire=True)
        if not fields.by_name and fields.others is None:
            shown = f"{fields.state}, which has no fields" if spec.parameters else "no argument"
            raise InvalidFilter(
                f"{name!r} cannot be filtered: {definition.name}.Events declares it with {shown}"
            )
        known[name] = fields
    return known[name]
