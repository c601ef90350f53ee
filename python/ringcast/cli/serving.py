"""Running a registry from the command line: where its log goes, and what a taken port is called.

The server itself is `ringcast.server.serve`.
"""

from __future__ import annotations

import errno
import socket
import sqlite3
from collections.abc import Callable

import click

from ..operations.logs import LogConfig, configure
from ..registry import Registry
from ..server.application import NOTHING_BESIDE, ApplicationFailed, Beside
from ..server.serve import run
from ..server.tls import CertificateFileError

__all__ = ["serve_registry"]


def serve_registry(
    registry: Registry,
    host: str,
    port: int,
    log: LogConfig,
    on_listening: Callable[[str], None],
    beside: Beside = NOTHING_BESIDE,
) -> None:
    """Serve until SIGINT or SIGTERM. Raises `click.ClickException` if the address cannot be had, its
    certificate not be used, or the application not be started."""
    configure(log)
    try:
        run(registry, host, port, on_listening=on_listening, beside=beside)
    except (CertificateFileError, ApplicationFailed) as error:
        raise click.ClickException(str(error)) from error
    except sqlite3.Error as error:
        path = getattr(registry.store, "path", "of this registry")
        raise click.ClickException(f"the store {path} cannot be used: {error}") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE and "for metrics" in str(error):
            raise click.ClickException(f"{error.strerror}; choose another with --metrics-port") from error
        if error.errno == errno.EADDRINUSE:
            raise click.ClickException(
                f"port {port} of {host} is in use; choose another with --port"
            ) from error
        if isinstance(error, socket.gaierror) or error.errno in (errno.EADDRNOTAVAIL, errno.EACCES):
            raise click.ClickException(f"cannot listen on port {port} of {host}: {error}") from error
        raise
