"""The command `ringcast`: its subcommands, and how each of them ends.

A subcommand is one module here and raises what it likes. `main` turns that into one line on stderr and an
exit code: 0 done, 1 failed, 2 used wrongly, 130 and 143 ended by a signal, 141 nobody reads the output.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from ..errors import RingcastError
from .bench import bench
from .call import call
from .demo import demo
from .describe import asyncapi_command, openapi_command, types
from .listen import listen
from .options import DEBUG, debug_option
from .serve import serve
from .settings import settings

__all__ = ["main"]

_INTERRUPTED: Final = 130
_TERMINATED: Final = 143
_READER_GONE: Final = 141
"""What a shell reports for a program that SIGPIPE ended; Python raises instead of ending."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(
    importlib.metadata.version("ringcast"), prog_name="ringcast", message="%(prog)s %(version)s"
)
@debug_option
def ringcast() -> None:
    """Route realtime events: actors hold state, clients call their actions and receive their events.

    \b
    Example, in two terminals:
      ringcast demo
      ringcast listen http://127.0.0.1:8080 ticker stocks --event price
    """


for command in (serve, settings, listen, call, demo, types, openapi_command, asyncapi_command, bench):
    ringcast.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. `arguments` defaults to those of the process."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # Not `ringcast.main`, which has an ending of its own for signals and broken pipes.
        with ringcast.make_context("ringcast", list(arguments)) as context:
            ringcast.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:  # --help and --version
        return end.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED
    except asyncio.CancelledError:
        return _TERMINATED
    except BrokenPipeError:
        # The interpreter flushes stdout once more at exit: give it somewhere to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _READER_GONE
    except Exception as error:
        if DEBUG in arguments:
            raise
        return _report(error)
    return 0


def _report(error: Exception) -> int:
    code = 1
    match error:
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.format_message(), err=True)
            return error.exit_code
        case click.ClickException():
            text, code = error.format_message(), error.exit_code
            if isinstance(error, click.UsageError) and error.ctx is not None:
                text += f" (try '{error.ctx.command_path} --help')"
        case RingcastError():
            text = f"{error.message} ({error.code})"
        case OSError():
            text = str(error)
        case _:
            text = f"{type(error).__name__}: {error} ({DEBUG} shows where)"
    click.echo("error: " + " ".join(text.split()), err=True)
    return code
