"""Server-sent events out of bytes, against the rules of WHATWG HTML and a parser written from them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from event_source import Parser
from ringcast.client.event_lines import EventLines
from ringcast.errors import CloseCode, ProtocolError

FIELDS = ("data", "data:", "data: a", "data:  b", "data:c:d", "data: größe 😀", "data: \0", "event: x")
OTHERS = ("", "event", ":", ": comment", "id", "id: e:1", "retry: 10", "nonsense", " data: x")
LINES = st.sampled_from(FIELDS + OTHERS)
ENDS = st.sampled_from(["\n", "\r", "\r\n"])


@given(
    st.lists(st.tuples(LINES, ENDS), max_size=20),
    st.lists(st.integers(1, 8), min_size=1, max_size=10),
    st.booleans(),
)
@example([("data: a", "\r\n"), ("", "\r\n"), ("data: b", "\r"), ("", "\n")], [1], True)
@example([("data: a", "\r"), ("", "\n"), ("", "\n")], [1], False)
def test_any_stream_in_any_parts(lines: list[tuple[str, str]], sizes: list[int], bom: bool) -> None:
    stream = (("\ufeff" if bom else "") + "".join(line + end for line, end in lines)).encode()
    expected = [(message.type, message.data) for message in Parser().feed(stream)]
    parser, got, at, turn = EventLines(1000), [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        got += parser.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert [(event.kind, event.data.decode()) for event in got] == expected


def test_an_event_that_never_ends_is_given_up() -> None:
    parser = EventLines(100)
    assert parser.feed(b"data: " + b"x" * 90 + b"\n\n") != []
    parser.feed(b"data: " + b"x" * 90)
    with pytest.raises(ProtocolError, match="too long") as raised:
        parser.feed(b"x" * 10)
    assert raised.value.close_code == CloseCode.MESSAGE_TOO_BIG
