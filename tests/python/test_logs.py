"""Logs as JSON: one object in each line, with fields of stable names."""

from __future__ import annotations

import datetime
import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ringcast.faults import ActorLog
from ringcast.operations.logs import ACCESS, FIELDS, JsonFormatter, LogConfig, configure, fields


def line_of(record: logging.LogRecord) -> dict[str, Any]:
    text = JsonFormatter().format(record)
    assert "\n" not in text
    line: dict[str, Any] = json.loads(text)
    return line


def record_of(message: str, *arguments: Any, extra: Any = None, exc_info: Any = None) -> logging.LogRecord:
    return logging.getLogger("ringcast.test").makeRecord(
        "ringcast.test", logging.WARNING, "file", 1, message, arguments, exc_info, extra=extra
    )


@contextmanager
def bare() -> Iterator[logging.Logger]:
    """Give the root logger as a process has it that nobody has set up; pytest's handlers come back."""
    root = logging.getLogger()
    handlers, level, access = root.handlers[:], root.level, ACCESS.level
    root.handlers[:] = []
    try:
        yield root
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        ACCESS.setLevel(access)


def test_a_line_has_time_level_logger_and_message() -> None:
    line = line_of(record_of("%d of %s", 2, "them"))
    time = datetime.datetime.fromisoformat(line.pop("time"))
    assert time.tzinfo is not None
    assert line == {"level": "warning", "logger": "ringcast.test", "message": "2 of them"}


def test_fields_stand_beside_the_message() -> None:
    extra = fields("closed", actor="Room", key=("a", "b"), code=4500)
    line = line_of(record_of("closed", extra=extra))
    assert {name: line[name] for name in FIELDS if name in line} == {
        "event": "closed",
        "actor": "Room",
        "key": ["a", "b"],
        "code": 4500,
    }
    with pytest.raises(KeyError):
        fields("closed", colour="red")


def test_an_exception_is_text() -> None:
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError:
        line = line_of(record_of("it failed", exc_info=sys.exc_info()))
    assert "RuntimeError: two\nlines" in line["exception"]


def test_what_json_cannot_carry_is_written_all_the_same() -> None:
    line = line_of(record_of("half \ud800 a character", extra=fields("odd", key=("\ud800",))))
    assert line["message"] == "half \\ud800 a character" and line["event"] == "odd"


def test_an_actor_s_log_has_the_fields_of_its_actor() -> None:
    out = io.StringIO()
    with bare():
        configure(LogConfig(log_format="json"), out)
        ActorLog("Room", "abc123", ("eu", "1\n2")).error("went %s", "wrong")
    line = json.loads(out.getvalue())
    assert (line["actor"], line["actor_id"], line["key"]) == ("Room", "abc123", ["eu", "1\n2"])
    assert line["message"] == "eu/1_2: went wrong"


def test_plain_lines_and_levels() -> None:
    out = io.StringIO()
    with bare():
        configure(LogConfig(log_level="warning"), out)
        logging.getLogger("ringcast.test").info("not this")
        logging.getLogger("ringcast.test").warning("but this")
    assert out.getvalue().endswith("WARNING ringcast.test: but this\n")
    assert out.getvalue().count("\n") == 1


@pytest.mark.parametrize("wanted", [False, True])
def test_who_comes_and_goes_is_logged_only_if_wanted(wanted: bool) -> None:
    out = io.StringIO()
    with bare():
        configure(LogConfig(access_log=wanted), out)
        ACCESS.info("somebody is here")
    assert ("somebody is here" in out.getvalue()) is wanted


def test_a_process_that_logs_already_is_left_as_it_is() -> None:
    with bare() as root:
        root.addHandler(logging.NullHandler())
        configure(LogConfig(log_format="json"))
        assert [type(handler) for handler in root.handlers] == [logging.NullHandler]
