"""Where a client finds its server: calls over HTTP, connections over WebSockets or server-sent events.

An endpoint knows addresses and transports, nothing of listeners or of coming back. `in_process.py` has the
one that needs no network.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol, cast
from urllib.parse import quote, urlsplit, urlunsplit

import httpx

from ..errors import ConnectionClosed, ConnectionFailure, OutcomeUnknown, RingcastError, from_wire
from ..wire.encoding import Encoding
from ..wire.protocol import Connect
from .backoff import doubled_s
from .config import ClientConfig
from .event_stream import PostReceiver
from .fallback import KEPT_SOCKETS, AnySocket, Transport, Ways
from .refusals import (
    MEDIA_TYPES,
    foreign_error,
    is_marked,
    is_of_a_lost_server,
    read_body,
    read_error,
    turns_away,
    wait_asked_for_s,
    would_be_refused_again,
)

__all__ = ["Endpoint", "HttpEndpoint", "addresses"]

_WEBSOCKET_SCHEMES: Final = {"http": "ws", "https": "wss"}

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
        """Let go of the server: calls raise `ConnectionClosed` from now on. Idempotent.

        One that was sent and is not answered raises `OutcomeUnknown`, where it goes over the network.
        """


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
        self._waiting: set[asyncio.Timeout] = set()
        """Those of calls that wait for their repeat."""
        self._closed = False

    async def call(self, address: Connect, action: str, args: list[Any], params: Any = None) -> Any:
        extra: dict[str, Any] = {"args": args}
        if params is not None:
            extra["params"] = params
        path, body = _about(address, f"actions/{quote(action, safe='')}", extra)
        unknown = "the call ran once or not at all"
        answer = await self._post(_Question(path, body, _is_value, unknown, keyed=True))
        return answer["value"]

    async def resolve(self, address: Connect, params: Any = None) -> tuple[str, tuple[str, ...]]:
        unknown = "nobody knows whether the actor was found or created, and nothing was called"
        path, body = _about(address, "resolve", {} if params is None else {"params": params})
        answer = await self._post(_Question(path, body, _is_actor, unknown))
        return answer["actor_id"], tuple(answer["key"])

    async def open_socket(
        self, receiver: PostReceiver, encoding: Encoding, config: ClientConfig
    ) -> AnySocket:
        return await self._ways.open(receiver, encoding, config)

    async def close(self) -> None:
        self._closed = True
        while self._waiting:
            self._waiting.pop().reschedule(0.0)
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def _post(self, question: _Question) -> dict[str, Any]:
        """Ask, again where no answer comes to what is keyed, and return the answer."""
        url = f"{self._base_url}/{question.path}"
        content = self.encoding.encode(question.body)
        # What it is answered in as well.
        headers = {"Content-Type": MEDIA_TYPES[self.encoding]}
        attempts = self._config.max_call_attempts if question.keyed else 1
        if attempts > 1:
            headers["Idempotency-Key"] = secrets.token_urlsafe(_KEY_BYTES)
        known = self._answers_known
        client = self._client()
        # Once for all attempts: who shows other cookies than the first, as a proxy hands them out with every
        # answer, is another caller to the server.
        request = client.build_request("POST", url, content=content, headers=headers)
        attempt = 0
        why: Exception | None = None
        for attempt in range(attempts):
            if attempt:
                # By which the server can tell a call that it has never seen from one that it has forgotten.
                request.headers["Ringcast-Answers"] = known
                await self._wait(attempt, why, question.unknown)
            try:
                said = await self._exchange(client, request)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
                if not attempt:
                    raise ConnectionFailure(
                        f"cannot reach {self._base_url}: {str(error) or type(error).__name__}",
                        code="unreachable",
                    ) from error
                why = error
            except (httpx.TransportError, OSError) as error:  # of TLS come errors that httpx does not know
                why = error
                if isinstance(error, (httpx.ReadTimeout, TimeoutError)):
                    break  # the longest wait is over
            else:
                if said.error is None and question.is_answered_by(said.body):
                    return cast(dict[str, Any], said.body)
                why = said.refusal
                if said.is_of_this_call or not (attempt or said.is_of_a_lost_server):
                    raise why
                if not said.may_pass:
                    break
        raise _unknown(self._base_url, why, question.unknown, is_repeat=attempt > 0) from why

    async def _exchange(self, client: httpx.AsyncClient, request: httpx.Request) -> _Said:
        """Post once.

        Raises `httpx.TransportError` or `OSError`, of which `TimeoutError` after the longest wait, and
        `ReplyTooLarge`.
        """
        until_s = asyncio.get_running_loop().time() + self._config.http_timeout_s
        async with asyncio.timeout_at(until_s):
            response = await client.send(request, stream=True)
        try:
            self._answers_known = response.headers.get("Ringcast-Answers", self._answers_known)
            error = await read_error(response, self._config.max_message_bytes, until_s)
            body = None
            if response.status_code == httpx.codes.OK and not is_marked(response):
                async with asyncio.timeout_at(until_s):
                    body = await read_body(response, self._config.max_message_bytes)
            return _Said(response, error, body)
        finally:
            # What is left of it is not read, as it counts for nothing.
            await response.aclose()

    async def _wait(self, attempt: int, why: Exception | None, unknown: str) -> None:
        """Wait before a repeat. Raises `OutcomeUnknown` where the client is closed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0.0 if self._closed else None) as waiting:
                self._waiting.add(waiting)
                try:
                    await self._config.sleep(self._delay_s(attempt, why))
                finally:
                    self._waiting.discard(waiting)
        if self._closed:
            raise OutcomeUnknown(f"the client was closed before an answer came: {unknown}") from why

    def _delay_s(self, attempt: int, why: Exception | None) -> float:
        """Draw how long to wait before the next attempt, after what the last one has ended with."""
        told_s = wait_asked_for_s(why) if isinstance(why, RingcastError) else None
        drawn_s = doubled_s(self._config.reconnect_first_s, attempt) * self._config.random_source()
        return min(max(drawn_s, told_s or 0.0), self._config.reconnect_max_s)

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


