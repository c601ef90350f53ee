"""Which pages may use a server through a browser: those of the same origin, and those that are allowed: pure.

A browser sends the cookies of its user with a request that any page makes, and names that page in `Origin`
(RFC 6454; for WebSockets RFC 6455, section 10.2). For an image or a link, whose answer the page
cannot read, it does not; then it says in `Sec-Fetch-Site` (W3C Fetch Metadata) how far away the page is. Who
sends neither is no browser, or an old one, or one that asks over plain HTTP for a host other than localhost.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import urlsplit

__all__ = ["OPAQUE", "Origins"]

ANY: Final = "*"
_OTHER_SITES: Final = ("cross-site", "same-site")
"""Where a page is not of the server's own origin. The latter differs in the port or a part of the host."""
OPAQUE: Final = "null"
"""What a page without an origin of its own sends: a local file, a frame in a sandbox."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NOT_IN_A_HOST: Final = frozenset("/\\?#@ \t,")


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int | None


class Origins:
    """The origins that are allowed besides the server's own: ``https://app.example.com``, or ``*`` for any.

    Raises `ValueError` for what is no origin.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        self.any = False
        """Whether every page is allowed."""
        self._opaque = False
        self._allowed: set[_Origin] = set()
        for text in allowed:
            if text == ANY:
                self.any = True
            elif text == OPAQUE:
                self._opaque = True
            else:
                self._allowed.add(_required(text))

    def lists(self, origin: str) -> bool:
        """Tell whether `origin` itself is on the list."""
        if origin == OPAQUE:
            return self._opaque
        found = _origin(origin)
        return found is not None and found in self._allowed

    def allows(self, origin: str, host: str | None, scheme: str | None) -> bool:
        """Tell whether a page of `origin` may use the server that it asked for as `host`.

        `scheme` is http or https; None where nobody knows, because a proxy may stand before the server that
        nobody has told it about: pages of both are of the same origin then.
        """
        return self.any or self.lists(origin) or _is_same(origin, host, scheme)

    def allows_unnamed(self, site: str | None) -> bool:
        """Tell whether a page may use the server of which no origin is known, but perhaps how far away it is.

        A page on the list has no need of this: it is named with all that it may read.
        """
        return self.any or site not in _OTHER_SITES


def _is_same(origin: str, host: str | None, scheme: str | None) -> bool:
    page = _origin(origin)
    if page is None or host is None or page.scheme not in _DEFAULT_PORTS:
        return False
    if scheme is not None and page.scheme != scheme:
        return False
    # A port that is left out is that of the page's scheme on both sides.
    return _origin(f"{page.scheme}://{host}") == page


def _required(text: str) -> _Origin:
    found = _origin(text)
    if found is None:
        raise ValueError(f"an origin is a scheme and a host, perhaps a port, or * or null: not {text!r}")
    return found


def _origin(text: str) -> _Origin | None:
    scheme, separator, host = text.partition("://")
    if not (scheme.isascii() and separator and host.isascii()) or _NOT_IN_A_HOST & set(host):
        return None
    try:
        parts = urlsplit(text)
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not name or parts.netloc.lower() != host.lower():
        return None
    known = parts.scheme.lower()
    return _Origin(known, name.lower(), _DEFAULT_PORTS.get(known) if port is None else port)
