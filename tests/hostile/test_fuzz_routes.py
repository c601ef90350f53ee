"""Whatever is asked for over HTTP, the answer is one that the server's own document has, and no failure.

What fits the document is drawn from it, and so is what does not: schemathesis. What is no request of any
document is written by hand, and drawn byte by byte.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS
from schemathesis.core.transport import Response
from schemathesis.openapi.checks import RejectedPositiveData

import programs

from .attackers import Attacker, Attackers
from .conftest import Siege
from .drawing import FEW, SETTINGS, TIMES, damaged

PLACE = programs.PROJECT / "tests" / "integration"
# By the command: another module of this name belongs to the tests of documents.
DOCUMENT = json.loads("\n".join(programs.run("openapi", "kinds:registry", cwd=PLACE).out))
# What is drawn is JSON: not all of it can be said in MessagePack, which tests of the encodings are about.
for path in DOCUMENT["paths"].values():
    for operation in path.values():
        if "requestBody" in operation:
            del operation["requestBody"]["content"]["application/msgpack"]

schema = schemathesis.openapi.from_dict(DOCUMENT)
# It takes the items of a tuple, as OpenAPI 3.1 has them, for those of an older draft.
schema = schema.exclude(path_regex="givePair|giveNamedTuple")
if TIMES == 1:
    # A hundred actions take minutes: one of a kind, of the actors that have more to them.
    schema = schema.exclude(path_regex="/kinds/actions/(give|take[^DL])")
CHECKED = [
    CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
        "allow_header_conformance",
    )
]
"""Not among them is that whatever does not fit is refused: the server takes what pydantic converts as well,
as 1 for a date. What it has to refuse is tested with the documents."""
NOT_SENT = object()


def refused_by(read: Callable[[str], object]) -> Callable[[Any], bool]:
    """Tell of text whether Python itself cannot read it."""

    def refused(value: Any) -> bool:
        try:
            return isinstance(value, str) and read(value) is None
        except (ValueError, InvalidOperation):
            return True

    return refused


UNSAID: dict[str, Callable[[Any], bool]] = {
    # Which text is a decimal.
    "decimal_parsing": refused_by(Decimal),
    # Which times, days and moments there are: RFC 3339 has a second 60, and a year 0.
    "time_parsing": refused_by(dt.time.fromisoformat),
    "date_parsing": refused_by(dt.date.fromisoformat),
    "datetime_parsing": refused_by(dt.datetime.fromisoformat),
    "datetime_from_date_parsing": refused_by(dt.datetime.fromisoformat),
    # That the keys of an object are numbers. Other integers are none that have to be parsed.
    "int_parsing": lambda key: isinstance(key, str) and not re.fullmatch("[+-]?[0-9]+", key),
    # How large an integer may be; one of more than 64 bits is read as a float.
    "int_parsing_size": lambda value: (
        isinstance(value, int | float)
        and not -(2**63) <= value < (2**64 if isinstance(value, int) else 2**63)
    ),
    # That what tells kinds apart may not be left out, although it has a default.
    "union_tag_not_found": lambda value: isinstance(value, dict) and "method" not in value,
    # That an actor which is to be created may need an input.
    "dataclass_type": lambda value: value is NOT_SENT,
}
"""What the document does not say, by the type of the problem with values that fit it: of which values it may
be said."""


def part_of(value: Any, part: str) -> Any:
    """Return what `part` of a problem's path leads to in `value`; `NOT_SENT` if it names a type instead."""
    if isinstance(value, dict) and part in value:
        return value[part]
    if isinstance(value, list) and part.isdecimal():
        return value[int(part)]
    return NOT_SENT


def is_unsaid(problems: list[tuple[list[str], str]], value: Any) -> bool:
    """Tell whether `value`, which fits the document, may have these problems, given as paths and types.

    All that its parts have must be unsaid. Where it may be of several types, each tells what is wrong, and
    the document says that it is of one.
    """
    by_part: dict[str, list[tuple[list[str], str]]] = {}
    for path, kind in problems:
        if not path:
            if kind not in UNSAID or not UNSAID[kind](value):
                return False
        elif path[1:] == ["[key]"]:  # not about what is there: about its key
            if not is_unsaid([([], kind)], path[0]):
                return False
        else:
            by_part.setdefault(path[0], []).append((path[1:], kind))
    of_types: list[bool] = []
    for part, inside in by_part.items():
        inner = part_of(value, part)
        if inner is NOT_SENT:
            of_types.append(is_unsaid(inside, value))
        elif not is_unsaid(inside, inner):
            return False
    return not of_types or any(of_types)


