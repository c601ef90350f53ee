"""Names on the wire."""

from __future__ import annotations

import pytest

from ringcast.wire.naming import RESERVED_EVENTS, action_wire_names, actor_wire_names, camel_case, snake_case


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("ChatRoom", "chat_room"),
        ("chatRoom", "chat_room"),
        ("HTTPRoom", "http_room"),
        ("Room2D", "room2_d"),
        ("chat", "chat"),
        ("already_snake", "already_snake"),
    ],
)
def test_snake_case(name: str, snake: str) -> None:
    assert snake_case(name) == snake


@pytest.mark.parametrize(
    ("name", "camel"),
    [
        ("send_message", "sendMessage"),
        ("sendMessage", "sendMessage"),
        ("get_2nd_item", "get2ndItem"),
        ("two__joints", "twoJoints"),
        ("_kept", "_kept"),
        ("__kept_too", "__keptToo"),
        ("trailing_", "trailing_"),
        ("one", "one"),
    ],
)
def test_camel_case(name: str, camel: str) -> None:
    assert camel_case(name) == camel


def test_an_action_answers_to_both_forms_each_once() -> None:
    assert action_wire_names("send_message") == ("send_message", "sendMessage")
    assert action_wire_names("send") == ("send",)


def test_an_actor_answers_to_three_forms() -> None:
    assert actor_wire_names("ChatRoom") == ("ChatRoom", "chatRoom", "chat_room")
    assert actor_wire_names("Chat") == ("Chat", "chat")


def test_the_names_of_a_connections_life_are_reserved() -> None:
    assert {
        "connected",
        "disconnected",
        "reconnected",
        "error",
        "replayed",
        "gap",
        "resynced",
    } == RESERVED_EVENTS
