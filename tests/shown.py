"""Names for the cases of a parametrised test that are the same in every process.

They run in several, which have to agree on them: so there are no addresses in them, and sets are in order.
"""

from __future__ import annotations

import re

__all__ = ["shown"]


def shown(value: object) -> str:
    """Return what `repr` does, without what differs from one process to the next."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__} of {', '.join(sorted(map(repr, value)))}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
