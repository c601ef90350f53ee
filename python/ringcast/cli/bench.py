"""`ringcast bench`: size a machine. The questions, and how they are asked, are in `ringcast.bench`."""

from __future__ import annotations

import click

from ..bench import actions, connect, fanout, latency, memory, replay
from ..bench.command import command_of
from .options import debug_option

__all__ = ["bench"]


@click.group(short_help="Measure a server on this machine.", subcommand_metavar="QUESTION [OPTIONS]")
@debug_option
def bench() -> None:
    """Measure a Ringcast server on this machine, with a native receiver that checks every event.

    Each question starts a server and a load as processes of their own, on a core each where the system allows
    that, and ends them. Compare ratios within one run: absolute figures belong to the machine and the moment.
    """


for _module in (fanout, latency, replay, memory, actions, connect):
    bench.add_command(debug_option(command_of(_module.QUESTION)))
