"""What is generated of annotations, held against what a server really sends and takes.

That its TypeScript compiles, and refuses what is wrong, is tested with the TypeScript client.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from kinds import KINDS, registry
from openapi_spec_validator import OpenAPIV31SpecValidator
from served import HERE, OPTIONS
from websockets.asyncio.client import connect

import programs
import ringcast.demo
from ringcast.describe import interface_of, typescript
from ringcast.wire.naming import camel_case
from shown import shown

GENERATED = [
    (registry, "kinds:registry", HERE / "kinds.d.ts"),
    (
        ringcast.demo.registry,
        "ringcast.demo:registry",
        Path(ringcast.demo.__file__).with_name("registry.d.ts"),
    ),
]
ONE_WAY = "model_of_its_own_mind"
"""Serializes itself as what it does not take."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with programs.serve("kinds:registry", *OPTIONS, cwd=HERE) as server:
        yield server.url


@pytest.fixture(scope="module")
def openapi(url: str) -> dict[str, Any]:
    return httpx.get(f"{url}/openapi.json").raise_for_status().json()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def asyncapi(url: str) -> dict[str, Any]:
    return httpx.get(f"{url}/asyncapi.json").raise_for_status().json()  # type: ignore[no-any-return]


def give(name: str) -> str:
    return f"/actors/kinds/actions/{camel_case(f'give_{name}')}"


def take(name: str) -> str:
    return f"/actors/kinds/actions/{camel_case(f'take_{name}')}"


def fits(document: dict[str, Any], schema: dict[str, Any], value: Any) -> bool:
    """Tell whether a value is what a schema in a document says."""
    return Draft202012Validator({**schema, "components": document["components"]}).is_valid(value)


def body_of(document: dict[str, Any], path: str) -> dict[str, Any]:
    content = document["paths"][path]["post"]["requestBody"]["content"]
    return content["application/json"]["schema"]  # type: ignore[no-any-return]


def answer_of(document: dict[str, Any], path: str) -> dict[str, Any]:
    content = document["paths"][path]["post"]["responses"]["200"]["content"]
    return content["application/json"]["schema"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(("described", "place", "path"), GENERATED, ids=lambda each: shown(each)[-15:-1])
def test_the_committed_types_are_those_of_the_annotations(described: Any, place: str, path: Path) -> None:
    interface = interface_of(described)
    assert typescript(interface, f"ringcast types {place}") == path.read_text()
    assert interface.remarks == ()


def test_the_documents_do_not_depend_on_who_makes_them() -> None:
    commands = ("types", "openapi", "asyncapi")
    for command in commands:
        first, second = (programs.run(command, "kinds:registry", cwd=HERE) for _ in range(2))
        assert first.code == second.code == 0
        assert first.out == second.out
        assert first.err == []


def test_the_openapi_document_is_one(openapi: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(openapi).validate()
    with pytest.raises(Exception, match="paths"):
        OpenAPIV31SpecValidator({**openapi, "paths": []}).validate()


@pytest.mark.parametrize("name", KINDS)
def test_what_comes_over_http_is_what_the_document_says(url: str, openapi: dict[str, Any], name: str) -> None:
    told = httpx.post(url + give(name), json={"key": ["a"]}).raise_for_status().json()
    answer = answer_of(openapi, give(name))
    assert fits(openapi, answer, told)
    # Nothing that the schema would let pass whatever it is.
    assert name == "anything" or not fits(openapi, answer, {"value": [[1.5]]})
    if name == ONE_WAY:
        return
    body = {"key": ["a"], "args": [told["value"]]}
    assert fits(openapi, body_of(openapi, take(name)), body)
    assert httpx.post(url + take(name), json=body).status_code == 200


@pytest.mark.parametrize("name", [name for name in KINDS if name != "anything"])
def test_what_the_document_does_not_allow_is_refused(url: str, openapi: dict[str, Any], name: str) -> None:
    wrong = {"key": ["a"], "args": [[{"no": ["such", {}]}]]}
    if name == "recursive":
        wrong = {"key": ["a"], "args": [[1.5]]}
    for body in (wrong, {"key": ["a"]}, {"key": ["a"], "args": [None, None]}):
        assert not fits(openapi, body_of(openapi, take(name)), body)
        response = httpx.post(url + take(name), json=body)
        assert (response.status_code, response.json()["error"]["code"]) == (422, "validation_error")


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        ({}, True),
        ({"key": ["a"], "lookup": "get"}, False),  # it does not exist
        ({"key": ["new"], "lookup": "create", "attempt": "x"}, True),
        ({"key": ["a"], "attempt": "x"}, False),
        ({"lookup": "id"}, False),
        ({"actor_id": "x"}, False),
        ({"key": "a"}, False),
        ({"key": ["a"] * 17}, False),
        ({"key": ["a" * 129]}, False),
        ({"lookup": "find"}, False),
    ],
    ids=str,
)
def test_addresses_are_what_the_document_says(
    url: str, openapi: dict[str, Any], address: dict[str, Any], is_one: bool
) -> None:
    path = "/actors/silent/resolve"
    response = httpx.post(url + path, json=address)
    assert (response.status_code == 200) is is_one
    if response.status_code == 404:
        assert fits(openapi, body_of(openapi, path), address)
    else:
        assert fits(openapi, body_of(openapi, path), address) is is_one
    content = openapi["components"]["responses"]["refused"]["content"] if not is_one else None
    if content:
        assert fits(openapi, content["application/json"]["schema"], response.json())