class _Question(NamedTuple):
    """What is asked of a server, and what counts as its answer."""

    path: str
    body: dict[str, Any]
    is_answered_by: Callable[[Any], bool]
    unknown: str
    """Says what is, if no answer comes."""
    keyed: bool = False
    """Whether it is sent again then: with a key, by which the server does it once."""


class _Said(NamedTuple):
    """What has come back: an answer, an error of the server's, or a page of something on the way."""

    response: httpx.Response
    """Its head."""
    error: dict[str, Any] | None
    body: Any

    @property
    def refusal(self) -> RingcastError:
        """What it means if it is no answer."""
        return foreign_error(self.response) if self.error is None else from_wire(self.error)

    @property
    def is_of_this_call(self) -> bool:
        """Whether the server says what has become of the call, and not of this request alone.

        Before it has looked for the call's key it cannot say that, and sends no `Ringcast-Answers`.
        """
        return self.error is not None and (
            "Ringcast-Answers" in self.response.headers or self.error["code"] == OutcomeUnknown.code
        )

    @property
    def is_of_a_lost_server(self) -> bool:
        """Whether something on the way has passed the request on, and no answer has come back to it."""
        return self.error is None and is_of_a_lost_server(self.response.status_code)

    @property
    def may_pass(self) -> bool:
        """Whether to ask once more makes sense."""
        if self.error is not None:
            return turns_away(self.refusal)
        return not would_be_refused_again(self.response.status_code)


def _about(address: Connect, what: str, extra: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the path and the body that ask for `what` of an actor."""
    # The connect message's own fields, so that an actor is named in one way everywhere.
    body = {**address.to_wire()[1], **extra}
    return f"actors/{quote(body.pop('actor'), safe='')}/{what}", body


def _is_value(body: Any) -> bool:
    return isinstance(body, dict) and "value" in body and "error" not in body


def _is_actor(body: Any) -> bool:
    if not isinstance(body, dict) or "error" in body or not isinstance(body.get("actor_id"), str):
        return False
    key = body.get("key")
    return isinstance(key, list) and all(isinstance(part, str) for part in key)


def _unknown(base_url: str, why: Exception | None, what: str, *, is_repeat: bool) -> OutcomeUnknown:
    """Return what a question ends with to which no answer came; `why` says what the last attempt has met."""
    if is_repeat and isinstance(why, RingcastError):
        return OutcomeUnknown(f"a repeat was refused ({why.message}), and no answer came before: {what}")
    return OutcomeUnknown(f"no answer came from {base_url} ({str(why) or type(why).__name__}): {what}")
