"""A server's life: listening sockets, and a shutdown that tells the clients first.

What is served is `http.py`'s and `websocket.py`'s; starting and stopping actors is the router's, and the
process `process.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import uvicorn
from starlette.types import ASGIApp

from ..operations.access import AccessLogged
from .application import NOTHING_BESIDE, ApplicationFailed, Beside, Divided, application_sockets
from .bridge import upgrade_protocol_class
from .event_socket import take_over
from .events import event_routes
from .guard import Guard, MetricsGuard, came_of
from .handshake import PATH
from .head import HeadProtocol, head_protocol_class
from .http import create_app, create_metrics_app
from .process import RESISTANCE_S, require_own_process, run_on_own_loop
from .tls import server_context
from .tls_accepting import TlsServer
from .upgrades import Upgrades
from .websocket import WebSocketEndpoint

if TYPE_CHECKING:
    from ..config import ServerConfig
    from ..registry import Registry

__all__ = ["run", "serving"]

_LOG: Final = logging.getLogger("ringcast.server")
_BACKLOG: Final = 4096
"""Connects that may wait to be accepted: after a lost network all clients come back at once."""
_TICK_S: Final = 1.0
_OF_TCP: Final = frozenset({socket.AF_INET, socket.AF_INET6})
_ALL_ADDRESSES: Final = frozenset({"0.0.0.0", "::"})
"""Of one family each: the port is taken on every address of the machine."""


def run(
    registry: Registry,
    host: str | None = None,
    port: int | None = None,
    *,
    on_listening: Callable[[str], None] | None = None,
    beside: Beside = NOTHING_BESIDE,
) -> None:
    """Serve `registry` until SIGINT or SIGTERM, on uvloop; return when everything is saved and closed.

    `host` and `port` default to those of the registry's configuration; port 0 takes a free one.
    `on_listening` is called with the server's address once it accepts connections; without it the address
    is printed. What goes on after its cancellation is given up.

    Raises `OSError` if the address cannot be had, `CertificateFileError` if the certificate cannot be used,
    `ApplicationFailed` if the application does not start, `RuntimeError` in another thread than the main one
    and where a loop runs, and whatever keeps the store from opening.
    """
    require_own_process()
    config = registry.config
    # Before the port is opened: nobody shall find a server that cannot answer.
    tls = None
    if config.tls_certificate is not None:
        tls = server_context(config.tls_certificate, config.tls_key)
    listening = _listen(config.host if host is None else host, config.port if port is None else port)
    # Before anything runs: an address that cannot be had is the caller's to know.
    measuring = _listen_for_metrics(config, listening)
    server = _Server(registry, tls, measuring, beside)
    run_on_own_loop(_run(server, listening, on_listening or _print_address), server.stop)


@contextlib.asynccontextmanager
async def serving(
    registry: Registry,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    sockets: Sequence[socket.socket] | None = None,
    tls: ssl.SSLContext | None = None,
    beside: Beside = NOTHING_BESIDE,
) -> AsyncIterator[str]:
    """Serve `registry` in the running loop for as long as the context lasts; gives the server's address.

    `sockets` that are bound already stand in for `host` and `port`, and are closed at the end. The address of
    a Unix socket is "unix:" and its path, with "@" for the zero before an abstract one. With `tls` the port
    speaks TLS; the configuration's files are not read. For tests and notebooks. Signals are left alone.
    """
    listening = _listen(host, port) if sockets is None else list(sockets)
    measuring = _listen_for_metrics(registry.config, listening)
    server, address = _Server(registry, tls, measuring, beside), _address(listening, tls)
    async with _running(server, listening):
        yield address


async def _run(server: _Server, listening: list[socket.socket], on_listening: Callable[[str], None]) -> None:
    address = _address(listening, server.tls)
    async with _running(server, listening) as task:
        if not server.should_exit:  # nobody has stopped it as it started
            on_listening(address)
        await task


@contextlib.asynccontextmanager
async def _running(server: _Server, listening: list[socket.socket]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(server.serve(listening))
    try:
        await server.wait_started(task)
        yield task
    finally:
        server.stop()
        await task


class _Server(uvicorn.Server):
    """uvicorn's server, which tells WebSocket clients to come back later before it waits for HTTP
    requests."""

    def __init__(
        self,
        registry: Registry,
        tls: ssl.SSLContext | None,
        measuring: list[socket.socket],
        beside: Beside,
    ) -> None:
        router, config = registry.router, registry.config
        self._registry, self._router = registry, router
        self._limits = config
        self.tls = tls
        self._measuring = measuring
        self.servers = []  # uvicorn's, which has none before it is started
        self._metrics_servers: list[asyncio.Server] = []
        guard = Guard(config, router.limits_hit, tls is not None)
        self._places = guard.places
        self._application = application = beside.application
        sockets = None
        mount: str | None = ""
        if application is not None:
            mount, sockets = application.mount, application_sockets(guard)
            if application.warning:
                _LOG.warning("%s", application.warning)
        self._endpoint = WebSocketEndpoint(router, config, guard, (mount or "") + PATH)
        upgrades = Upgrades(self._endpoint.upgraded_protocol, mount, sockets)
        events = event_routes(router, guard, partial(take_over, self._endpoint, guard))
        app: ASGIApp = create_app(router, config, guard=guard, routes=[*events, *beside.routes])
        self._divided = None if application is None else Divided(app, application, guard)
        self._is_started = asyncio.Event()
        self._is_stopping = asyncio.Event()
        super().__init__(
            uvicorn.Config(
                AccessLogged(self._divided or app, lambda scope: came_of(scope, guard).address),
                http=head_protocol_class(config.connect_timeout_s, upgrades, guard),
                ws=upgrade_protocol_class(self._endpoint, config.max_message_bytes),
                # An application without one is as good.
                lifespan="off" if application is None else "auto",
                interface="asgi3",
                log_config=None,
                # What clients do wrong is a warning to uvicorn, and nothing to wake anybody for.
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                # Seconds, which uvicorn hands to the loop as they are.
                timeout_keep_alive=config.idle_timeout_s,  # type: ignore[arg-type]
                timeout_graceful_shutdown=max(1, round(config.close_timeout_s)),
            )
        )

    def stop(self) -> None:
        """Begin to shut down, with the delay that is set. Idempotent."""
        self._router.draining = True
        self.should_exit = True
        self._is_stopping.set()

    async def wait_started(self, serving: asyncio.Task[None]) -> None:
        """Wait until connections are accepted, or until `serving` has ended and raise what ended it."""
        started = asyncio.create_task(self._is_started.wait())
        await asyncio.wait((started, serving), return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if serving.done():
            await serving

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # The application before the registry, and after it at the end: actors may use all that it sets up.
        is_prepared = False
        self._registry.served_on = asyncio.get_running_loop()
        try:
            await self.lifespan.startup()
            is_prepared = not self.lifespan.should_exit
            if not is_prepared:
                raise ApplicationFailed("the application could not be started; its log says why")
            if self._is_mounted_late:
                raise ApplicationFailed("the application has mounted registry.asgi() as it started: too late")
            await self._registry.start()
            await self._accept(sockets or [])
            await self._accept_metrics()
        except BaseException:
            for server in (*self.servers, *self._metrics_servers):
                server.close()
            for sock in (*(sockets or []), *self._measuring):
                sock.close()
            await self._stop_registry()
            if is_prepared:
                await self._end_application()
            self._registry.served_on = None
            raise
        self._is_started.set()

    @property
    def _is_mounted_late(self) -> bool:
        """Whether they would be at a second place as well, past what the application has before them."""
        application = self._application
        return application is not None and application.registry is None and self._registry.hosted is not None

    async def _accept(self, sockets: list[socket.socket]) -> None:
        """Do what uvicorn would; with TLS, sockets are bounded also during their handshakes."""
        new_protocol = partial(
            cast(Callable[..., HeadProtocol], self.config.http_protocol_class),
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        for sock in sockets:
            if sock.family in _OF_TCP:
                # Those that are accepted have it from there. uvloop sets it for each; asyncio only where the
                # socket was made with the number of this protocol, and not with 0 for it.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # uvloop would not say that somebody else listens there by now, and serve nobody.
            sock.listen(_BACKLOG)
        if self.tls is None:
            loop = asyncio.get_running_loop()
            self.servers = [
                await loop.create_server(new_protocol, sock=sock, backlog=_BACKLOG) for sock in sockets
            ]
        else:
            limits_hit = self._router.limits_hit
            accepting = [
                TlsServer(new_protocol, sock, self.tls, self._limits, limits_hit) for sock in sockets
            ]
            # uvicorn only closes them.
            self.servers = cast(list[asyncio.Server], accepting)
            for server in accepting:
                server.start(_BACKLOG)
        self.started = True

    async def _accept_metrics(self) -> None:
        """Serve `/metrics` where it has a port of its own: until the very end, for whoever watches that."""
        if not self._measuring:
            return
        limits = self._limits
        config = uvicorn.Config(
            create_metrics_app(self._registry.router, self._places),
            http=head_protocol_class(limits.connect_timeout_s, Upgrades(None), MetricsGuard(limits)),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=limits.idle_timeout_s,  # type: ignore[arg-type]  # as above
        )
        config.load()
        new_protocol = partial(
            cast(Callable[..., asyncio.Protocol], config.http_protocol_class),
            config=config,
            server_state=self.server_state,
            app_state={},
        )
        loop = asyncio.get_running_loop()
        try:
            for sock in self._measuring:
                sock.listen()  # as in `_accept`
        except OSError as error:
            raise _of_metrics(self._limits, error) from error
        self._metrics_servers = [
            await loop.create_server(new_protocol, sock=sock) for sock in self._measuring
        ]
        _LOG.info("metrics at %s/metrics", _address(self._measuring, None))

    async def main_loop(self) -> None:
        # uvicorn's own would notice an end up to 0.1 s late: much, to somebody who runs a thousand tests.
        while not await self.on_tick(0):  # which writes the time into the HTTP headers
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_stopping.wait(), _TICK_S)
        delay_s = self._limits.drain_delay_s
        if delay_s:
            _LOG.info("stopping in %g s; until then clients are served, and /ready says no", delay_s)
            over = asyncio.Event()
            self._registry.clock.call_later(delay_s, over.set)
            await over.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        if self.tls is not None:
            for server in self.servers:
                await server.wait_closed()
        if self._divided is not None:
            # They may call actors.
            await self._divided.end_requests(self._limits.close_timeout_s)
        await self._stop_registry()
        await self._endpoint.deadlines.wait_all_closed(self._limits.close_timeout_s)
        for metrics_server in self._metrics_servers:
            metrics_server.close()
        for sock in sockets or []:
            sock.close()
        if self.server_state.connections or self.server_state.tasks:
            await self._end_connections()
        await self._end_application()
        # Whoever has used `registry.client` since then has started it again.
        self._registry.served_on = None
        await self._stop_registry()

    async def _end_connections(self) -> None:
        """End HTTP, and WebSockets of the application.

        In uvicorn's own shutdown, one that fails would cost all others theirs, and the application its end;
        and it would wait for that without a bound.
        """
        for connection in list(self.server_state.connections):
            try:
                connection.shutdown()
            except Exception:
                # Such as a WebSocket's that its client has closed, with more to be written than is read.
                connection.transport.close()
                _LOG.warning("a connection could not be told that the server stops", exc_info=True)
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                await self._wait_tasks_to_complete()
        except TimeoutError:
            late = set(self.server_state.tasks)
            if late:
                _LOG.warning("the server stops, and requests are cut off: %d", len(late))
            for task in late:
                task.cancel()

    async def _end_application(self) -> None:
        """End the application's lifespan, which may take as long as an actor to stop."""
        timeout_s = self._limits.shutdown_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self.lifespan.shutdown()
        except TimeoutError:
            assert self._divided is not None  # without an application, there is nothing that lasts
            await self._divided.cut_off_lifespan(timeout_s)

    async def _stop_registry(self) -> None:
        limits = self._limits
        # The actors keep the first by themselves; what is beyond is for tasks that resist their cancellation,
        # and for the store to close.
        timeout_s = limits.shutdown_timeout_s + limits.close_timeout_s + RESISTANCE_S
        try:
            async with asyncio.timeout(timeout_s):
                await self._registry.stop()
        except TimeoutError:
            _LOG.error("stopping took longer than %g s: some actors may not have been saved", timeout_s)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own would end the process by the signal that stopped it, not with exit code 0.
        yield


