"""The short way of an upgrade request: taken only for what uvicorn's parser takes for the same."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringcast.server.first_read import MAX_HEAD_BYTES, plain_upgrade, whole_upgrade

TO_CONNECT = whole_upgrade()
LINES = (
    b"host: here",
    b"upgrade: websocket",
    b"connection: keep-alive, Upgrade",
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
)


def head(*lines: bytes, first: bytes = b"GET /connect HTTP/1.1") -> bytes:
    return b"\r\n".join((first, *lines)) + b"\r\n\r\n"


class Parsed:
    """What uvicorn's parser makes of the same bytes."""

    def __init__(self, data: bytes) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.upgrades = self.complete = False
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.complete = upgrade.args[0] == len(data)
            values = dict(self.headers)
            tokens = [token.strip().lower() for token in values[b"connection"].split(b",")]
            self.upgrades = b"upgrade" in tokens and values[b"upgrade"].lower() == b"websocket"
        except httptools.HttpParserError:
            pass
        self.is_get = parser.get_method() == b"GET" and parser.get_http_version() == "1.1"

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))


@pytest.mark.parametrize(
    "request_",
    [
        head(*LINES),
        head(*LINES, first=b"GET /connect?token=x&y HTTP/1.1"),
        head(*LINES, b"origin: http://a.example", b"cookie: " + b"c" * 4000, b"x-empty:", b"x-latin: \xe9"),
        head(b"Host:here", b"Upgrade: \tWebSocket", b"Connection:\tUPGRADE"),
    ],
    ids=["plain", "query", "other headers", "other spelling"],
)
def test_plain(request_: bytes) -> None:
    assert plain_upgrade(request_, TO_CONNECT)


@pytest.mark.parametrize(
    "request_",
    [
        head(*LINES)[:-1],
        head(*LINES) + b"\x89",
        head(*LINES, first=b"GET /connects HTTP/1.1"),
        head(*LINES, first=b"GET http://here/connect HTTP/1.1"),
        head(*LINES, first=b"POST /connect HTTP/1.1"),
        head(*LINES, first=b"GET /connect HTTP/1.0"),
        head(*LINES, first=b"GET /connect?a b HTTP/1.1"),
        head(*LINES, b"content-length: 5"),
        head(*LINES, b"Transfer-Encoding: chunked"),
        head(*LINES, b"connection: close"),
        head(*LINES, b"upgrade: h2c"),
        head(*LINES, b"no colon"),
        head(*LINES, b" folded: x"),
        head(*LINES, b"name : x"),
        head(*LINES, b"bell: \x07"),
        head(*LINES, b"bare: \n x"),
        head(*LINES, b"cookie: " + b"c" * MAX_HEAD_BYTES),
        head(b"host: here"),
        head(b"host: here", b"connection: upgrades", b"upgrade: websocket"),
        head(b"host: here", b"connection: upgrade", b"upgrade: websocket2"),
        head(b"host: here", b"connection: upgrade", b"upgrade: websocket "),
    ],
)
def test_left_to_the_parser(request_: bytes) -> None:
    assert not plain_upgrade(request_, TO_CONNECT)


OTHER_LINES = st.one_of(
    st.sampled_from(
        [
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"upgrade: websocket\t",
            b"content-length: 0",
            b"x: y",
        ]
    ),
    st.binary(max_size=8),
    st.builds(lambda name, value: name + b":" + value, st.binary(max_size=4), st.binary(max_size=6)),
)


@given(
    lines=st.lists(st.one_of(st.sampled_from(LINES), OTHER_LINES), max_size=6),
    query=st.binary(max_size=4),
)
def test_never_plain_where_the_parser_sees_something_else(lines: list[bytes], query: bytes) -> None:
    data = head(*lines, *LINES[:3], first=b"GET /connect?" + query + b" HTTP/1.1")
    for candidate in (data, head(*lines), head(*LINES, *lines)):
        if plain_upgrade(candidate, TO_CONNECT):
            parsed = Parsed(candidate)
            assert parsed.upgrades and parsed.complete and parsed.is_get
            first, *rest = candidate[:-4].split(b"\r\n")
            assert first == b"GET " + parsed.url + b" HTTP/1.1"
            sent = [(line.partition(b":")[0].lower(), line.partition(b":")[2].strip(b" \t")) for line in rest]
            assert [(name, value.strip(b" \t")) for name, value in parsed.headers] == sent
