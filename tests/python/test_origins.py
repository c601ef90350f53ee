"""Pages that may use a server: of its own origin, or listed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringcast import ServerConfig
from ringcast.gateway.origins import Origins

OWN = Origins(())
LISTED = Origins(("https://app.example.com", "http://localhost:3000"))

label = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
host = st.lists(label, min_size=1, max_size=3).map(".".join)
port = st.none() | st.integers(1, 65535)
scheme = st.sampled_from(["http", "https"])
anything = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


def authority(host: str, port: int | None) -> str:
    return host if port is None else f"{host}:{port}"


@settings(deadline=None)
@given(scheme, host, port)
def test_a_page_of_the_server_itself(scheme: str, host: str, port: int | None) -> None:
    there = authority(host, port)
    origin = f"{scheme}://{there}"
    assert OWN.allows(origin, there, None)
    assert OWN.allows(origin, there.upper(), scheme)
    assert not OWN.allows(origin, there, "https" if scheme == "http" else "http")


@settings(deadline=None)
@given(scheme, host, port, host, port)
def test_a_page_of_another_host_or_port(
    scheme: str, host: str, port: int | None, other: str, other_port: int | None
) -> None:
    default = {"http": 80, "https": 443}[scheme]
    same = (host, port or default) == (other, other_port or default)
    found = OWN.allows(f"{scheme}://{authority(host, port)}", authority(other, other_port), None)
    assert found is same


@settings(deadline=None)
@given(host, port, anything)
def test_a_host_with_something_around_it_is_another(host: str, port: int | None, more: str) -> None:
    there = authority(host, port)
    for origin in (f"https://{more}@{there}", f"https://{there}/{more}", f"https://{there}#{more}"):
        assert not OWN.allows(origin, there, None)
    assert not OWN.allows(f"https://{there}.evil.example", there, None)
    assert not OWN.allows(f"https://evil{there}", there, None)


@settings(deadline=None)
@given(anything, anything)
def test_whatever_comes_is_answered(origin: str, host: str) -> None:
    assert not LISTED.lists(origin) or origin.lower() in {
        "https://app.example.com",
        "https://app.example.com:443",
        "http://localhost:3000",
    }
    assert OWN.allows(origin, host, None) in (True, False)


@pytest.mark.parametrize(
    ("origin", "listed"),
    [
        ("https://app.example.com", True),
        ("https://APP.example.com:443", True),
        ("http://app.example.com", False),
        ("https://app.example.com:8443", False),
        ("https://app.example.com.evil.example", False),
        ("http://localhost:3000", True),
        ("http://localhost", False),
        ("null", False),
        ("https://app.example.com, https://evil.example", False),
        ("", False),
    ],
)
def test_listed_origins(origin: str, listed: bool) -> None:
    assert LISTED.lists(origin) is listed
    assert LISTED.allows(origin, "server.example", "https") is listed


def test_any_origin_and_none() -> None:
    assert Origins(("*",)).allows("https://evil.example", "server.example", None)
    assert not Origins(("*",)).lists("https://evil.example")
    assert Origins(("null",)).allows("null", "server.example", None)
    assert not OWN.allows("null", "null", None)
    assert Origins(("app://shell",)).lists("app://shell")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allowed_origins", ("app.example.com",)),
        ("allowed_origins", ("https://app.example.com/",)),
        ("allowed_origins", "https://app.example.com"),
        ("trusted_proxies", ("10.0.0.1/8",)),
        ("trusted_proxies", ("proxy.internal",)),
        ("uncounted_networks", ("everywhere",)),
        ("forwarded_header", "x-real-ip"),
    ],
)
def test_what_makes_no_sense_is_said_at_once(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        ServerConfig(**{name: value})  # type: ignore[arg-type]
