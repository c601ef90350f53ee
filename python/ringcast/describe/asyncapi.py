"""Connections as an AsyncAPI 3 document: a channel for each actor, with its messages as JSON has them. Pure.

Schemas there are of draft 7, in which tuples are written in another way than pydantic does.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from ..wire.protocol import MAX_KEY_PARTS, MAX_NAME_CHARS
from .interface import ActorInterface, Interface, Schema, arguments_schema, mapped, referring

__all__ = ["asyncapi"]

_TYPES: Final = "#/components/schemas/"
_ID: Final = {"type": "integer", "minimum": 1}
_OFFSET: Final = {"type": "integer", "minimum": 0}
_NAME: Final = {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARS}


def asyncapi(
    interface: Interface, path: str, *, title: str = "Actors", version: str = "1.0.0"
) -> dict[str, Any]:
    """Return the document. `path` is where the server takes WebSockets, as text."""
    operations: dict[str, Any] = {}
    for actor in interface.actors:
        operations |= _operations(actor)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version, "description": _ABOUT},
        "defaultContentType": "application/json",
        "channels": {actor.name: _channel(actor, path) for actor in interface.actors},
        "operations": operations,
        "components": {"schemas": {name: _draft_7(schema) for name, schema in interface.types.items()}},
    }


_ABOUT: Final = (
    "Messages of a WebSocket to one actor, in JSON (the subprotocol `ringcast.v1.json`). The first message "
    "of a client is `connect`, with the names of the events that it listens for. Requests have ids, counted "
    "from 1, and their answers the same ones."
)


def _channel(actor: ActorInterface, path: str) -> dict[str, Any]:
    messages = {"connect": _connect(actor), "connected": _connected(actor), "error": _error()}
    for action in actor.actions:
        about = {"description": action.description} if action.description else {}
        call = _array({"const": "call"}, _ID, {"const": action.name}, arguments_schema(action.arguments))
        messages[f"call.{action.name}"] = {**_message(call, answered=True), **about}
        reply = _array({"const": "reply"}, _ID, action.result)
        messages[f"reply.{action.name}"] = _message(reply, answered=True)
    for event in actor.events or ():
        about = {"description": event.description} if event.description else {}
        messages[f"event.{event.name}"] = {
            **_message(_event({"const": event.name}, arguments_schema(event.arguments))),
            **about,
        }
    if actor.events is None:
        messages["event"] = _message(_event(_NAME, {"type": "array"}))
    return {
        # Also because braces would make a parameter of what stands between them.
        "address": quote(path),
        **({"description": actor.description} if actor.description else {}),
        "messages": messages,
        "bindings": {"ws": {"method": "GET"}},
    }


def _operations(actor: ActorInterface) -> dict[str, Any]:
    channel = f"#/channels/{actor.name}"

    def messages(*names: str) -> list[dict[str, str]]:
        return [{"$ref": f"{channel}/messages/{name}"} for name in names]

    def answered(request: str, *answers: str) -> dict[str, Any]:
        reply = {"channel": {"$ref": channel}, "messages": messages(*answers)}
        return {
            "action": "receive",
            "channel": {"$ref": channel},
            "messages": messages(request),
            "reply": reply,
        }

    found = {f"{actor.name}.connect": answered("connect", "connected", "error")}
    for action in actor.actions:
        call = answered(f"call.{action.name}", f"reply.{action.name}", "error")
        found[f"{actor.name}.call.{action.name}"] = call
    events = ["event"] if actor.events is None else [f"event.{event.name}" for event in actor.events]
    for name in events:
        sent = {"action": "send", "channel": {"$ref": channel}, "messages": messages(name)}
        found[f"{actor.name}.{name}"] = sent
    return found


def _connect(actor: ActorInterface) -> dict[str, Any]:
    key = {
        "type": "array",
        "items": {"type": "string", "maxLength": MAX_NAME_CHARS},
        "maxItems": MAX_KEY_PARTS,
    }
    events = [event.name for event in actor.events or ()]
    listened = {"enum": events} if events else _NAME
    properties: dict[str, Any] = {
        "actor": {"const": actor.name},
        "lookup": {"enum": ["get_or_create", "get", "create", "id"]},
        "key": key,
        "actor_id": _NAME,
        "subscriptions": {"type": "array", "items": listened},
        "resume": {"type": "object"},
    }
    required = ["actor"]
    if actor.params is not None:
        properties["params"] = actor.params
        required += ["params"] if actor.params_required else []
    if actor.input is not None:
        properties["input"] = actor.input
    return _message(
        _array({"const": "connect"}, {"type": "object", "properties": properties, "required": required})
    )


def _connected(actor: ActorInterface) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "stream": _ID,
        "epoch": {"type": "string"},
        "offset": _OFFSET,
        "connection": {"type": "string"},
        "session": {"type": "string"},
        "actor_id": {"type": "string"},
        "window_s": {"type": "number"},
    }
    required = list(properties)
    if actor.snapshot is not None:
        properties["snapshot"] = actor.snapshot
    return _message(
        _array({"const": "connected"}, {"type": "object", "properties": properties, "required": required})
    )


def _error() -> dict[str, Any]:
    error = {
        "type": "object",
        "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "metadata": {}},
        "required": ["code", "message"],
    }
    id = {"anyOf": [_ID, {"type": "null"}]}
    return _message(_array({"const": "error"}, id, error), answered=True)


def _event(name: Schema, arguments: Schema) -> Schema:
    return _array({"const": "event"}, _ID, _OFFSET, name, arguments)


def _array(*items: Schema) -> Schema:
    return {"type": "array", "prefixItems": list(items), "minItems": len(items), "maxItems": len(items)}


def _message(payload: Schema, *, answered: bool = False) -> dict[str, Any]:
    correlated = {"correlationId": {"location": "$message.payload#/1"}} if answered else {}
    return {"payload": _draft_7(payload), **correlated}


def _draft_7(schema: Schema) -> Schema:
    """Return the schema as drafts before 2020-12 have it."""

    def change(each: Schema) -> Schema:
        if "prefixItems" in each:
            rest = each.pop("items", None)
            each["items"] = each.pop("prefixItems")
            if rest is not None:
                each["additionalItems"] = rest
        if "discriminator" in each:
            each["discriminator"] = each["discriminator"]["propertyName"]
        # Beside a reference, everything else would be ignored.
        if "$ref" in each and len(each) > 1:
            each = {"allOf": [{"$ref": each.pop("$ref")}], **each}
        return each

    return mapped(referring(schema, _TYPES), change)
