"""What a server tells of its actors to people: a page to try their actions, and documents that describe them.

Served only where `ServerConfig.docs` says so. The page (`docs.html`) takes nothing from elsewhere: it makes
its forms of the OpenAPI document, and its calls are those of any other client.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..describe import asyncapi, interface_of, openapi
from .handshake import PATH

if TYPE_CHECKING:
    from ..registry import Registry

__all__ = ["docs_routes"]

_PAGE: Final = Path(__file__).with_name("docs.html")
_MOST_MOUNTS: Final = 8
"""For so many, documents are kept: a path may have a part that is anybody's to choose."""


def docs_routes(registry: Registry, statuses: Mapping[str, int]) -> list[Route]:
    """Return the routes. What they answer at a server's root is made now, before anybody waits for it."""
    interface = interface_of(registry)
    page, policy = _page()

    def calls(below: str) -> bytes:
        return _written(openapi(interface, statuses, below=below))

    def messages(below: str) -> bytes:
        return _written(asyncapi(interface, below + PATH))

    return [
        _route("/docs", lambda _: page.encode(), "text/html", {"Content-Security-Policy": policy}),
        _route("/openapi.json", calls, "application/json"),
        _route("/asyncapi.json", messages, "application/json"),
    ]


def _route(
    path: str, body: Callable[[str], bytes], media_type: str, headers: dict[str, str] | None = None
) -> Route:
    """Return a route whose `body` is made for the path below which the registry is mounted."""
    made = lru_cache(_MOST_MOUNTS)(body)
    made("")

    async def answer(request: Request) -> Response:
        below = request.scope.get("root_path", "").rstrip("/")
        return Response(made(below), headers=headers, media_type=media_type)

    return Route(path, answer, methods=["GET"])


def _written(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def _page() -> tuple[str, str]:
    """Return the page, and the policy that lets it run what is in it and call this server, nothing else."""
    page = _PAGE.read_text(encoding="utf-8")
    policy = [
        "default-src 'none'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    policy.append("frame-ancestors 'none'")
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        [inside] = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        policy.append(f"{directive} 'sha256-{digest}'")
    return page, "; ".join(policy)
