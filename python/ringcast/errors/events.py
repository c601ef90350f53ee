"""Why an event cannot be sent, subscribed to or filtered."""

from __future__ import annotations

from .base import RingcastError

__all__ = [
    "EventError",
    "EventNotJson",
    "EventTooLarge",
    "EventsLost",
    "InvalidEvent",
    "InvalidEventName",
    "InvalidFilter",
    "ReservedName",
    "SubscriptionRefused",
    "TooManyFilters",
    "UnknownEvent",
]


class EventError(RingcastError):
    """An event cannot be sent or subscribed to."""


class InvalidEventName(EventError):
    """Nobody could subscribe to this name: it is empty, too long or no text."""

    code = "invalid_event_name"


class ReservedName(EventError):
    """The name belongs to a lifecycle event."""

    code = "reserved_name"


class EventTooLarge(EventError):
    """One event exceeds what the actor's ring may hold."""

    code = "event_too_large"


class EventNotJson(EventError):
    """An event holds what JSON cannot carry: bytes that are no text, where a client of its actor may use it;
    an int of more than 64 bits, a cycle, or an object that nothing is known of, in any case."""

    code = "event_not_json"


class UnknownEvent(EventError):
    """The actor declares its events, and none of this name."""

    code = "unknown_event"


class InvalidEvent(EventError):
    """The arguments of an event are not those that its actor declares; the message names what is wrong."""

    code = "invalid_event"


class EventsLost(EventError):
    """A stream of events has a gap; `metadata` has `reason`, and `first` and `last` offset where known."""

    code = "events_lost"


class SubscriptionRefused(EventError):
    code = "subscription_refused"


class TooManyFilters(EventError):
    """An actor's clients listen with as many different filters as it takes; listen without one, or later."""

    code = "too_many_filters"


class InvalidFilter(RingcastError):
    """A filter cannot be built, or does not fit the connection state or the event that it is for.

    The message says why.
    """

    code = "invalid_filter"
