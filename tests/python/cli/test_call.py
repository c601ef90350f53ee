"""`ringcast call` against the demo's actors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringcast.cli import main

Said = pytest.CaptureFixture[str]


class Calls:
    """Runs `ringcast call` in this process."""

    def __init__(self, url: str, said: Said) -> None:
        self._url = url
        self._said = said

    def result(self, *arguments: str) -> Any:
        code = main(["call", self._url, *arguments])
        out, err = self._said.readouterr()
        assert (code, err, out.count("\n")) == (0, "", 1)
        return json.loads(out)

    def error(self, *arguments: str) -> str:
        code = main(["call", self._url, *arguments])
        out, err = self._said.readouterr()
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert err.startswith("error: ")
        return err


@pytest.fixture
def call(url: str, capsys: Said) -> Calls:
    return Calls(url, capsys)


def test_prints_the_result_as_one_line_of_json(call: Calls) -> None:
    message = call.result("chatRoom", "general", "sendMessage", "ann", "Hello everyone!")
    assert (message["user_id"], message["text"]) == ("ann", "Hello everyone!")


def test_arguments_are_json_where_they_can_be_and_text_otherwise(call: Calls) -> None:
    article = call.result(
        "news_room", "args", "publish_article", '{"id": "7", "category": "a", "content": "b"}'
    )
    assert article == {"id": "7", "category": "a", "content": "b", "level": "public"}
    assert call.result("chat_room", "args", "send_message", "ann", '"7"')["text"] == "7"
    assert call.result("chat_room", "args", "send_message", "ann", "{not json")["text"] == "{not json"


def test_a_key_of_several_parts_is_written_with_slashes(call: Calls) -> None:
    call.result("chat_room", "eu/a%2Fb", "send_message", "ann", "here")
    assert len(call.result("chat_room", "eu/a%2Fb", "history")) == 1
    assert call.result("chat_room", "eu/a/b", "history") == []
    call.result("chat_room", "", "send_message", "ann", "in the room without a key")
    assert len(call.result("chat_room", "", "history")) == 1


def test_params_make_the_call_over_a_connection(call: Calls) -> None:
    move = ("gameRoom", "params", "move", '{"x": 1, "y": 2}')
    assert call.result(*move, "--params", '{"player_id": "ann"}') is None
    told = call.error(*move)
    assert told.startswith("error: GameRoom params: ")
    assert told.endswith("(validation_error)\n")


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_both_encodings(call: Calls, encoding: str) -> None:
    options = ("--encoding", encoding, "--params", '{"player_id": "ann", "role": "spectator"}')
    assert call.result("gameRoom", f"encoding-{encoding}", "start", *options) is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ticker", "stocks", "latest", "NOPE"], "no price of NOPE yet (no_such_symbol)"),
        (["ticker", "stocks", "set_speed", "-5"], "a speed is above 0"),
        (["ticker", "stocks", "fly"], "(unknown_action)"),
        (["parrot", "stocks", "fly"], "(unknown_actor)"),
        (["ticker", "stocks", "latest"], "(validation_error)"),
        (["ticker", "nowhere", "latest", "MSFT", "--existing"], "(actor_not_found)"),
        (["gameRoom", "a", "start", "--params", '{"nobody": 1}'], "(validation_error)"),
    ],
)
def test_an_error_of_the_server_is_one_line_with_its_code(
    call: Calls, arguments: list[str], message: str
) -> None:
    assert message in call.error(*arguments)
