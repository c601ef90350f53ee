"""In which encoding a request is written, and in which one it is answered: by its headers, pure.

RFC 9110, sections 8.3 (Content-Type) and 12.5.1 (Accept). Reading and writing is done in `replies.py`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..wire.encoding import Encoding

__all__ = ["JSON", "MEDIA_TYPES", "Media", "sent_as", "wanted"]


class Media(NamedTuple):
    """An encoding, by the name that a client has for it."""

    encoding: Encoding
    type: str


JSON: Final = Media(Encoding.JSON, "application/json")

MEDIA_TYPES: Final = {
    media.type: media
    for media in (
        JSON,
        Media(Encoding.MSGPACK, "application/msgpack"),
        Media(Encoding.MSGPACK, "application/vnd.msgpack"),
        Media(Encoding.MSGPACK, "application/x-msgpack"),
    )
}
"""By type. MessagePack has one that is registered, and two that were in use before."""

_LEAST: Final = 0.0
_MOST: Final = 1.0


def sent_as(content_type: str) -> Media | None:
    """Return what a body of this Content-Type is; None for what is not read here.

    None of these types is one that a page of another origin may send without asking first.
    """
    return MEDIA_TYPES.get(content_type.partition(";")[0].strip().lower())


def wanted(accept: str, otherwise: Media) -> Media | None:
    """Return what an answer is to be written in: `otherwise` unless the client prefers something else.

    None where it takes nothing of what there is. No header is one that takes everything.
    """
    if not accept.strip():
        return otherwise
    ranges = dict(_range(part) for part in accept.split(",") if part.strip())
    best: Media | None = None
    best_quality = _LEAST
    for media in (otherwise, *MEDIA_TYPES.values()):
        # The most particular range counts, also where a wider one says more.
        names = (media.type, media.type.partition("/")[0] + "/*", "*/*")
        quality = next((ranges[name] for name in names if name in ranges), _LEAST)
        if quality > best_quality:
            best, best_quality = media, quality
    return best


def _range(part: str) -> tuple[str, float]:
    name, *parameters = part.split(";")
    quality = _MOST
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "q":
            try:
                quality = min(_MOST, max(_LEAST, float(value)))
            except ValueError:
                quality = _LEAST
    return name.strip().lower(), quality
