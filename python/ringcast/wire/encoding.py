"""The two encodings of messages: pure functions between values and bytes.

What a message is, `protocol.py` says, and `parsing.py` which bytes are one; what an object in it becomes,
`written.py`. Frames are the core's.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, cast

import msgpack  # type: ignore[import-untyped]  # it ships no types
import orjson

from ..errors import MASKED, InternalError, RingcastError
from ..fault_log import log_fault
from .written import dataclass_writer, jsonable

__all__ = ["Encoding", "NoText", "encode_for_all", "encode_msgpack_of_json", "is_unicode", "writable"]

_log: Final = logging.getLogger("ringcast.encoding")


class NoText(Exception):  # noqa: N818 - as the errors of this package
    """Bytes that are no UTF-8: JSON cannot carry them, MessagePack can."""


# OPT_NON_STR_KEYS: a dict with integer keys is ordinary in Python; JSON gives them as strings.
# OPT_UTC_Z: a key that is a time as pydantic writes it for MessagePack, so that both encodings read the same.
# OPT_PASSTHROUGH_DATACLASS: orjson knows nothing of pydantic's dataclasses, and would write what they leave
# out. It costs a third of a microsecond for each dataclass.
# OPT_PASSTHROUGH_DATETIME: it writes the time 01:02:03.05 as 01:02:03.50000, which is another one (and does
# so still where that is a key). It costs a quarter of a microsecond for each date and time.
_OPTIONS: Final = (
    orjson.OPT_NON_STR_KEYS
    | orjson.OPT_UTC_Z
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)
_BINARY: Final = (bytes, bytearray, memoryview)


def _encode_json(value: Any) -> bytes:
    return orjson.dumps(value, _jsonable, _OPTIONS)  # by position, as that is faster


def _jsonable(value: Any) -> Any:
    # Dataclasses before all else: there are many of them.
    write = dataclass_writer(type(value))  # type: ignore[arg-type]  # a class is hashable
    if write is not None:
        return write(value)
    return _text(value) if isinstance(value, _BINARY) else jsonable(value)


def _text(value: bytes | bytearray | memoryview) -> str:
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError:
        raise NoText from None


def _encode_msgpack(value: Any) -> bytes:
    # MessagePack writes what its readers refuse: deeper nesting than they follow, and keys that are no keys.
    # One such event would end every connection that gets it. orjson refuses both, in a fraction of the time;
    # and also inside of a dataclass or a model, so that both encodings write the same.
    orjson.dumps(value, default=_jsonable_or_binary, option=_OPTIONS)
    return encode_msgpack_of_json(value)


def _jsonable_or_binary(value: Any) -> Any:
    return None if isinstance(value, _BINARY) else jsonable(value)


def encode_for_all(value: Any) -> bytes:
    """Return the MessagePack of what JSON can carry as well.

    Raises as JSON's encoder: `TypeError`, whose cause is `NoText` for bytes that are no UTF-8.
    """
    _encode_json(value)
    return encode_msgpack_of_json(value)


def encode_msgpack_of_json(value: Any) -> bytes:
    """Return the MessagePack of what has been written as JSON already, which shows that it can be written."""
    return cast(bytes, msgpack.packb(value, default=jsonable))


def _decode_msgpack(data: bytes) -> Any:
    # strict_map_key off: integer keys are valid MessagePack and lossless there.
    return msgpack.unpackb(data, strict_map_key=False)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _float(digits: str) -> float:
    value = float(digits)
    return _refuse("infinity") if math.isinf(value) else value


def _int(digits: str) -> int | float:
    value = int(digits)
    return value if -(2**63) <= value < 2**64 else _float(digits)


# Numbers are those of the decoder that looks first: what this one reads, every encoder can write.
_ANY_TEXT: Final = json.JSONDecoder(parse_constant=_refuse, parse_float=_float, parse_int=_int)


def _decode_json_of_any_text(data: bytes) -> Any:
    return _ANY_TEXT.decode(data.decode())


def _decode_msgpack_of_any_text(data: bytes) -> Any:
    return msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogateescape")


def _split_msgpack(batch: bytes) -> list[bytes]:
    unpacker = msgpack.Unpacker(max_buffer_size=len(batch), strict_map_key=False)
    unpacker.feed(batch)
    messages, end = [], 0
    while end < len(batch):
        begin = end
        try:
            unpacker.skip()
            end = unpacker.tell()
        except Exception:  # of several kinds, and of none that it documents
            end = len(batch)
        messages.append(batch[begin:end])
    return messages


class Encoding(Enum):
    """How messages are written: chosen by the WebSocket subprotocol, fixed for a session."""

    JSON = ("ringcast.v1.json", 0, _encode_json, orjson.loads, _decode_json_of_any_text)
    MSGPACK = ("ringcast.v1.msgpack", 1, _encode_msgpack, _decode_msgpack, _decode_msgpack_of_any_text)

    def __init__(
        self,
        subprotocol: str,
        index: int,
        encode: Callable[[Any], bytes],
        decode: Callable[[bytes], Any],
        decode_any_text: Callable[[bytes], Any],
    ) -> None:
        self.subprotocol = subprotocol
        self.is_text = index == 0
        """Whether messages travel in text frames."""
        self.batched_subprotocol = f"{subprotocol}.batched"
        """What a client offers besides if it takes several messages of the server's in one: `split`."""
        self.index = index
        """The encoding's number in the core; `1 << index` is its bit in `Stream.encodings`."""
        self.encode = encode
        self.decode = decode
        self.decode_any_text = decode_any_text
        """Decodes also what `decode` refuses because text in it is no Unicode: in JSON half of a character,
        `\\ud83d` by itself, and in MessagePack bytes that are no UTF-8. They come as lone surrogates. It is
        slower: of the worst that there is, numbers, 64 KiB take 4 ms, which as many bytes in small calls take
        several times over."""

    def split(self, batch: bytes) -> list[bytes]:
        """Return the messages that came as one: JSON a line each, MessagePack one behind the other.

        What is no message is left for whoever decodes it to find.
        """
        return batch.split(b"\n") if self.is_text else _split_msgpack(batch)


def is_unicode(value: Any) -> bool:
    """Tell whether all text in a decoded value is Unicode: it need not be after `decode_any_text`."""
    try:
        msgpack.packb(value)
    except UnicodeEncodeError:
        return False
    except Exception:  # too deep, or too large a number: another matter
        return True
    return True


def writable(encoding: Encoding, error: RingcastError) -> dict[str, Any]:
    """Return the object for `error` that `encoding` can write, inside any message; never raises.

    Authors give a `UserError` what they like. What cannot be written goes to the log: metadata is left out,
    and characters that are not Unicode (lone surrogates) become question marks.
    """
    try:
        wire = error.to_wire()
        # Wrapped: nesting is bounded, and a message adds to it.
        encoding.encode([[[[wire]]]])
    except Exception as fault:
        log_fault(_log, fault, "an error cannot be written as %s", encoding.name)
    else:
        return wire
    try:
        return {"code": _unicode(error.code), "message": _unicode(error.message)}
    except Exception:
        return InternalError(MASKED).to_wire()


def _unicode(text: Any) -> str:
    return str(text).encode("utf-8", "replace").decode()
