"""What every subcommand has in common: help with an example, errors of one line, exit codes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ringcast.cli import main
from ringcast.errors import RingcastError

NO_SERVER = "http://127.0.0.1:1"


@pytest.mark.parametrize("command", ["serve", "listen", "call", "demo"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    out, err = capsys.readouterr()
    example = out.partition("Example")[2]
    assert f"ringcast {command} " in example
    assert err == ""


def test_without_arguments_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    err = capsys.readouterr().err
    for command in ("serve", "listen", "call", "demo"):
        assert f"\n  {command} " in err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ringcast 0.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sing"], "No such command 'sing'"),
        (["listen", NO_SERVER, "ticker"], "Missing option '--event'"),
        (["listen", NO_SERVER, "ticker", "--event", "x", "--count", "0"], "0 is not in the range"),
        (["listen", NO_SERVER, "ticker", "--event", "x", "--params", "{"], "'{' is not JSON"),
        (
            ["listen", "https://a.test", "ticker", "--event", "x", "--cut-every", "1"],
            "needs an http:// address",
        ),
        (["call", NO_SERVER, "ticker", "stocks"], "Missing argument 'ACTION'"),
        (["call", "ftp://127.0.0.1", "ticker", "stocks", "latest"], "is no server's address"),
        (["call", "http://127.0.0.1:many", "ticker", "stocks", "latest"], "is no server's address"),
        (["call", "http://[::1", "ticker", "stocks", "latest"], "is no server's address"),
        (["serve", "app"], "'app' is not of the form MODULE:REGISTRY"),
        (["demo", "--speed", "0"], "0.0 is not in the range"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    "command",
    [
        ["call", NO_SERVER, "ticker", "stocks", "latest"],
        ["listen", NO_SERVER, "ticker", "stocks", "--event", "price"],
    ],
)
def test_a_failure_is_one_line_and_code_1(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: cannot reach {NO_SERVER}") and err.count("\n") == 1


@pytest.mark.parametrize("place", ["before", "behind"])
def test_debug_shows_the_traceback(place: str) -> None:
    command = ["call", NO_SERVER, "ticker", "stocks", "latest"]
    with pytest.raises(RingcastError, match="cannot reach"):
        main(["--debug", *command] if place == "before" else [*command, "--debug"])


def test_runs_as_a_module() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "ringcast", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert ended.stdout.startswith("ringcast 0.")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e300"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "counter:registry", "--session-window"],
        ["demo", "--port", "0", "--speed"],
        ["listen", NO_SERVER, "a", "k", "--event", "e", "--cut-every"],
        ["listen", NO_SERVER, "a", "k", "--event", "e", "--cut-every", "1", "--cut-for"],
    ],
    ids=lambda arguments: " ".join((arguments[0], arguments[-1])),
)
def test_a_number_is_finite(arguments: list[str], value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, value]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: Invalid value for '{arguments[-1]}'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["listen", NO_SERVER, "a", "k", "--event", "connected"], "'connected' is told on stderr anyway"),
        (["listen", NO_SERVER, "a", "k", "--event", ""], "a name has 1 to 128 characters"),
        (["listen", NO_SERVER, "a", "k", "--event", "e" * 129], "a name has 1 to 128 characters"),
        (["listen", NO_SERVER, "a", *"k" * 17, "--event", "e"], "a key has at most 16 parts, not 17"),
        (["call", NO_SERVER, "a", "k" * 129, "act"], "a part of a key has at most 128 characters"),
        (["call", NO_SERVER, "", "k", "act"], "a name has 1 to 128 characters"),
        (["call", NO_SERVER, "a", "k", ""], "a name has 1 to 128 characters"),
        (["call", NO_SERVER + "/?a=1", "a", "k", "act"], "is no server's address"),
        (["call", NO_SERVER + "/#a", "a", "k", "act"], "is no server's address"),
    ],
)
def test_what_no_server_takes_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: Invalid value for ")
    assert message in line
