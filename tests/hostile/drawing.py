"""What the fuzzers draw: values, damaged bytes, and how many of them.

`RINGCAST_HOSTILE=20` draws twenty times as many, anew each time (`make siege`); `--hypothesis-seed=N` draws
those of one run again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

__all__ = ["FEW", "SETTINGS", "TIMES", "WIRE", "damaged", "values"]

WIRE: Final = Path(__file__).parents[1] / "wire"
TIMES: Final = int(os.environ.get("RINGCAST_HOSTILE", "1"))
SETTINGS: Final = settings(
    max_examples=200 * TIMES,
    derandomize=TIMES == 1,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
FEW: Final = settings(SETTINGS, max_examples=30 * TIMES)
"""Where each takes a socket."""


def values() -> st.SearchStrategy[Any]:
    """Return anything that both encodings can carry."""
    numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    plain = st.none() | st.booleans() | numbers | st.text(max_size=20)
    return st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    )


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Return the bytes with some of them changed, left out, doubled or put in."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(data)))
        end = draw(st.integers(begin, min(len(data), begin + 8)))
        data[begin:end] = draw(st.binary(max_size=6) | st.just(bytes(data[begin:end]) * 2) | st.just(b""))
    return bytes(data)
