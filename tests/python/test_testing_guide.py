"""`docs/testing.md`: its programs run as they stand, and its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_runs import ASYNCIO, passes

import programs
from ringcast import testing
from ringcast.testing import LocalServer, ManualClock, Recorder, plugin

PAGE = (programs.PROJECT / "docs" / "testing.md").read_text()


def test_every_program_runs(tmp_path: Path) -> None:
    blocks = dict(re.findall(r"<!-- tested: (\S+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
    assert len(blocks) == PAGE.count("```python"), "a program without a name"
    for name, block in blocks.items():
        (tmp_path / name).write_text(block)
    tests = sum(block.count("async def test_") for block in blocks.values())
    parameters = 1  # one test runs in both encodings
    passes(tmp_path, tests + parameters, *ASYNCIO, "-o", "asyncio_mode=auto")


def test_everything_there_is_is_listed() -> None:
    listed = re.findall(r"`\.?(\w+)[`(]", PAGE.partition("## Everything there is")[2])
    public = {*testing.__all__, *plugin.__all__}
    for each in (LocalServer, ManualClock, Recorder):
        public |= {name for name in vars(each) if not name.startswith("_")}
    inner = {
        "RecordedEvent", "Recorder", "call_later", "changed", "connection", "describe", "find", "keeps",
        "listen", "take",
    }  # fmt: skip
    assert public - set(listed) == inner
