"""Whom a socket is handed to that becomes a WebSocket: to actors, or to the application beside them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

import httptools

from .application import NewSocket
from .bridge import FrameProtocol
from .first_read import NOTHING, health_request, whole_upgrade
from .handshake import PATH

__all__ = ["Upgrades"]

_LOG: Final = logging.getLogger("ringcast.server")


class Upgrades:
    """Whom a socket is handed to that becomes a WebSocket; `new_protocol` is for those of actors.

    There is none at a port for metrics. With an application, `mount` is the path below which they are, None
    where all are the application's, and `application_sockets` makes what serves the application's.
    """

    def __init__(
        self,
        new_protocol: Callable[[], FrameProtocol] | None,
        mount: str | None = "",
        application_sockets: Callable[[str | None], NewSocket] | None = None,
    ) -> None:
        self.new_protocol = new_protocol
        self.whole = NOTHING if new_protocol is None or mount is None else whole_upgrade(mount + PATH)
        self.health = NOTHING if mount is None else health_request(mount)
        """What is answered although there is no place for its socket."""
        self.application_sockets = application_sockets
        self._below = None if mount is None else f"{mount}/".encode() if mount else b""
        self._warned = False

    def is_for_actors(self, target: bytes) -> bool:
        """Tell whether a request to upgrade, with this target, is for Ringcast."""
        if self._below is None:
            return False  # not even one that cannot be read
        try:
            path: bytes = httptools.parse_url(target).path or b""
        except httptools.HttpParserInvalidURLError:
            return True  # they refuse it
        return unquote_to_bytes(path).startswith(self._below)

    def warn_of_missing_package(self) -> None:
        """Say once why the application has no WebSockets."""
        if not self._warned:
            self._warned = True
            _LOG.warning("the application's WebSockets are refused: they need the package websockets")