def what_fits_is_taken(ctx: schemathesis.CheckContext, response: Response, case: schemathesis.Case) -> None:
    """schemathesis' own check, which knows nothing of what is `UNSAID`."""
    try:
        CHECKS.get_one("positive_data_acceptance")(ctx, response, case)
    except RejectedPositiveData:
        said, body = response.json()["error"].get("metadata", {}), case.body
        assert isinstance(body, dict)
        # Which of the arguments it is, is not said by the document for all of them.
        values = [body.get("input", NOT_SENT)] if said.get("argument") == "input" else body["args"]
        problems = [(problem["path"], problem["type"]) for problem in said.get("problems", ())]
        if not problems or not any(is_unsaid(problems, value) for value in values):
            raise


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with programs.serve("kinds:registry", "--log-level", "error", cwd=PLACE) as server:
        yield server.url


@schema.parametrize()
@settings(SETTINGS, max_examples=4 * TIMES)
def test_every_action_does_what_its_document_says(case: schemathesis.Case, url: str) -> None:
    # Two requests with one key are one request, and two with one key that say different things are a mistake.
    if case.headers is not None and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid4().hex
    case.call_and_validate(base_url=url, checks=[*CHECKED, what_fits_is_taken])


CALL = (
    b"POST /actors/room/actions/take HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n"
    b"content-length: 19\r\n\r\n" + b'{"args":[1,"two"]} '
)
REQUESTS = [
    CALL,
    CALL.replace(b"content-length: 19", b"transfer-encoding: chunked").replace(b'{"', b'13\r\n{"')
    + b"\r\n0\r\n\r\n",
    CALL.replace(b"actions/take", b"resolve"),
    CALL.replace(b"actions/take", b"events"),
    CALL.replace(b"actors/room/actions/take", b"session/messages"),
    b"GET /actors/room/events?key=a&subscribe=said&params=%7B%7D HTTP/1.1\r\nhost: here\r\n"
    b"last-event-id: e:3\r\n\r\n",
    b"DELETE /session HTTP/1.1\r\nhost: here\r\nringcast-session: x\r\n\r\n",
    b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n",
    b"GET /connect HTTP/1.1\r\nhost: here\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    b"sec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-protocol: ringcast.v1.json\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n",
]
WRONG = [
    (CALL.replace(b": 19", b": -19"), 400),
    (CALL.replace(b": 19", b": +19"), 400),
    (CALL.replace(b": 19", b": 99999999999999999999999"), 400),
    (CALL.replace(b": 19", b": 19\r\ncontent-length: 20"), 400),
    (CALL.replace(b": 19", b": 19\r\ntransfer-encoding: chunked"), 400),
    (CALL.replace(b": 19", b": 0"), 400),
    (CALL.replace(b": 19\r\n", b": 12\r\n"), 400),
    (CALL.replace(b"application/json", b"text/plain"), 415),
    (CALL.replace(b"application/json", b"application/x-www-form-urlencoded"), 415),
    (CALL.replace(b"content-type: application/json\r\n", b""), 415),
    (CALL.replace(b'{"args":[1,"two"]} ', b"\xff" * 19), 400),
    (CALL.replace(b'{"args":[1,"two"]} ', b"\x00" * 19), 400),
    (CALL.replace(b'{"args":[1,"two"]} ', b'["args",[1,"two"]] '), 400),
    (CALL.replace(b'{"args":[1,"two"]} ', b'{"args":"1, two"}  '), 400),
    (CALL.replace(b'{"args":[1,"two"]} ', b'{"key":"1, two"}   '), 400),
    (CALL.replace(b"host: here\r\n", b"host: here\r\nhost\r\n"), 400),
    (CALL.replace(b"room", b"%ff%fe"), 404),
    (CALL.replace(b"room", b"room%00"), 404),
    (CALL.replace(b"room", b"a" * 4000), 400),
    (CALL.replace(b"take", b"a" * 4000), 404),
    (CALL.replace(b"POST", b"PUT"), 405),
    (CALL.replace(b"POST", b"BREW"), 400),
    (CALL.replace(b"/actors/room/actions/take", b"*"), 404),
    (CALL.replace(b"/actors", b"//actors"), 404),
    (CALL.replace(b"/actors", b"/../actors"), 404),
]


