"""What is read of a subcommand: results on stdout, one JSON value a line, and remarks on stderr."""

from __future__ import annotations

import sys
from typing import Any

import click
from pydantic_core import to_json

__all__ = ["put_json", "remark"]


def put_json(value: Any) -> None:
    """Write `value` as one line and flush, so that the reader of a pipe has it at once.

    Bytes, which only MessagePack carries, become base64. Raises `BrokenPipeError` if nobody reads any more.
    """
    sys.stdout.buffer.write(to_json(value, bytes_mode="base64", inf_nan_mode="null") + b"\n")
    sys.stdout.buffer.flush()


def remark(text: str) -> None:
    """Write one line on stderr."""
    click.echo(text, err=True)
