"""A snapshot as a client will have it: a copy, of a size that a client takes. Pure.

When it is taken, and what it stands for, is the work of `instance.py` and `gateway/admission.py`.
"""

from __future__ import annotations

from typing import Any, Final

from ..errors import ReplyTooLarge
from ..wire.encoding import Encoding

__all__ = ["copied"]

_ANSWER_BYTES: Final = 131_072
"""More than all that an answer to a connect message has besides its snapshot."""


def copied(snapshot: Any, encoding: Encoding, max_reply_bytes: int) -> Any:
    """Return a copy, made by writing and reading it. Raises `ReplyTooLarge`, and what `encode` raises."""
    # Nested as the answer has it: what is too deep there is refused now.
    written = encoding.encode(("connected", {"snapshot": snapshot}))
    most = max_reply_bytes - _ANSWER_BYTES
    if len(written) > most:
        raise ReplyTooLarge(f"the snapshot takes {len(written)} bytes, and a client takes {most}")
    return encoding.decode(written)[1]["snapshot"]
