"""Benchmarks of recovery: many clients come back at once, some stop reading, events are kept on disk.

Each subcommand answers one question and prints a table or, with --json, one JSON object. benches/README.md
says what is measured, and how.
"""

from __future__ import annotations

import sys

import journal
import replay
import sleepers
from question import ask

if __name__ == "__main__":
    sys.exit(ask(__doc__, [replay.QUESTION, sleepers.QUESTION, journal.QUESTION]))
