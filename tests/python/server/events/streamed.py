"""Rooms that are listened to over server-sent events, and what reads their streams."""

from __future__ import annotations

import asyncio
from typing import Any

from event_source import EventSource, Parser, Response, request
from ringcast import Actor, Context, Registry, ServerConfig, UserError, action

CONFIG = ServerConfig(heartbeat_s=0.2, dead_peer_timeout_s=5.0, close_timeout_s=0.5, shutdown_timeout_s=2.0)


class Room(Actor[None, Any]):
    """Says what it is told, and counts what it does."""

    def __init__(self) -> None:
        self.connects = 0
        self.said = 0

    def on_before_connect(self, c: Context[None, Any], params: Any) -> None:
        if params == "refuse":
            raise UserError("not you", code="not_welcome", metadata={"why": "because"})

    def create_conn_state(self, c: Context[None, Any], params: Any) -> Any:
        return params

    def on_connect(self, c: Context[None, Any]) -> None:
        self.connects += 1

    def can_subscribe(self, c: Context[None, Any], event: str) -> bool:
        return event != "secret"

    @action
    def say(self, c: Context[None, Any], text: str) -> int:
        self.said += 1
        c.broadcast("said", text)
        return self.said

    @action
    def whoami(self, c: Context[None, Any]) -> list[Any]:
        return [c.conn.id, c.conn.state]

    @action
    def dismiss(self, c: Context[None, Any], reason: str) -> None:
        c.conn.disconnect(reason)

    @action
    def fill(self, c: Context[None, Any], count: int, size: int) -> None:
        for number in range(count):
            c.broadcast("filled", number, "x" * size)


class KeptRoom(Room):
    """Goes on after a restart, with its sessions."""

    durable = True


class ShortRoom(Room, max_ring_events=4):
    """Retains little."""


class SkippingRoom(Room, max_ring_events=64, slow_reader="skip"):
    """Lets its slow readers skip."""


def room(registry: Registry, actor: str = "room") -> Any:
    return registry.client.get_or_create(actor, ["a"])


def target(actor: str = "room", *more: str) -> str:
    return f"/actors/{actor}/events?" + "&".join(("key=a", "subscribe=said", *more))


async def post(url: str, token: str, *messages: Any, **headers: str) -> Response:
    given = {"Ringcast-Session": token, **{name.replace("_", "-"): value for name, value in headers.items()}}
    body = list(messages) if len(messages) > 1 else messages[0]
    return await request(url, "/session/messages", method="POST", headers=given, body=body)


async def connected(source: EventSource) -> dict[str, Any]:
    message = await source.next("connected")
    body: dict[str, Any] = message.json[1]
    assert message.last_event_id == f"{body['epoch']}:{body['offset']}"
    return body


def by_token(url: str, answer: dict[str, Any], last_event_id: str, at: str | None = None) -> Any:
    headers = {"Ringcast-Session": answer["session"], "Last-Event-ID": last_event_id}
    return request(url, at or target(), headers=headers)


async def message_of(response: Response, *kinds: str) -> Any:
    """Read a stream on to its next message of these kinds, of which nobody needs what came with it."""
    parser = Parser()
    async with asyncio.timeout(30):
        while data := await response.reader.read(65_536):
            for message in parser.feed(data):
                if message.json[0] in kinds:
                    return message.json
    raise AssertionError("the stream has ended")


async def first_message(response: Response) -> Any:
    """Return the first message of a stream, and close it."""
    parser, messages = Parser(), []
    assert response.status == 200
    while not messages:
        data = await response.reader.read(65_536)
        assert data, "the stream has ended"
        messages += parser.feed(data)
    response.writer.close()
    return messages[0].json
