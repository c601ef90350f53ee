"""How long the model-based test runs: short and always the same for `make test`, long and by a seed for soak.

`RINGCAST_DELIVERY=long` chooses the long one for pytest too, with `--hypothesis-seed=N` to replay a seed.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, Phase, settings

__all__ = ["LONG", "SHORT", "SHORTENING", "SOAK", "chosen"]

SHORT: Final = settings(
    max_examples=250,
    stateful_step_count=50,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
LONG: Final = settings(SHORT, max_examples=1000, stateful_step_count=80, derandomize=False)
SOAK: Final = settings(LONG, max_examples=25, phases=[Phase.generate])
"""One piece of many: between two of them it can be seen that the time is up. A failure is shown as it is:
making it short takes minutes."""
SHORTENING: Final = settings(SOAK, phases=[Phase.generate, Phase.shrink])
"""The same pieces, for whoever runs one again to understand it."""


def chosen() -> settings:
    """Return the profile that the environment asks for."""
    return {"short": SHORT, "long": LONG}[os.environ.get("RINGCAST_DELIVERY", "short")]
