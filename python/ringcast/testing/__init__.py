"""The test kit: actors served in the test's own process, with time, networks and slow readers under control.

The guide is `docs/testing.md`. With pytest, the fixtures of `plugin.py` are there by themselves.
"""

from __future__ import annotations

from .assertions import assert_event, assert_no_event, eventually
from .client import IMPATIENT
from .clock import ManualClock
from .network import NetworkProxy
from .recorder import RecordedEvent, Recorder, record
from .server import SLOW_CLIENT_BYTES, LocalServer

__all__ = [
    "IMPATIENT",
    "SLOW_CLIENT_BYTES",
    "LocalServer",
    "ManualClock",
    "NetworkProxy",
    "RecordedEvent",
    "Recorder",
    "assert_event",
    "assert_no_event",
    "eventually",
    "record",
]
