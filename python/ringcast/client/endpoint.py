"""Where a client finds its server: calls over HTTP, connections over WebSockets or server-sent events.

An endpoint knows addresses and transports, nothing of listeners or of coming back. `in_process.py` has the
one that needs no network.
"""

from __future__ import annotations

import secrets
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit, urlunsplit

import httpx

from ..errors import ConnectionClosed, ConnectionFailure, OutcomeUnknown, from_wire
from ..wire.encoding import Encoding
from ..wire.protocol import Connect
from .config import ClientConfig
from .event_stream import PostReceiver
from .fallback import KEPT_SOCKETS, AnySocket, Transport, Ways
from .refusals import foreign_error, is_error_of_the_server

__all__ = ["Endpoint", "HttpEndpoint", "addresses"]

_WEBSOCKET_SCHEMES: Final = {"http": "ws", "https": "wss"}


_MEDIA_TYPES: Final = {Encoding.JSON: "application/json", Encoding.MSGPACK: "application/msgpack"}

_KEY_BYTES: Final = 16
_NOTHING_KNOWN: Final = "unknown"


class Endpoint(Protocol):
    """A server, as a client sees it."""

    async def call(self, address: Connect, action: str, args: list[Any], params: Any = None) -> Any:
        """Run an action without a connection, once. Raises the error that it ends with.

        `params` are for the actor's `on_before_connect`, which calls inside a process do without.
        """

    async def resolve(self, address: Connect, params: Any = None) -> tuple[str, tuple[str, ...]]:
        """Find, or create, the actor and return its id and key. Raises `ActorError`.

        `params` are as those of `call`, should it be created.
        """

    async def open_socket(
        self, receiver: PostReceiver, encoding: Encoding, config: ClientConfig
    ) -> AnySocket:
        """Open a socket.

        Raises `OSError` or `ConnectionFailure`, which are worth another attempt, and `AccessDenied`.
        """

    async def close(self) -> None:
        """Let go of the server: calls raise `ConnectionClosed` from now on. Idempotent."""


def addresses(url: str) -> tuple[str, str]:
    """Return the addresses for calls and for connections of a server; `url` may have a path prefix.

    Raises `ValueError` for what is no address of a server.
    """
    parts = urlsplit(url)
    if parts.scheme not in _WEBSOCKET_SCHEMES or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(
            f"a server's address is http:// or https://, a host, perhaps a port and a path: not {url!r}"
        )
    prefix = parts.path.rstrip("/")
    return (
        urlunsplit((parts.scheme, parts.netloc, prefix, "", "")),
        urlunsplit((_WEBSOCKET_SCHEMES[parts.scheme], parts.netloc, prefix + "/connect", "", "")),
    )


class HttpEndpoint:
    """A server behind a URL."""

    def __init__(
        self,
        url: str,
        config: ClientConfig,
        transport: Transport = "websocket",
        encoding: Encoding = Encoding.JSON,
    ) -> None:
        self.encoding = encoding
        """That of calls; connections bring their own."""
        self._base_url, websocket_url = addresses(url)
        self._config = config
        self._ways = Ways(self._base_url, websocket_url, config, transport)
        self._http: httpx.AsyncClient | None = None
        self._answers_known = _NOTHING_KNOWN
        """What the server has said, with its latest answer, that it remembers of earlier calls."""
        self._closed = False

    async def call(self, address: Connect, action: str, args: list[Any], params: Any = None) -> Any:
        path = f"/actions/{quote(action, safe='')}"
        extra: dict[str, Any] = {"args": args}
        if params is not None:
            extra["params"] = params
        answer = await self._post(address, path, extra, "the call ran once or not at all", keyed=True)
        return answer.get("value")

    async def resolve(self, address: Connect, params: Any = None) -> tuple[str, tuple[str, ...]]:
        unknown = "nobody knows whether the actor was found or created, and nothing was called"
        extra = {} if params is None else {"params": params}
        answer = await self._post(address, "/resolve", extra, unknown)
        return answer["actor_id"], tuple(answer["key"])

    async def open_socket(
        self, receiver: PostReceiver, encoding: Encoding, config: ClientConfig
    ) -> AnySocket:
        return await self._ways.open(receiver, encoding, config)

    async def close(self) -> None:
        self._closed = True
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def _post(
        self, address: Connect, path: str, extra: dict[str, Any], unknown: str, *, keyed: bool = False
    ) -> dict[str, Any]:
        """Post `extra` for an actor; `unknown` says what is, if no answer comes.

        What is `keyed` is sent again then, and is run once.
        """
        # The connect message's own fields, so that an actor is named in one way everywhere.
        body = {**address.to_wire()[1], **extra}
        url = f"{self._base_url}/actors/{quote(body.pop('actor'), safe='')}{path}"
        content = self.encoding.encode(body)
        # What it is answered in as well.
        headers = {"Content-Type": _MEDIA_TYPES[self.encoding]}
        attempts = self._config.max_call_attempts if keyed else 1
        if attempts > 1:
            headers["Idempotency-Key"] = secrets.token_urlsafe(_KEY_BYTES)
        known = self._answers_known
        for attempt in range(attempts):
            if attempt:
                # By which the server can tell a call that it has never seen from one that it has forgotten.
                headers["Ringcast-Answers"] = known
                delay_s = self._config.reconnect_first_s * 2**attempt * self._config.random_source()
                await self._config.sleep(min(delay_s, self._config.reconnect_max_s))
            try:
                response = await self._client().post(url, content=content, headers=headers)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
                if not attempt:
                    raise ConnectionFailure(
                        f"cannot reach {self._base_url}: {error or type(error).__name__}", code="unreachable"
                    ) from error
                lost: httpx.TransportError = error
            except httpx.TransportError as error:
                lost = error
                if isinstance(error, httpx.ReadTimeout):
                    break  # the longest wait is over
            else:
                self._answers_known = response.headers.get("Ringcast-Answers", self._answers_known)
                return _answer(response, unknown if attempt else "")
        raise OutcomeUnknown(
            f"no answer came from {self._base_url} ({lost or type(lost).__name__}): {unknown}"
        ) from lost

    def _client(self) -> httpx.AsyncClient:
        if self._closed:
            raise ConnectionClosed("the client is closed")
        if self._http is None:
            self._http = httpx.AsyncClient(
                verify=self._config.ssl_context or True,
                limits=KEPT_SOCKETS,
                timeout=httpx.Timeout(self._config.http_timeout_s, connect=self._config.connect_timeout_s),
            )
        return self._http


def _answer(response: httpx.Response, unknown: str) -> dict[str, Any]:
    """Return what a response says; `unknown` says what is, if an earlier try may have arrived."""
    # Not always in the encoding of the call: what stands before the server's routes answers in JSON.
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    encoding = Encoding.MSGPACK if kind == _MEDIA_TYPES[Encoding.MSGPACK] else Encoding.JSON
    try:
        body = encoding.decode(response.content)
    except Exception:  # each decoder has its own tree of errors, and MessagePack several
        body = None
    if is_error_of_the_server(response):
        raise from_wire(body.get("error") if isinstance(body, dict) else None)
    if response.status_code != httpx.codes.OK or not isinstance(body, dict) or "error" in body:
        refused = foreign_error(response)
        if not unknown:
            raise refused
        raise OutcomeUnknown(f"{refused.message}, and before that no answer came: {unknown}") from refused
    return body
