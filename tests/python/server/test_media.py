"""Content-Type and Accept: what a body is, and what an answer is to be."""

from __future__ import annotations

import pytest

from ringcast.server.media import JSON, MEDIA_TYPES, Media, sent_as, wanted
from ringcast.wire.encoding import Encoding

MSGPACK = MEDIA_TYPES["application/msgpack"]


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("application/json", Encoding.JSON),
        ("Application/JSON; charset=utf-8", Encoding.JSON),
        ("application/msgpack", Encoding.MSGPACK),
        ("application/vnd.msgpack", Encoding.MSGPACK),
        ("application/x-msgpack", Encoding.MSGPACK),
        ("text/plain", None),
        ("", None),
    ],
)
def test_content_type(content_type: str, encoding: Encoding | None) -> None:
    media = sent_as(content_type)
    assert (None if media is None else media.encoding) == encoding


@pytest.mark.parametrize(
    ("accept", "otherwise", "expected"),
    [
        ("", JSON, "application/json"),
        ("", MSGPACK, "application/msgpack"),
        ("*/*", MSGPACK, "application/msgpack"),
        ("application/*", JSON, "application/json"),
        ("application/msgpack", JSON, "application/msgpack"),
        ("application/x-msgpack", JSON, "application/x-msgpack"),
        ("application/json;q=0.1, application/vnd.msgpack", JSON, "application/vnd.msgpack"),
        ("APPLICATION/MSGPACK ; q=0.5 , */* ; q=0.1", JSON, "application/msgpack"),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON, "application/json"),
        # The most particular range counts.
        ("*/*, application/json;q=0", JSON, "application/msgpack"),
        ("application/json;q=0", JSON, None),
        ("text/html", JSON, None),
        ("application/json;q=many", JSON, None),
        (", ,", JSON, None),
    ],
)
def test_accept(accept: str, otherwise: Media, expected: str | None) -> None:
    media = wanted(accept, otherwise)
    assert (None if media is None else media.type) == expected
