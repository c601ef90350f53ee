"""The HTTP request that a client came with, as hooks and actions see it: headers, cookies, address.

It is there while a connection is let in, and is let go of then: what an actor wants to keep of it belongs
into the connection's state. Where the address of a client comes from is decided in `server/guard.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, unquote

from .errors import RingcastError
from .wire.protocol import Call

__all__ = ["EMPTY", "CallFromOutside", "Caller", "Headers", "Keep", "Request", "Transport"]

Transport = Literal["in_process", "websocket", "http", "sse"]

RawHeaders: TypeAlias = bytes | Sequence[tuple[bytes, bytes]]
"""The head of a request as it was read, or its headers one by one: looked into when somebody asks."""


class Headers(Mapping[str, str]):
    """The headers of a request, by name in any case. Several lines of one name are joined with commas."""

    __slots__ = ("_values",)

    def __init__(self, lines: Sequence[tuple[bytes, bytes]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in lines:
            known, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
            # RFC 9110, section 5.3; RFC 9113, section 8.2.3 for cookies.
            joint = "; " if known == "cookie" else ", "
            self._values[known] = f"{self._values[known]}{joint}{text}" if known in self._values else text

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __repr__(self) -> str:
        # Without their values, which may hold secrets: this goes to logs.
        return f"<Headers {', '.join(self._values)}>"


@dataclass(slots=True, frozen=True, repr=False)
class Request:
    """What is known of a client besides what it says in its messages."""

    transport: Transport = "in_process"
    """How it came. Clients in this process come without any of what follows."""

    address: str | None = None
    """The IP address that it comes from, also behind proxies that are trusted (`trusted_proxies`). None for
    what has none, as a Unix socket."""

    target: str = ""
    """Path and query as they were asked for."""

    raw_headers: RawHeaders = ()

    @property
    def headers(self) -> Headers:
        """All headers of the request; read them once where several are needed."""
        raw = self.raw_headers
        return Headers(_lines(raw) if isinstance(raw, bytes) else raw)

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies, by name; of several of one name the first, which is that of the longest path."""
        found: dict[str, str] = {}
        for part in self.headers.get("cookie", "").split(";"):
            name, separator, value = part.strip(" \t").partition("=")
            if separator:
                found.setdefault(name, value.strip('"'))
        return found

    @property
    def origin(self) -> str | None:
        """What page a browser was on; None if it was none, or no browser."""
        return self.headers.get("origin")

    @property
    def path(self) -> str:
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        """What the query of the URL says, by name; of several of one name the last.

        URLs end up in the logs of proxies: nothing belongs there that is of use for longer than a moment.
        """
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    def __repr__(self) -> str:
        # Without headers and query, which may hold secrets: this goes to logs.
        return f"<Request {self.transport} from {self.address}>"


def _lines(head: bytes) -> list[tuple[bytes, bytes]]:
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:] if line)
    return [(name, value) for name, _, value in lines]


EMPTY: Final = Request()
"""That of a client in this process."""


@dataclass(slots=True, repr=False)
class Caller:
    """Who asks for an actor from outside, as the hooks that let it in are asked about it."""

    came: Request
    params: Any = None
    action: str | None = None
    """What it calls, if it comes for a call: one that is refused is counted by that."""
    connects: bool = False
    """Whether it comes for a connection, so that `create_conn_state` may refuse it as well."""
    let_in_by: object = None
    """The actor that was created for it, and has let it in before it was stored: not asked again."""
    conn_state: Any = None
    """The state that `let_in_by` has made for its connection."""


class Keep(NamedTuple):
    """How a durable actor keeps the answer to a call that came with a key."""

    key: str
    """What it is found by, among those of the actor."""
    write: Callable[[Any, RingcastError | None], bytes]
    """Writes a result, or the error that stands instead of one. May raise for a result."""


class CallFromOutside(Call):
    """A call without a connection, with the request that it came in."""

    came: Request = EMPTY
    params: Any = None
    """What `on_before_connect` is given, as it would be of a connection."""
    keep: Keep | None = None
    """None: its answer is not kept."""
    has_begun: bool = False
    """Whether its action has been called: before that, nothing has been done."""
