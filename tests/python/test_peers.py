"""Where a client comes from: forwarded headers of those who are trusted, and of nobody else."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringcast.gateway.peers import ForwardedHeader, Networks, Peer, Proxies, network_of

TRUSTED = Networks(("10.0.0.0/8", "2001:db8:1::/48", "unix"))
OF_XFF = Proxies(TRUSTED, "x-forwarded-for")
OF_FORWARDED = Proxies(TRUSTED, "forwarded")
NOBODY = Proxies(Networks(()), "x-forwarded-for")

outside = st.one_of(
    st.ip_addresses(v=4).filter(lambda each: not TRUSTED.has(str(each))),
    st.ip_addresses(v=6).filter(lambda each: each.ipv4_mapped is None and not TRUSTED.has(str(each))),
)
proxy = st.one_of(
    st.integers(0, 2**24 - 1).map(lambda number: IPv4Address(10 * 2**24 + number)),
    st.integers(0, 2**80 - 1).map(lambda number: IPv6Address(int(IPv6Address("2001:db8:1::")) + number)),
)
made_up = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


def entry(address: IPv4Address | IPv6Address, port: int | None) -> str:
    """Return an address as a proxy writes it, with a port or without."""
    if address.version == 4:
        return str(address) if port is None else f"{address}:{port}"
    return str(address) if port is None else f"[{address}]:{port}"


@settings(deadline=None)
@given(made_up, outside, st.lists(proxy, max_size=4), proxy, st.none() | st.integers(1, 65535))
def test_what_a_client_makes_up_changes_nothing(
    claim: str,
    client: IPv4Address | IPv6Address,
    between: list[IPv4Address | IPv6Address],
    peer: IPv4Address | IPv6Address,
    port: int | None,
) -> None:
    chain = [entry(each, port) for each in (client, *between)]
    headers = {"x-forwarded-for": ", ".join([claim, *chain])}
    assert OF_XFF.client_behind(str(peer), headers).address == str(client)

    elements = [f'for="{each}";proto=https' for each in chain]
    headers = {"forwarded": ", ".join([claim, *elements]), "x-forwarded-for": claim}
    found = OF_FORWARDED.client_behind(str(peer), headers)
    assert (found.address, found.scheme) == (str(client), "https")


@settings(deadline=None)
@given(outside, made_up, made_up, made_up)
def test_who_is_not_trusted_speaks_for_nobody(
    peer: IPv4Address | IPv6Address, first: str, second: str, third: str
) -> None:
    headers = {
        "x-forwarded-for": first,
        "forwarded": second,
        "x-forwarded-proto": third,
        "x-forwarded-host": third,
    }
    for proxies in (OF_XFF, OF_FORWARDED, NOBODY):
        assert proxies.client_behind(str(peer), headers) == Peer(str(peer))


@settings(deadline=None)
@given(proxy, made_up, st.sampled_from(["x-forwarded-for", "forwarded"]))
def test_whatever_comes_an_address_is_found(
    peer: IPv4Address | IPv6Address, value: str, header: ForwardedHeader
) -> None:
    found = Proxies(TRUSTED, header).client_behind(str(peer), {header: value})
    assert found.address is not None and ip_address(found.address)


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("192.0.2.7, unknown", "10.0.0.1"),
        ("192.0.2.7, unknown, 10.0.0.9", "10.0.0.9"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("[2001:db8:2::1]:443", "2001:db8:2::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.0.2.7:http", "10.0.0.1"),
    ],
)
def test_entries_of_x_forwarded_for(value: str, address: str) -> None:
    assert OF_XFF.client_behind("10.0.0.1", {"x-forwarded-for": value}).address == address


@pytest.mark.parametrize(
    ("value", "peer"),
    [
        ("for=192.0.2.7", Peer("192.0.2.7")),
        (
            'For="[2001:db8:2::1]:4711";Proto=HTTPS;host=a.example',
            Peer("2001:db8:2::1", "https", "a.example"),
        ),
        ("for=_hidden, for=10.0.0.2;proto=https", Peer("10.0.0.2", "https")),
        ("for=192.0.2.7;proto", Peer("10.0.0.1")),
        ('for=", for=192.0.2.7', Peer("192.0.2.7")),
    ],
)
def test_elements_of_forwarded(value: str, peer: Peer) -> None:
    assert OF_FORWARDED.client_behind("10.0.0.1", {"forwarded": value}) == peer


def test_a_proxy_over_a_unix_socket() -> None:
    headers = {"x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "http, https", "x-forwarded-host": "a"}
    assert OF_XFF.client_behind(None, headers) == Peer("192.0.2.7", "https", "a")
    assert NOBODY.client_behind(None, headers) == Peer(None)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
    ],
)
def test_who_counts_as_one(address: str, network: str) -> None:
    assert network_of(address) == network