def messages_of(document: dict[str, Any], actor: str) -> dict[str, Draft7Validator]:
    return {
        name: Draft7Validator({**message["payload"], "components": document["components"]})
        for name, message in document["channels"][actor]["messages"].items()
    }


async def test_the_messages_of_a_connection_are_what_the_document_says(
    url: str, asyncapi: dict[str, Any]
) -> None:
    messages = messages_of(asyncapi, "kinds")
    opening = ["connect", {"actor": "kinds", "key": ["b"], "subscriptions": list(KINDS)}]
    address = url.replace("http", "ws") + asyncapi["channels"]["kinds"]["address"]
    ids = itertools.count(1)
    async with connect(address, subprotocols=["ringcast.v1.json"]) as socket:  # type: ignore[list-item]
        assert messages["connect"].is_valid(opening)
        await socket.send(json.dumps(opening))
        assert messages["connected"].is_valid(json.loads(await socket.recv()))
        for name in KINDS:
            action = camel_case(f"give_{name}")
            call = ["call", next(ids), action, []]
            assert messages[f"call.{action}"].is_valid(call)
            await socket.send(json.dumps(call))
            event, reply = json.loads(await socket.recv()), json.loads(await socket.recv())
            assert messages[f"event.{name}"].is_valid(event), event
            assert messages[f"reply.{action}"].is_valid(reply), reply
            assert not messages[f"event.{name}"].is_valid([*event[:4], [[[{}]], 1]])
        refused = ["call", next(ids), "takeText", [1]]
        assert not messages["call.takeText"].is_valid(refused)
        await socket.send(json.dumps(refused))
        assert messages["error"].is_valid(json.loads(await socket.recv()))


async def test_parameters_input_and_snapshot_are_those_of_the_actor(
    url: str, asyncapi: dict[str, Any]
) -> None:
    messages = messages_of(asyncapi, "shop")
    address = url.replace("http", "ws") + "/connect"
    fields: dict[str, Any] = {
        "actor": "shop",
        "key": ["c"],
        "input": {"title": "Ours"},
        "params": {"name": "ann"},
    }
    for left_out in (None, "params", "input"):
        opening = ["connect", {name: value for name, value in fields.items() if name != left_out}]
        if left_out == "input":
            opening[1]["key"] = ["another"]  # one that would be created
        # What an actor is created from is not needed where it exists.
        assert messages["connect"].is_valid(opening) is (left_out != "params")
        async with connect(address, subprotocols=["ringcast.v1.json"]) as socket:  # type: ignore[list-item]
            await socket.send(json.dumps(opening))
            told = json.loads(await socket.recv())
        kind = "connected" if left_out is None else "error"
        assert messages[kind].is_valid(told), told
        assert left_out or told[1]["snapshot"] == {"title": "Ours", "items": []}
