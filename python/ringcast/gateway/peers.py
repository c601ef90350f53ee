"""Where a client really comes from: the peer of its socket, or what proxies that are trusted say: pure.

Whoever connects can send any header. So a forwarded address counts only as far as the one who wrote it is
trusted: the list is read from the right, where the nearest proxy has added what it saw itself, up to the
first address that is none of ours. What is left of that one, the client may have made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal, NamedTuple

__all__ = ["ForwardedHeader", "Networks", "Peer", "Proxies", "network_of"]

ForwardedHeader = Literal["x-forwarded-for", "forwarded"]

UNIX: Final = "unix"
"""Stands for whoever connects to a Unix socket."""

_WITH_PORT: Final = re.compile(r"\[([^\[\]]*)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+")
_PAIR: Final = re.compile(r"\s*([A-Za-z-]+)=(?:\"([^\"\\]*)\"|([^\s\"]*))\s*")


class Peer(NamedTuple):
    """A client, as far as it is known."""

    address: str | None
    """None for what has none: a Unix socket."""
    scheme: str | None = None
    """What it used to reach the outermost proxy; None where nobody trusted says so."""
    host: str | None = None
    """The host that it asked for, where a trusted proxy says so."""


class Networks:
    """A set of networks, such as ``10.0.0.0/8``; ``unix`` is one as well. Raises `ValueError` for others."""

    def __init__(self, names: Iterable[str]) -> None:
        names = tuple(names)
        self.has_unix = UNIX in names
        self._networks = [ip_network(name) for name in names if name != UNIX]
        # Asked several times for each client that comes, and most come from the addresses of those before.
        self._has = lru_cache(4096)(partial(_is_in, self._networks))

    def __bool__(self) -> bool:
        return self.has_unix or bool(self._networks)

    def has(self, address: str | None) -> bool:
        """Tell whether `address` is in one of them."""
        if address is None:
            return self.has_unix
        return bool(self._networks) and self._has(address)


class Proxies:
    """The proxies that are believed, and the one header in which they say for whom they come.

    One and not both: a proxy that writes one of them lets the other through as its client sent it.
    """

    def __init__(self, trusted: Networks, header: ForwardedHeader) -> None:
        self._trusted = trusted
        self._header = header

    def trusts(self, address: str | None) -> bool:
        return self._trusted.has(address)

    def client_behind(self, peer: str | None, headers: Mapping[str, str]) -> Peer:
        """Return who has sent these headers over a socket from `peer`."""
        if not self.trusts(peer):
            return Peer(_plain(peer))
        if self._header == "forwarded":
            return self._by_forwarded(peer, headers.get("forwarded", ""))
        nearest = _plain(peer)
        for entry in reversed(headers.get("x-forwarded-for", "").split(",")):
            address = _address(entry)
            if address is None:
                break
            nearest = address
            if not self.trusts(address):
                break
        # They hold for the whole way, as the nearest proxy knows it.
        scheme = _last(headers.get("x-forwarded-proto", "")).lower()
        return Peer(nearest, scheme or None, _last(headers.get("x-forwarded-host", "")) or None)

    def _by_forwarded(self, peer: str | None, value: str) -> Peer:
        found = Peer(_plain(peer))
        for element in reversed(value.split(",")):
            pairs = _pairs(element)
            address = _address(pairs.get("for", ""))
            if address is None:
                break
            found = Peer(address, pairs.get("proto", "").lower() or None, pairs.get("host") or None)
            if not self.trusts(address):
                break
        return found


@lru_cache(4096)
def network_of(address: str) -> str:
    """Return what stands for everybody who may be the same client: an address, or a /64 of IPv6.

    One subscriber is given at least so many addresses of the latter (RFC 6177).
    """
    found = _parsed(address)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found.packed[:8] + bytes(8), 64)))
    return address if found is None else str(found)


def _is_in(networks: list[IPv4Network | IPv6Network], address: str) -> bool:
    found = _parsed(address)
    return found is not None and any(found in network for network in networks)


@lru_cache(4096)
def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(4096)
def _plain(address: str | None) -> str | None:
    found = None if address is None else _parsed(address)
    return address if found is None else str(found)


def _address(entry: str) -> str | None:
    """Return the address in one entry, which may have a port; None if it is hidden, unknown or broken."""
    text = entry.strip()
    matched = _WITH_PORT.fullmatch(text)
    if matched is not None:
        text = matched[1] if matched[1] is not None else matched[2]
    found = _parsed(text)
    return None if found is None else str(found)


def _pairs(element: str) -> dict[str, str]:
    """Read one element of a `Forwarded` header (RFC 7239, section 4); nothing of it if it is broken.

    It is read by itself: what a client has put before it cannot change what a proxy has added. (No value
    that is of use here has a comma or a semicolon in it.)
    """
    pairs: dict[str, str] = {}
    for part in element.split(";"):
        matched = _PAIR.fullmatch(part)
        if matched is None:
            return {}
        pairs[matched[1].lower()] = matched[3] if matched[2] is None else matched[2]
    return pairs


def _last(value: str) -> str:
    return value.rpartition(",")[2].strip()
