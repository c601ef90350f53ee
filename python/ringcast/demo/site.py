"""The page of `ringcast demo`, as routes for its server: the files that `make demo` has built into `page/`.

The page itself is written in `clients/demo`. All files are read before the server listens, and each has a
route of its own: a request names one of them or nothing, and opens no file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

__all__ = ["PAGE", "site_routes"]

PAGE: Final = Path(__file__).with_name("page")
"""Where the build puts the page; not there in a clone that has not built it."""

_MEDIA_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".woff2": "font/woff2",
}
_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_NOT_BUILT: Final = b"The page of the demo is not built. In a clone of Ringcast, `make demo` builds it.\n"
_BY_NAME: Final = "public, max-age=31536000, immutable"
"""For what the build names by its content: what changes has another name."""
_ASKED_FOR_AGAIN: Final = "no-cache"


def site_routes(directory: Path = PAGE) -> list[Route]:
    """Return a route for each file of `directory`, `/` for `index.html`; without that, one that says so."""
    index = directory / "index.html"
    if not index.is_file():
        return [_not_built()]
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.suffix in _MEDIA_TYPES)
    return [
        _route("/" if path == index else f"/{path.relative_to(directory).as_posix()}", path) for path in files
    ]


def _route(address: str, path: Path) -> Route:
    body = path.read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    named = address.startswith("/assets/")
    headers = {**_HEADERS, "Cache-Control": _BY_NAME if named else _ASKED_FOR_AGAIN, "ETag": tag}
    media_type = _MEDIA_TYPES[path.suffix]

    async def answer(request: Request) -> Response:
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=media_type)

    return Route(address, answer, methods=["GET"])


def _not_built() -> Route:
    async def answer(request: Request) -> Response:
        headers = {**_HEADERS, "Cache-Control": "no-store"}
        return Response(_NOT_BUILT, 503, headers, media_type="text/plain")

    return Route("/", answer, methods=["GET"])
