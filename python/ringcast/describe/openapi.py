"""Calls without a connection as an OpenAPI 3.1 document: each action of each actor is a path. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from ..wire.protocol import MAX_KEY_PARTS, MAX_NAME_CHARS
from .interface import ActionInterface, ActorInterface, Interface, Schema, arguments_schema, referring

__all__ = ["openapi"]

_TYPES: Final = "#/components/schemas/"
# A point keeps ours apart from classes of these names.
_ADDRESS: Final = "ringcast.Address"
_ERROR: Final = "ringcast.Error"


def openapi(
    interface: Interface,
    statuses: Mapping[str, int],
    *,
    below: str = "",
    title: str = "Actors",
    version: str = "1.0.0",
) -> dict[str, Any]:
    """Return the document. `statuses` has the HTTP status of each error code, and `below` is the path below
    which the server has all of it, as text, if that is not its root."""
    paths: dict[str, Any] = {}
    for actor in interface.actors:
        for action in actor.actions:
            paths[f"/actors/{actor.name}/actions/{action.name}"] = {"post": _call(actor, action)}
        paths[f"/actors/{actor.name}/resolve"] = {"post": _resolve(actor)}
    paths["/health"] = {"get": _health()}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": _ABOUT},
        # Also because braces would make a variable of what stands between them.
        **({"servers": [{"url": quote(below)}]} if below else {}),
        "tags": [_tag(actor) for actor in interface.actors],
        "paths": paths,
        "components": {
            "schemas": {
                **{name: referring(schema, _TYPES) for name, schema in interface.types.items()},
                _ADDRESS: _address(),
                _ERROR: _error(),
            },
            "parameters": {"key": _KEY},
            "responses": {
                "refused": _failed("The call is not served, or the action refused it.", statuses, 400),
                "failed": _failed("The server failed, or stops.", statuses, 500),
            },
        },
    }


_ABOUT: Final = (
    "Actions called without a connection, one HTTP request each. To such an action there is no calling "
    "connection: those that ask for one answer with `not_connected`. Bodies are JSON or MessagePack, as "
    "Content-Type and Accept say."
)

_MEDIA_TYPES: Final = ("application/json", "application/msgpack")

_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Made up anew for each call, and the same when it is sent again: the action runs once, "
    "and a repeat has the recorded answer. With another body it is refused.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def _tag(actor: ActorInterface) -> dict[str, Any]:
    return {"name": actor.name, **({"description": actor.description} if actor.description else {})}


def _call(actor: ActorInterface, action: ActionInterface) -> dict[str, Any]:
    body: Schema = {"type": "object", "properties": {"args": arguments_schema(action.arguments)}}
    if actor.call_params is not None:
        about = {"description": "What the actor lets callers in by, as for a connection."}
        body["properties"]["params"] = {**about, "allOf": [actor.call_params]}
    required = [
        *(["args"] if body["properties"]["args"].get("minItems") else []),
        *(["params"] if actor.call_params_required else []),
    ]
    if required:
        body["required"] = required
    answer = {"type": "object", "properties": {"value": action.result}, "required": ["value"]}
    summary, _, rest = (action.description or "").partition("\n")
    return {
        "operationId": f"{actor.name}.{action.name}",
        "tags": [actor.name],
        **({"summary": summary} if summary else {}),
        **({"description": rest.strip()} if rest.strip() else {}),
        "parameters": [{"$ref": "#/components/parameters/key"}],
        "requestBody": _body(actor, body),
        "responses": _responses("What the action returned.", answer),
    }


def _resolve(actor: ActorInterface) -> dict[str, Any]:
    answer: Schema = {
        "type": "object",
        "properties": {"actor_id": {"type": "string"}, "key": {"type": "array", "items": {"type": "string"}}},
        "required": ["actor_id", "key"],
    }
    return {
        "operationId": f"{actor.name}.resolve",
        "tags": [actor.name],
        "summary": "Find the actor, creating it where `lookup` says so; run nothing.",
        "requestBody": _body(actor, {"type": "object"}),
        "responses": _responses("The actor that the address names.", answer),
    }


def _health() -> dict[str, Any]:
    count = {"type": "integer", "minimum": 0}
    properties = {
        "status": {"const": "ok"},
        "version": {"type": "string"},
        "actors": count,
        "connections": count,
    }
    answer = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "operationId": "health",
        "summary": "Tell that the server runs, and how much it has to do.",
        "responses": {"200": _json("It runs.", answer)},
    }


def _body(actor: ActorInterface, body: Schema) -> dict[str, Any]:
    if actor.input is not None:
        input = {"description": "What the actor is created from, if this creates it.", "allOf": [actor.input]}
        body = {**body, "properties": {**body.get("properties", {}), "input": input}}
    own = [] if body == {"type": "object"} else [referring(body, _TYPES)]
    schema = {"allOf": [{"$ref": _TYPES + _ADDRESS}, *own]}
    return {"required": True, "content": _content(schema)}


def _content(schema: Schema) -> dict[str, Any]:
    return {media_type: {"schema": schema} for media_type in _MEDIA_TYPES}


def _json(description: str, schema: Schema) -> dict[str, Any]:
    content = {"application/json": {"schema": referring(schema, _TYPES)}}
    return {"description": description, "content": content}


def _responses(description: str, answer: Schema) -> dict[str, Any]:
    return {
        "200": {"description": description, "content": _content(referring(answer, _TYPES))},
        "4XX": {"$ref": "#/components/responses/refused"},
        "5XX": {"$ref": "#/components/responses/failed"},
    }


def _failed(description: str, statuses: Mapping[str, int], first: int) -> dict[str, Any]:
    codes: dict[int, list[str]] = {}
    for code, status in sorted(statuses.items(), key=lambda item: (int(item[1]), item[0])):
        if first <= status < first + 100:
            codes.setdefault(int(status), []).append(f"`{code}`")
    lines = [f"- {status}: {', '.join(of_status)}" for status, of_status in codes.items()]
    if first == 400:
        lines.append("- 400 as well: any code that the action's author chose")
    return {
        "description": "\n".join([description, "", *lines]),
        "content": _content({"$ref": _TYPES + _ERROR}),
    }


def _error() -> Schema:
    error = {
        "type": "object",
        "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "metadata": {}},
        "required": ["code", "message"],
    }
    return {"type": "object", "properties": {"error": error}, "required": ["error"]}


def _address() -> Schema:
    key = {
        "type": "array",
        "items": {"type": "string", "maxLength": MAX_NAME_CHARS},
        "maxItems": MAX_KEY_PARTS,
        "description": "Which instance of the actor.",
    }
    name = {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARS}
    found = {"enum": ["get_or_create", "get"], "default": "get_or_create"}
    attempt = {**name, "description": "The same for every try to create this one, and of no other."}
    return {
        "description": "Which actor: by its key, to be created with it, or by its id.",
        "oneOf": [
            {
                "title": "by key",
                "type": "object",
                "properties": {"key": key, "lookup": found, "actor_id": False, "attempt": False},
            },
            {
                "title": "to be created",
                "type": "object",
                "properties": {
                    "key": key,
                    "lookup": {"const": "create"},
                    "attempt": attempt,
                    "actor_id": False,
                },
                "required": ["lookup"],
            },
            {
                "title": "by id",
                "type": "object",
                "properties": {"lookup": {"const": "id"}, "actor_id": name, "attempt": False},
                "required": ["lookup", "actor_id"],
            },
        ],
    }
