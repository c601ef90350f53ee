"""A program that is told lines: it answers, and whatever it does, nothing of it is left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import peer
import pytest
from peer import Program

from ringcast.bench.failures import Failed

ECHO = """
import json, os, sys
print(json.dumps({"listening": os.environ["WHERE"]}), flush=True)
for line in sys.stdin:
    print(json.dumps({line.strip(): 1}), flush=True)
"""


def program(text: str) -> Program:
    return Program("it", [sys.executable, "-c", text], None, Path.cwd(), WHERE="here")


def is_there(pid: int) -> bool:
    return subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 0


def test_each_line_is_answered_and_it_ends_with_its_input() -> None:
    with program(ECHO) as told:
        assert [told.ask(line, line) for line in ("look", "go")] == [{"look": 1}, {"go": 1}]
        assert is_there(told.pid)
    assert not is_there(told.pid)


def test_another_answer_than_the_next_one_is_a_failure() -> None:
    with program(ECHO) as told, pytest.raises(Failed, match=r"it said \{'look': 1\}; cpu_s was next"):
        told.ask("look", "cpu_s")


def test_one_that_ends_has_failed() -> None:
    with pytest.raises(Failed, match="it has ended; listening was next"):
        program("").__enter__()


def test_one_that_neither_answers_nor_ends_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "_START_TIMEOUT_S", 0.5)
    monkeypatch.setattr(peer, "_STOP_TIMEOUT_S", 0.1)
    told = program("import time; time.sleep(60)")
    with pytest.raises(Failed, match=r"it said nothing within 0\.5 s; listening was next"):
        told.__enter__()
    assert not is_there(told.pid)
