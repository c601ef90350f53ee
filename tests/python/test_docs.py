"""`docs/protocol.md` held against the code: its examples parse, its tables say what the code does."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringcast import errors
from ringcast.config import ServerConfig
from ringcast.errors import CloseCode, RingcastError, from_wire, may_come_back
from ringcast.server.handshake import PATH
from ringcast.server.replies import STATUS_BY_CODE
from ringcast.wire import protocol
from ringcast.wire.encoding import Encoding
from ringcast.wire.naming import RESERVED_EVENTS
from ringcast.wire.parsing import parse_address, parse_client_message, parse_server_message
from ringcast.wire.protocol import Connect, Connected, Gap, Resume

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
ENCODINGS = pytest.mark.parametrize("encoding", list(Encoding), ids=lambda encoding: encoding.name.lower())


def examples(kind: str) -> list[Any]:
    """Return the values in all blocks that are marked `json <kind>`; a block may hold several."""
    blocks = re.findall(rf"^```json {kind}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return [value for block in blocks for value in values(block.strip())]


def values(block: str) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    while block:
        value, end = decoder.raw_decode(block)
        yield value
        block = block[end:].lstrip()


def tables(*columns: str) -> list[list[list[str]]]:
    """Return the rows of each table with these columns, without backticks."""
    head = "| " + " | ".join(columns) + " |\n"
    found = []
    for rest in PAGE.split(head)[1:]:
        rows = rest.split("\n\n", 1)[0].splitlines()[1:]
        cells = [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]
        assert all(len(row) == len(columns) for row in cells)
        found.append(cells)
    return found


def table(*columns: str) -> list[list[str]]:
    [only] = tables(*columns)
    return only


def to_wire(message: Any) -> Any:
    return ["gap", message.to_wire()] if isinstance(message, Gap) else message.to_wire()


def error_classes(root: type[RingcastError] = RingcastError) -> Iterator[type[RingcastError]]:
    for cls in root.__subclasses__():
        if cls.__module__ == errors.__name__:
            yield cls
            yield from error_classes(cls)


@ENCODINGS
@pytest.mark.parametrize("value", examples("client"), ids=lambda value: str(value[0]))
def test_client_example_is_a_message(value: Any, encoding: Encoding) -> None:
    assert to_wire(parse_client_message(encoding, encoding.encode(value))) == value


@ENCODINGS
@pytest.mark.parametrize("value", examples("server"), ids=lambda value: str(value[0]))
def test_server_example_is_a_message(value: Any, encoding: Encoding) -> None:
    assert to_wire(parse_server_message(encoding, encoding.encode(value))) == value


@pytest.mark.parametrize("value", examples("http-request"))
def test_http_request_example_is_an_address_and_arguments(value: dict[str, Any]) -> None:
    assert isinstance(value.get("args", []), list)
    address = {name: value[name] for name in value if name != "args"}
    assert parse_address("newsRoom", value).to_wire() == ["connect", {"actor": "newsRoom", **address}]


@pytest.mark.parametrize("value", examples("http-error"))
def test_http_error_example_is_an_error_of_ours(value: dict[str, Any]) -> None:
    error = from_wire(value["error"])
    assert {"error": error.to_wire()} == value
    assert error.code in STATUS_BY_CODE


def test_every_block_of_json_is_marked_and_read() -> None:
    marks = re.findall(r"^```(.+)$", PAGE, re.MULTILINE)
    assert {mark.removeprefix("json ") for mark in marks} == {
        "client",
        "server",
        "http-request",
        "http-response",
        "http-error",
    }
    assert [set(value) for value in examples("http-response")] == [
        {"value"},
        {"actor_id", "key"},
        {"status", "version", "actors", "connections"},
    ]


def test_every_kind_of_message_is_listed_and_has_an_example() -> None:
    listed = {(side, kind) for side, kind, *_ in table("from", "kind", "array", "answered by")}
    assert listed == {(side, value[0]) for side in ("client", "server") for value in examples(side)}
    for side, union in (("client", protocol.ClientMessage), ("server", protocol.ServerMessage)):
        kinds = {cls.__name__.lower() for cls in typing.get_args(union)}
        assert {kind for by, kind in listed if by == side} == kinds


def test_every_field_of_connect_and_connected_is_described() -> None:
    described = [
        {name for row in rows for name in row[0].replace("`", "").split(", ")}
        for rows in tables("field", "type", "meaning")
    ]
    connected, resume = (set(cls.__dataclass_fields__) for cls in (Connected, Resume))
    assert described == [set(Connect._fields), connected, resume]
    connects = [value[1] for value in examples("client") if value[0] == "connect"]
    resumes = [connect["resume"] for connect in connects if "resume" in connect]
    assert [set(example) for example in resumes] == [resume]


def test_close_codes_and_their_advice_are_those_of_the_code() -> None:
    rows = table("code", "name", "who sends it", "come back?", "meaning")
    named = {name: int(code) for code, name, *_ in rows if name}
    assert named == {code.name: int(code) for code in CloseCode}
    advice = {int(code): come_back for code, _, _, come_back, _ in rows}
    assert advice == {code: "yes" if may_come_back(code) else "no" for code in advice}
    assert "Of other codes, 4500 to 4999 mean yes, all others no." in PAGE
    others = [code for code in range(1000, 5000) if code not in advice]
    assert [code for code in others if may_come_back(code)] == [code for code in others if code >= 4500]


def test_error_codes_are_those_of_the_code() -> None:
    listed = {code: cls for code, cls, *_ in table("code", "class", "made by", "meaning")}
    own = {cls.code: cls.__name__ for cls in error_classes() if "code" in vars(cls)}
    assert listed == {**own, "unknown_message": "ProtocolError"}


def test_errors_that_a_server_makes_are_raised_again_as_they_were_by_clients() -> None:
    rows = table("code", "class", "made by", "meaning")
    by_server = {code: cls for code, cls, maker, _ in rows if maker in ("server", "both")}
    raised = {code: type(from_wire({"code": code, "message": ""})).__name__ for code, *_ in rows}
    as_they_were = {code: cls for code, cls in by_server.items() if cls != "ProtocolError"}
    assert raised == {code: as_they_were.get(code, "UserError") for code in raised}


def test_http_statuses_are_those_of_the_code() -> None:
    assert {code: int(status) for status, code in table("status", "code")} == STATUS_BY_CODE


def test_limits_are_those_of_the_code() -> None:
    defaults = ServerConfig()
    rows = table("limit", "name in the code", "value", "past it")
    assert rows
    for _, name, value, _ in rows:
        assert float(value) == getattr(protocol if name.isupper() else defaults, name), name


def test_gap_reasons_are_those_of_the_code() -> None:
    reasons = {reason for reason, _ in table("reason", "meaning")}
    assert reasons == set(re.findall(r"`(\w+_\w+)`", str(Gap.__doc__)))


def test_names_of_the_endpoint_are_those_of_the_code() -> None:
    offered = [row[0] for row in table("subprotocol", "messages are", "in")]
    assert offered == [encoding.subprotocol for encoding in Encoding]
    assert f"WebSocket (RFC 6455) at `{PATH}`" in PAGE


def test_reserved_names_are_those_of_the_code() -> None:
    [sentence] = re.findall(r"^Seven names never occur.*?:(.*?)\.", PAGE, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) == RESERVED_EVENTS


def test_the_architecture_lists_every_module() -> None:
    project = Path(__file__).parents[2]
    page = (project / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| ((?:`[\w/]+\.(?:py|rs)`(?:, )?)+) \|", page, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(.+?)`", row)}
    python, rust = project / "python" / "ringcast", project / "rust_core" / "src"
    modules = {path.relative_to(python).as_posix() for path in python.rglob("*.py")}
    modules -= {name for name in modules if name.endswith("/__init__.py")}
    assert listed == modules | {path.relative_to(rust).as_posix() for path in rust.rglob("*.rs")}
