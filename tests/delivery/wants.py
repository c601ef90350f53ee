"""What clients ask for of an event: filters over its fields, each beside the same condition in Python.

The conditions are written by hand: nothing of the product says here what the product ought to send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from ringcast.wire.topics import topic_of

__all__ = ["WANTS", "Fields", "Want", "covers", "fields", "topic"]

Fields = Mapping[str, Any]
"""Of an event's first argument, as clients see them."""
TEAMS: Final = (None, "red", "green")
TAGS: Final = ("new", "vip")


def fields(number: int) -> dict[str, Any]:
    """Return those of the event with this number, so that whoever knows how many there were knows all."""
    rest, zone = divmod(number, 4)
    rest, level = divmod(rest, 3)
    rest, team = divmod(rest, len(TEAMS))
    tags = [tag for bit, tag in enumerate(TAGS) if rest >> bit & 1]
    return {"number": number, "zone": zone, "level": level, "team": TEAMS[team], "tags": tags}


class Want(NamedTuple):
    """One filter."""

    where: dict[str, Any]
    fits: Callable[[Fields], bool]


WANTS: Final = (
    Want({"zone": 1}, lambda event: event["zone"] == 1),
    Want({"zone__in": [0, 1, 2], "level__ge": 1}, lambda event: event["zone"] < 3 and event["level"] >= 1),
    Want({"level__lt": 2, "zone__ne": 3}, lambda event: event["level"] < 2 and event["zone"] != 3),
    Want({"team__is": None}, lambda event: event["team"] is None),
    Want({"team__prefix": "r"}, lambda event: event["team"] == "red"),
    Want({"tags__has": "vip"}, lambda event: "vip" in event["tags"]),
)


def covers(wish: str, name: str, args: list[Any]) -> bool:
    """Tell whether an event is one that a client listens for.

    What it listens for is written as a name, or as a name and the number of a filter: `c`, `c 3`.
    """
    wanted, _, which = wish.partition(" ")
    return wanted == name and (not which or WANTS[int(which)].fits(args[0]))


def topic(wish: str) -> str:
    """Return what the package makes of it."""
    name, _, which = wish.partition(" ")
    return topic_of(name, WANTS[int(which)].where if which else None)
