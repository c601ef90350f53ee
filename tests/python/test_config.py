"""The limits of a server: which numbers make no sense."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from ringcast import ServerConfig
from ringcast.client import ClientConfig


def numbers(config: type[Any]) -> list[str]:
    # Not what is on or off, which is an int as well.
    return [field.name for field in fields(config) if type(getattr(config(), field.name)) in (int, float)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e10, -1])
@pytest.mark.parametrize(
    ("config", "name"),
    [(config, name) for config in (ServerConfig, ClientConfig) for name in numbers(config)],
)
def test_every_number_is_finite_and_no_longer_than_a_life(config: Any, name: str, value: float) -> None:
    if value == 1e10 and not name.endswith(("_s", "port")) and name != "max_subscriptions":
        config(**{name: value})
        return
    with pytest.raises(ValueError, match=name):
        config(**{name: value})
