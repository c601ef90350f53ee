"""Whatever happens in whatever order: clients get the model's events, or a gap exactly where it has one."""

from __future__ import annotations

import pytest

from .machine import History
from .profiles import chosen


# A failure is made as short as can be before it is shown, which takes minutes.
@pytest.mark.timeout(600)
class TestHistory(History.TestCase):  # type: ignore[misc,valid-type]  # hypothesis makes the base at run time
    settings = chosen()
