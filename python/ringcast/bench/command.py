"""Questions as subcommands of a command line: their options, a progress bar, a table or JSON."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import Field, fields
from typing import Any

import click

from .cores import Cores
from .failures import Failed
from .figures import BUSY, machine
from .question import Question, ask
from .rig import require_release

__all__ = ["command_of"]


def command_of(question: Question, *more: click.Parameter) -> click.Command:
    """Return the subcommand that asks `question`."""

    def run(runs: int, as_json: bool, server_core: int | None, load_core: int | None, **chosen: Any) -> None:
        try:
            require_release()
            cores = Cores.choose(server_core, load_core)
            _warn(cores)
            report = _asked(question, question.options(**chosen), runs, cores)
        except Failed as failure:
            raise click.ClickException(str(failure)) from failure
        if as_json:
            click.echo(json.dumps(report))
        else:
            click.echo(question.table(report["median"], report["compared"]))

    own: list[click.Parameter] = [_option(each) for each in fields(question.options)]
    return click.Command(
        question.name,
        params=[*own, *_common(), *more],
        callback=run,
        help=_help(question),
        short_help=question.help,
    )


def _help(question: Question) -> str:
    module = sys.modules[question.run.__module__]
    return (module.__doc__ or question.help).strip()


def _option(each: Field[Any]) -> click.Option:
    flag = "--" + each.name.replace("_", "-")
    about = each.metadata["help"]
    if isinstance(each.default, bool):
        return click.Option([flag], is_flag=True, help=about)
    kind: Any = str
    if isinstance(each.default, int):
        kind = click.IntRange(min=int(each.metadata["least"]))
    elif isinstance(each.default, float):
        kind = _Number(min=each.metadata["least"], max=1e9)
    return click.Option([flag], type=kind, default=each.default, show_default=True, metavar="N", help=about)


class _Number(click.FloatRange):
    """A number within bounds; "nan" is within all of them, and none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


def _common() -> list[click.Parameter]:
    core = click.IntRange(min=0)
    return [
        click.Option(
            ["--runs"],
            type=click.IntRange(min=1),
            default=5,
            show_default=True,
            metavar="N",
            help="How often each variant is run; the figures are medians.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object instead of a table."),
        click.Option(
            ["--server-core"], type=core, metavar="N", help="Where the server runs.  [default: the first]"
        ),
        click.Option(
            ["--load-core"], type=core, metavar="N", help="Where the load runs.  [default: the second]"
        ),
    ]


def _warn(cores: Cores) -> None:
    busy = machine()["load_average"]
    if busy > BUSY:
        click.echo(f"warning: the machine is busy (load average {busy:.1f}): do not quote this", err=True)
    if cores.remark is not None:
        click.echo(f"warning: {cores.remark}", err=True)


def _asked(question: Question, options: Any, runs: int, cores: Cores) -> dict[str, Any]:
    if not sys.stderr.isatty():
        return ask(question, options, runs, cores, lambda line, done, of: click.echo(line, err=True))
    total = runs * len(question.variants)
    with click.progressbar(length=total, file=sys.stderr, item_show_func=lambda line: line) as bar:

        def tell(line: str, done: int, of: int) -> None:
            bar.update(done - bar.pos, line)

        report = ask(question, options, runs, cores, tell)
        bar.update(total - bar.pos)
    return report
