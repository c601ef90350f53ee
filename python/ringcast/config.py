"""The limits and places that a server runs with, in one frozen value.

What they mean to a client is in `docs/protocol.md`; who enforces each one is said beside it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, replace
from typing import Final, get_args

from .gateway.origins import Origins
from .gateway.peers import ForwardedHeader, Networks
from .wire.protocol import MAX_SUBSCRIPTIONS

__all__ = ["ServerConfig", "with_tls"]

_MAY_BE_ZERO: Final = frozenset(
    {"port", "session_window_s", "save_interval_s", "max_connects_per_s", "max_actions_per_s"}
    | {"drain_delay_s", "metrics_port", "max_connections", "max_connections_per_address"}
    | {"max_calls", "max_calls_per_address", "max_actors", "max_stored_actors"}
)
_MAY_BE_NONE: Final = frozenset({"sleep_after_s", "tls_certificate", "tls_key", "metrics_port"})

_INSTEAD: Final = {
    "host": ": give an address, such as 0.0.0.0 for all of IPv4, or :: for all of IPv6",
    "metrics_host": ": give an address, such as 0.0.0.0 for all of IPv4, or :: for all of IPv6",
    "store_path": ": give a file",
}
"""What is to be said in the place of nothing."""

_MOST: Final = {
    "port": (65_535, ""),
    "metrics_port": (65_535, ""),
    # More than any machine has a use for: each is a thread of the system, made at the start.
    "writer_threads": (1024, ": 1024 at most"),
}
"""The largest value of a number that has a bound of its own, and what is said to whoever goes past it."""

_LONGEST_S: Final = 1e9
"""Longest time, in seconds; not-a-number and infinities, which no timer takes, are beyond it as well."""


@dataclass(slots=True, frozen=True, kw_only=True)
class ServerConfig:
    """Hold every limit of a server. Raises `ValueError` for a number that makes no sense."""

    host: str = "127.0.0.1"
    """Address to listen on, or a name: then on every address that it has, as `localhost` may have `127.0.0.1`
    and `::1`. `0.0.0.0` is all of the machine's addresses of IPv4, and `::` all of IPv6, none of IPv4 among
    them."""

    port: int = 8080
    """Port to listen on; 0 lets the system choose."""

    tls_certificate: str | None = None
    """PEM file with the server's certificate and those that vouch for it: the port then speaks TLS, and
    nothing else. None: no TLS. Read once, when the server starts."""

    tls_key: str | None = None
    """PEM file with the certificate's private key, without a passphrase; None if it is in the same file."""

    store_path: str = "ringcast.db"
    """File of the SQLite store. In code it is for a registry that is given no store; a flag, a variable or a
    file that says this puts a SQLite store in the place of the registry's own."""

    max_message_bytes: int = 65_536
    """Largest message of a client, reassembled. Enforced where frames are read."""

    max_params_bytes: int = 16_384
    """Largest parameters of a connection, as they were written: they are kept for as long as it lasts. Past
    it, the connection is refused for good."""

    max_reply_bytes: int = 16_777_216
    """Largest reply, or snapshot, over a connection: what a client takes, which would lose the socket over
    a larger one, and again whenever it asks."""

    connect_timeout_s: float = 5.0
    """How long a socket may stay without its connect message. Enforced where sockets are accepted."""

    close_timeout_s: float = 5.0
    """How long a socket that would block may delay a close. Enforced by the core."""

    session_window_s: float = 30.0
    """How long a session waits for its client to come back; 0 ends it with its socket."""

    action_timeout_s: float = 60.0
    """For actions that name no timeout of their own. A sync action cannot be interrupted."""

    hook_timeout_s: float = 5.0
    """For each async hook of a connection. A hook that takes longer refuses the connection."""

    start_timeout_s: float = 30.0
    """For an actor to start: its load, `create_state`, `on_create` and `on_start` together."""

    shutdown_timeout_s: float = 20.0
    """For an actor to stop. Half of it is for its running actions, which are then cancelled; each hook, the
    save and the last events may take half of what is left when their turn comes. As long again is for the
    shutdown of an application that is served beside."""

    save_interval_s: float = 1.0
    """Changed state is saved this long after the change; 0 saves it on the next turn of the loop."""

    heartbeat_s: float = 15.0
    """How often every client is told its position. Also how long a client may be silent before it is pinged,
    so that one that only answers pings is heard every other time."""

    sleep_after_s: float | None = 30.0
    """An actor without connections, calls and background tasks sleeps after this long: it is saved and
    stopped, and the next call, connect or scheduled call starts it again. None: never. An actor class may say
    otherwise, as ``class Ticker(Actor, sleep_after_s=None)``."""

    dead_peer_timeout_s: float = 60.0
    """How long nothing at all may come from a client before its socket counts as lost; more than two
    heartbeats. Enforced where frames are read. Also how long it may read nothing while messages that it has
    posted wait for that."""

    idle_timeout_s: float = 5.0
    """How long a socket may stay open between two HTTP requests."""

    max_connections: int = 100_000
    """Sockets that are open at a time, whatever for; one more is answered with 503. 0 is no limit."""

    max_connections_per_address: int = 1000
    """The same for those of one address, or of one /64 of IPv6; one more is answered with 429. 0 is no
    limit."""

    max_calls: int = 10_000
    """Calls over HTTP, without a connection, that may run at a time, those included whose caller has gone;
    one more is answered with 503. 0 is no limit."""

    max_calls_per_address: int = 1000
    """The same for those of one address, or of one /64 of IPv6, as it is known behind trusted proxies; one
    more is answered with 429. 0 is no limit."""

    max_actors: int = 100_000
    """Actors that run at a time; one more is not created, and who asks for it is told when to try again. One
    that is asleep is woken all the same. 0 is no limit."""

    max_stored_actors: int = 1_000_000
    """Actors that the store has, those asleep included; one more is refused for good, with
    `too_many_actors`, until one is destroyed. 0 is no limit."""

    uncounted_networks: tuple[str, ...] = (
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10",
        "::1/128", "fc00::/7", "fe80::/10",
    )  # fmt: skip
    """Addresses that are not counted by themselves: one of a network that is no part of the internet may
    stand for a proxy that nobody has named, and so for everybody."""

    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks of the proxies before this server, and ``unix`` for one that comes over a Unix
    socket: what they say of where a client comes from is believed. Of others it is not."""

    forwarded_header: ForwardedHeader = "x-forwarded-for"
    """The one header in which those proxies say it; the other one is taken for a client's."""

    allowed_origins: tuple[str, ...] = ()
    """Pages of which origins may use this server through a browser, such as ``https://app.example.com``,
    besides those of its own origin. ``*`` stands for any, ``null`` for pages without one."""

    max_connects_per_s: float = 2000
    """Connect messages that are let in within a second, and at once; one more is told when to try again.
    0 is no limit. Clients are told to spread their coming back accordingly."""

    validate_events: bool = True
    """Whether the arguments of events are checked against what their actor declares, each time one is sent.
    Their names are in any case. An actor class may say otherwise, as
    ``class Ticker(Actor, validate_events=False)``."""

    drain_batch: int = 500
    """WebSockets that are closed at a time when the server stops; the next ones follow when as many clients
    may have been let in again, or sooner, so that all are closed within `shutdown_timeout_s`."""

    compression: bool = False
    """Whether clients that offer permessage-deflate, as browsers do, get long messages compressed, and may
    send such. An event is compressed once, however many they are, on the thread that sends it. Messages from
    which an eavesdropper could learn a secret by their length, because they have it next to text of a
    stranger's, should not be compressed."""

    compress_min_bytes: int = 256
    """Messages and events' arguments that are shorter than this are not compressed."""

    docs: bool = False
    """Whether the server tells what its actors offer: a page to try their actions at `/docs`, documents at
    `/openapi.json` and `/asyncapi.json`. They show every name and docstring to whoever can reach the port."""

    writer_threads: int = 1
    """Threads of the core that write to sockets; 1024 at most."""

    max_calls_recorded: int = 1024
    """Replies that a session keeps to answer repeated requests: those that have not been acknowledged, or,
    of a client that acknowledges none, the latest."""

    max_recorded_bytes: int = 8_388_608
    """Bytes of those replies; the newest is kept whatever its size."""

    max_keyed_answers: int = 16_384
    """Answers to calls over HTTP that came with an `Idempotency-Key`, kept for those who repeat one; past it
    the oldest are forgotten."""

    max_keyed_answers_bytes: int = 16_777_216
    """Bytes of those answers; the newest is kept whatever its size."""

    keyed_answer_window_s: float = 600.0
    """How long such an answer is kept."""

    max_calls_in_flight: int = 1024
    """Calls of one session that may run at a time; one more is answered with `too_many_calls`."""

    max_filters_per_actor: int = 4096
    """Different filters over the fields of its events that the clients of one actor may listen with at a
    time; one more is refused with `too_many_filters`. An event is held against each at most once."""

    max_filters_per_connection: int = 64
    """Different filters that one connection may listen with at a time, so that none takes all that its actor
    has; one more is refused with `too_many_filters`."""

    max_actions_per_s: float = 1000
    """Calls and subscriptions of one session that are taken in a second, in the long run; one more is
    answered with `rate_limited`, which says when to try again, and does not run. 0 is no limit."""

    max_actions_at_once: int = 5000
    """How many of them may come in one moment, after some seconds with fewer."""

    max_subscriptions: int = MAX_SUBSCRIPTIONS
    """Event names that one connection may listen for; no more than the protocol has room for. One more is
    answered with `subscription_refused`."""

    max_pending_messages: int = 1024
    """Messages of one client that may wait for its connect, or an async `can_subscribe`, to finish; and of
    those that it posts beside server-sent events, until it has read what was answered."""

    max_pending_bytes: int = 1_048_576
    """Bytes of those messages."""

    drain_delay_s: float = 0.0
    """How long a server goes on as before once it is asked to stop, while `/ready` says no: so long as those
    who send clients here need to notice. Then it closes its port, and `shutdown_timeout_s` begins."""

    metrics: bool = False
    """Whether things are counted, and `GET /metrics` tells them to Prometheus. Needs the package's extra
    `metrics`."""

    metrics_port: int | None = None
    """A port of its own for `/metrics`, without TLS; 0 lets the system choose. None: the server's port, where
    whoever reaches it can read how busy it is."""

    metrics_host: str = "127.0.0.1"
    """Where that port listens, as `host` says it."""

    max_attributes_bytes: int = 65_536
    """Bytes of what filters see of one connection's state, as the core is given it. A connection whose state
    has grown beyond is ended when a filter is next used, and told why. Enforced in `running/matching.py`."""

    def __post_init__(self) -> None:
        self._check_kinds()
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str | bool | tuple) or (value is None and field.name in _MAY_BE_NONE):
                continue
            if value < 0 or (value == 0 and field.name not in _MAY_BE_ZERO):
                raise ValueError(f"{field.name} is {value}, which is too small")
            of_all = _LONGEST_S if field.name.endswith("_s") else sys.maxsize
            most, hint = _MOST.get(field.name, (of_all, ""))
            if not value <= most:
                raise ValueError(f"{field.name} is {value}, which is too much{hint}")
        self._check_networks()
        if self.max_subscriptions > MAX_SUBSCRIPTIONS:
            raise ValueError(f"max_subscriptions is at most {MAX_SUBSCRIPTIONS}, as the protocol has it")
        if self.tls_key is not None and self.tls_certificate is None:
            raise ValueError("tls_key needs a tls_certificate that it belongs to")
        if self.metrics_port is not None and not self.metrics:
            raise ValueError("metrics_port is for metrics, which are off")
        if self.dead_peer_timeout_s <= 2 * self.heartbeat_s:
            raise ValueError("dead_peer_timeout_s must exceed two heartbeats (heartbeat_s)")

    def _check_kinds(self) -> None:
        """Refuse text that is empty, and truth for a number, which it is to Python."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and not value.strip():
                raise ValueError(f"{field.name} is empty{_INSTEAD.get(field.name, '')}")
            if isinstance(value, bool) and not isinstance(field.default, bool):
                raise ValueError(f"{field.name} is {value}, which is no number")

    def _check_networks(self) -> None:
        for name in ("uncounted_networks", "trusted_proxies", "allowed_origins"):
            value = getattr(self, name)
            if not isinstance(value, tuple):
                raise ValueError(f"{name} is a tuple of strings, not {value!r}")
            try:
                Origins(value) if name == "allowed_origins" else Networks(value)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        if self.forwarded_header not in get_args(ForwardedHeader):
            raise ValueError(f"forwarded_header is one of {get_args(ForwardedHeader)}")


def with_tls(config: ServerConfig, certificate: str | None, key: str | None) -> ServerConfig:
    """Return `config` with other TLS files. Raises `ValueError` for a key that no certificate is given for.

    A key goes with its certificate: that of another one is not kept.
    """
    if certificate is None:
        certificate, key = config.tls_certificate, key or config.tls_key
    return replace(config, tls_certificate=certificate, tls_key=key)
