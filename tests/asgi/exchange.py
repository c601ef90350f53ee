"""One request to an ASGI application, seen from the server that has it: what it is given, and when."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from event_source import Parser
from ringcast import Registry

__all__ = ["Exchange"]


class Exchange:
    """One request and its response, as an ASGI server has them; `may_send` holds up each part of the body."""

    def __init__(
        self, registry: Registry, body: Any = None, *, path: str = "/actors/room/events", **headers: str
    ) -> None:
        self.sent: list[dict[str, Any]] = []
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.listens = False
        """Whether there was somebody who would hear that the client is gone."""
        self.fails = False
        """Whether to say that the client is gone, which `gone` does to whoever receives."""
        self.gone = asyncio.Event()
        self._body: bytes | None = b"" if body is None else orjson.dumps(body)
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET" if body is None else "POST",
            "scheme": "http",
            "path": path,
            "query_string": b"" if body is not None else b"key=a&subscribe=number",
            "root_path": "",
            "headers": [
                (b"host", b"here"),
                (b"content-type", b"application/json"),
                *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
            ],
            "client": ("203.0.113.7", 1),
        }
        self.task = asyncio.ensure_future(registry.asgi()(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        self.listens = True
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if self.fails:
            raise OSError("the client has gone")
        self.sent.append(message)
        if message["type"] == "http.response.body":
            await self.may_send.wait()

    @property
    def events(self) -> list[Any]:
        parser = Parser()
        return [message.json for message in parser.feed(b"".join(self.parts))]

    @property
    def parts(self) -> list[bytes]:
        return [message["body"] for message in self.sent if message["type"] == "http.response.body"]

    @property
    def is_whole(self) -> bool:
        return bool(self.sent) and self.sent[-1].get("more_body") is False

    @property
    def status(self) -> int | None:
        """That of the response; None while there is none."""
        return self.sent[0]["status"] if self.sent else None

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}
