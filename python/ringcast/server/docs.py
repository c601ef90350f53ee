"""What a server tells of its actors to people: a page to try their actions, and documents that describe them.

Served only where `ServerConfig.docs` says so. The page (`docs.html`) takes nothing from elsewhere: it makes
its forms of the OpenAPI document, and its calls are those of any other client.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
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


def docs_routes(registry: Registry, statuses: Mapping[str, int]) -> list[Route]:
    """Return the routes. The documents are made for the first request."""

    @cache
    def documents() -> tuple[bytes, bytes]:
        interface = interface_of(registry)
        return _written(openapi(interface, statuses)), _written(asyncapi(interface, PATH))

    async def openapi_json(request: Request) -> Response:
        return Response(documents()[0], media_type="application/json")

    async def asyncapi_json(request: Request) -> Response:
        return Response(documents()[1], media_type="application/json")

    page, policy = _page()

    async def docs(request: Request) -> Response:
        return Response(page, headers={"Content-Security-Policy": policy}, media_type="text/html")

    return [
        Route("/docs", docs, methods=["GET"]),
        Route("/openapi.json", openapi_json, methods=["GET"]),
        Route("/asyncapi.json", asyncapi_json, methods=["GET"]),
    ]


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
