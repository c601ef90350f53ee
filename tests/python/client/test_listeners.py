"""The registry of listeners, without a connection."""

from __future__ import annotations

from typing import Any

import pytest

from ringcast.client.listeners import END, Listeners
from ringcast.errors import InvalidFilter


class Subscriptions:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.listeners = Listeners(
            lambda name: self.log.append(f"+{name}"), lambda name: self.log.append(f"-{name}")
        )


@pytest.fixture
def subscriptions() -> Subscriptions:
    return Subscriptions()


@pytest.fixture
def listeners(subscriptions: Subscriptions) -> Listeners:
    return subscriptions.listeners


def test_first_and_last_of_a_name(subscriptions: Subscriptions, listeners: Listeners) -> None:
    one = listeners.add("a", print)
    two = listeners.add("a", print)
    listeners.add("b", print)
    listeners.remove(one)
    listeners.remove(one)
    assert subscriptions.log == ["+a", "+b"]
    listeners.remove(two)
    assert subscriptions.log == ["+a", "+b", "-a"]
    assert listeners.topics() == ("b",)


def test_lifecycle_names_are_never_subscribed_to(subscriptions: Subscriptions, listeners: Listeners) -> None:
    listeners.add("error", print)
    listeners.add(END, print, internal=True)
    assert listeners.topics() == ()
    assert listeners.has("error")
    assert not listeners.wants("error")
    assert not listeners.wants(END)
    listeners.off()
    assert subscriptions.log == []
    assert not listeners.has("error")


def test_off_removes_every_registration_of_a_handler(
    subscriptions: Subscriptions, listeners: Listeners
) -> None:
    class Screen:
        def show(self) -> None: ...

    screen = Screen()
    listeners.add("a", screen.show)
    listeners.add("a", screen.show)
    listeners.add("b", screen.show)
    # A bound method is a new object each time, and equal.
    listeners.off("a", screen.show)
    assert subscriptions.log == ["+a", "+b", "-a"]
    listeners.off("a", screen.show)
    listeners.off("nothing of this name")
    assert subscriptions.log == ["+a", "+b", "-a"]


def test_off_leaves_what_streams_have(subscriptions: Subscriptions, listeners: Listeners) -> None:
    listener = listeners.add("a", print, internal=True)
    listeners.add("a", print)
    listeners.off()
    assert listeners.get("a") == (listener,)
    assert subscriptions.log == ["+a"]


def test_a_snapshot_shows_what_was_removed_since(listeners: Listeners) -> None:
    first = listeners.add("a", print)
    second = listeners.add("a", print)
    snapshot = listeners.get("a")
    listeners.off("a")
    listeners.add("a", print)
    assert snapshot == (first, second)
    assert [listener.active for listener in snapshot] == [False, False]


def test_callbacks_may_change_listeners() -> None:
    log: list[str] = []

    def on_last(name: str) -> None:
        log.append(f"-{name}")
        if name == "a":
            listeners.add("a", print)

    listeners = Listeners(lambda name: log.append(f"+{name}"), on_last)
    listeners.add("a", print)
    listeners.off("a")
    assert log == ["+a", "-a", "+a"]
    assert len(listeners.get("a")) == 1


def test_the_topics_of_a_connection_are_bounded(subscriptions: Subscriptions, listeners: Listeners) -> None:
    for number in range(3):
        listeners.add("a", print, {"x": f"{number}" + "x" * 4000})
    with pytest.raises(ValueError, match="at most 12288 bytes, with 'a' it would be 16"):
        listeners.add("a", print, {"x": "3" + "x" * 4000})
    assert len(subscriptions.log) == 3
    listeners.add("a", print, {"x": "0" + "x" * 4000})
    listeners.add("connected", print)
    listeners.off("a")
    listeners.add("a", print, {"x": "3" + "x" * 4000})


@pytest.mark.parametrize("where", [[], 0, "", False, (), [("x", 1)]])
def test_what_is_no_mapping_is_no_filter(listeners: Listeners, where: Any) -> None:
    with pytest.raises(InvalidFilter, match="where is a mapping"):
        listeners.add("a", print, where)
    assert not listeners.has("a")
