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
    if value == 1e10 and not name.endswith(("_s", "port", "max_subscriptions", "writer_threads")):
        config(**{name: value})
        return
    with pytest.raises(ValueError, match=name):
        config(**{name: value})


@pytest.mark.parametrize("name", [*numbers(ServerConfig), "metrics_port"])
def test_true_is_no_number(name: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} is True, which is no number"):
        ServerConfig(**{name: True})


@pytest.mark.parametrize("port", ["port", "metrics_port"])
def test_ports_are_those_that_there_are(port: Any) -> None:
    assert getattr(ServerConfig(metrics=True, **{port: 65_535}), port) == 65_535
    with pytest.raises(ValueError, match=f"^{port} is 65536, which is too much$"):
        ServerConfig(metrics=True, **{port: 65_536})


def test_writer_threads_are_no_more_than_machines_have_a_use_for() -> None:
    assert ServerConfig(writer_threads=1024).writer_threads == 1024
    with pytest.raises(ValueError, match="writer_threads is 1025, which is too much: 1024 at most"):
        ServerConfig(writer_threads=1025)


@pytest.mark.parametrize("name", ["host", "metrics_host", "store_path", "tls_certificate", "tls_key"])
@pytest.mark.parametrize("nothing", ["", " "])
def test_what_is_empty_is_no_text(name: Any, nothing: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is empty"):
        ServerConfig(**{name: nothing})
