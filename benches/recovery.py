"""Benchmarks of recovery: many clients come back at once, some stop reading, events are kept on disk.

Each subcommand answers one question and prints a table or, with --json, one JSON object. benches/README.md
says what is measured, and how.
"""

from __future__ import annotations

import click
import journal
import sleepers

from ringcast.bench import replay
from ringcast.bench.command import command_of

QUESTIONS = (replay.QUESTION, sleepers.QUESTION, journal.QUESTION)

if __name__ == "__main__":
    click.Group("recovery", commands=[command_of(each) for each in QUESTIONS], help=__doc__)()