async def test_requests_that_are_wrong(hasty_siege: Siege) -> None:
    def attack(attackers: Attackers) -> None:
        for request, status in WRONG:
            asking = attackers.open()
            asking.send(request)
            answer = asking.read_response()
            assert answer.status == status, (request, answer)
            assert answer.body, "an answer says what was wrong"

    await hasty_siege.withstand(attack)


def answered(asking: Attacker) -> None:
    """See that all that comes is answers, none of which tells of a failure."""
    asking.end()
    said = asking.rest()
    assert b"internal_error" not in said and b"Internal Server Error" not in said, said
    assert not said or said.startswith(b"HTTP/1.1 "), said


async def test_requests_that_were_damaged(hasty_siege: Siege) -> None:
    """One behind the other, in one write: pipelined, cut off, and run into each other."""

    def attack(attackers: Attackers) -> None:
        @given(data=st.data())
        @FEW
        def fuzz(data: st.DataObject) -> None:
            requests = data.draw(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=4))
            asking = attackers.open()
            asking.send_until_refused(data.draw(damaged(b"".join(requests))))
            answered(asking)

        fuzz()

    await hasty_siege.withstand(attack)


async def test_any_bytes_for_a_request(hasty_siege: Siege) -> None:
    words = st.sampled_from(
        [b"GET ", b"POST ", b"/connect", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b"host: a", b": "]
    )

    def attack(attackers: Attackers) -> None:
        @given(parts=st.lists(st.binary(max_size=30) | words, max_size=12))
        @FEW
        def fuzz(parts: list[bytes]) -> None:
            asking = attackers.open()
            asking.send_until_refused(b"".join(parts))
            answered(asking)

        fuzz()

    await hasty_siege.withstand(attack)


HEADERS = [
    b"upgrade: websocket", b"upgrade: h2c", b"connection: upgrade", b"connection: keep-alive, Upgrade",
    b"sec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==", b"sec-websocket-key: x", b"sec-websocket-version: 13",
    b"sec-websocket-version: 12", b"sec-websocket-protocol: ringcast.v1.json",
    b"sec-websocket-protocol: soap",
    b"sec-websocket-extensions: permessage-deflate", b"sec-websocket-extensions: a;;b=\xff",
    b"host: a", b"host:",
    b"origin: http://a", b"origin: \xe9", b"cookie: a=b", b"x-forwarded-for: 1.2.3.4", b"content-length: 3",
    b"transfer-encoding: chunked", b"content-length: -1", b": x", b"x", b"\xff: y",
    b"a b: c", b"expect: 100-continue",
]  # fmt: skip


async def test_any_head_of_an_upgrade(hasty_siege: Siege) -> None:
    """It is upgraded, with the headers of RFC 6455 for that, or refused with a reason."""
    lines = st.lists(st.sampled_from(HEADERS), unique=True, max_size=len(HEADERS)).flatmap(st.permutations)
    targets = st.sampled_from(
        [b"/connect", b"/connect?a=\xff", b"http://a/connect", b"/", b"", b"connect", b"//"]
    )

    def attack(attackers: Attackers) -> None:
        @given(target=targets, lines=lines, wanted=st.booleans(), data=st.data())
        @FEW
        def fuzz(target: bytes, lines: list[bytes], wanted: bool, data: st.DataObject) -> None:
            if wanted:
                lines = [*HEADERS[:3:2], HEADERS[4], HEADERS[6], HEADERS[8], b"host: a", *lines[:3]]
            head = b"\r\n".join([b"GET " + target + b" HTTP/1.1", *lines]) + b"\r\n\r\n"
            asking = attackers.open()
            # In one read or in two: they go different ways.
            cut = data.draw(st.integers(0, len(head)))
            asking.send_until_refused(head[:cut])
            asking.send_until_refused(head[cut:] + b"\x00\x01")
            answered(asking)

        fuzz()

    await hasty_siege.withstand(attack)