def _listen(host: str, port: int) -> list[socket.socket]:
    """Bind a socket for every address of `host`. Raises `OSError` if one cannot be had."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # With port 0 all addresses get the port that the first one got.
            chosen = port or (sockets[0].getsockname()[1] if len(sockets) > 1 else 0)
            sock.bind((address[0], chosen, *address[2:]))
            sock.setblocking(False)
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _listen_for_metrics(config: ServerConfig, listening: list[socket.socket]) -> list[socket.socket]:
    """Bind the port for metrics, if they have one of their own. Raises `OSError`, with nothing left open."""
    if config.metrics_port is None:
        return []
    try:
        measuring = _listen(config.metrics_host, config.metrics_port)
        if any(_is_taken_by(own, sock) for own in listening for sock in measuring):
            # Two sockets that are bound, and do not listen yet, may share an address.
            for sock in measuring:
                sock.close()
            raise OSError(errno.EADDRINUSE, "that is the server's own port")
        return measuring
    except OSError as error:
        for sock in listening:
            sock.close()
        raise _of_metrics(config, error) from error


def _of_metrics(config: ServerConfig, error: OSError) -> OSError:
    text = f"port {config.metrics_port} of {config.metrics_host}, for metrics: {error.strerror}"
    return OSError(error.errno, text)


def _is_taken_by(one: socket.socket, other: socket.socket) -> bool:
    """Tell whether only one of these sockets can listen."""
    if one.family != other.family:
        return False
    (host, port), (other_host, other_port) = one.getsockname()[:2], other.getsockname()[:2]
    return port == other_port and (host == other_host or not _ALL_ADDRESSES.isdisjoint((host, other_host)))


def _address(listening: list[socket.socket], tls: ssl.SSLContext | None) -> str:
    first = listening[0]
    if first.family not in _OF_TCP:
        path = os.fsdecode(first.getsockname())
        return f"unix:@{path[1:]}" if path.startswith("\0") else f"unix:{path}"
    scheme = "http" if tls is None else "https"
    host, port = first.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _print_address(address: str) -> None:
    print(f"listening on {address}", flush=True)
