"""`Registry`: the actor classes of an application, and how they are run.

What runs them is the router (`router.py`), made on first use.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .actor import Actor
from .clock import Clock, SystemClock
from .config import ServerConfig, with_tls
from .errors import DefinitionError, UnknownActor
from .schema.definition import ActorDefinition, define
from .store import SqliteStore, Store

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from .client import Client
    from .router import Router
    from .server.asgi import Asgi

__all__ = ["Registry"]


class Registry:
    """Bring actor classes together, with the store that keeps them and the limits that they run with.

    Without a `store`, a SQLite file at `config.store_path` is used. Raises `DefinitionError` for a class that
    is not well formed, or whose name on the wire is taken.

    Run it as a server (`serve`, or `ringcast serve MODULE:REGISTRY`), or in process::

        async with Registry(NewsRoom, store=MemoryStore()) as registry:
            room = registry.client.get_or_create(NewsRoom, ["world"])
    """

    def __init__(
        self,
        *actor_classes: type[Actor[Any, Any]],
        store: Store | None = None,
        config: ServerConfig | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.config = config or ServerConfig()
        self.store = store or SqliteStore(self.config.store_path)
        self.clock: Clock = clock or SystemClock()
        self.definitions: tuple[ActorDefinition, ...] = tuple(define(cls) for cls in actor_classes)
        self._by_wire_name: dict[str, ActorDefinition] = {}
        for definition in self.definitions:
            self._add(definition)
        self._router: Router | None = None
        self._client: Client | None = None
        self._asgi: Asgi | None = None
        self.hosted: Asgi | None = None
        """What somebody has asked for, to be mounted; None if nobody has. Set by `asgi`."""
        self.served_on: AbstractEventLoop | None = None
        """The loop of the server that starts these actors and stops them; None where no server does."""

    def definition(self, wire_name: str) -> ActorDefinition:
        """Return the actor that answers to this name. Raises `UnknownActor`."""
        found = self._by_wire_name.get(wire_name)
        if found is None:
            raise UnknownActor(f"no actor is called {wire_name!r} here")
        return found

    @property
    def router(self) -> Router:
        """The router that runs these actors: made on first use, and anew after `stop`."""
        if self._router is None:
            # Here and not above: importing it loads the native module, which definitions do not need.
            from .router import Router  # noqa: PLC0415

            self._router = Router(self)
        return self._router

    @property
    def running(self) -> Router | None:
        """The router, from its start to its stop."""
        router = self._router
        return router if router is not None and router.has_started else None

    @property
    def client(self) -> Client:
        """A client in this process, with the network's interface.

        What is used of it raises `RuntimeError` where the registry does not run, because whoever starts it
        has to stop it, and on any other event loop than the registry's.
        """
        if self._client is None:
            from .client.in_process import InProcessClient  # noqa: PLC0415

            self._client = InProcessClient(self)
        return self._client

    async def start(self) -> None:
        """Start the router on the running event loop, for use in process. Raises what the store raises."""
        await self.router.start()

    async def stop(self) -> None:
        """Stop the router: actors are saved, connections closed. It may be started again."""
        if self._router is not None:
            await self._router.stop()
        # After the router, so that hooks that run while it stops find both; closed, because a connection in
        # process would come back, and start a new router for it.
        client, self._client, self._router = self._client, None, None
        if client is not None:
            await client.close()

    def serve(
        self,
        *,
        host: str | None = None,
        port: int | None = None,
        tls_certificate: str | None = None,
        tls_key: str | None = None,
        app: ASGIApp | None = None,
        mount: str | None = None,
    ) -> None:
        """Run a server until it is interrupted; blocks. What is given goes before the config's.

        With an ASGI application as `app`, that has all paths but those below `mount`, where Ringcast's are:
        where it has mounted `asgi()`, or `/realtime` if nobody has asked for that. It is started before the
        registry and stopped after it.

        Raises `OSError` if the address cannot be had, `ValueError` if the certificate cannot be used or the
        application has routes below `mount`, `RuntimeError` if it could not be started.
        """
        from .server.application import Beside, mounted  # noqa: PLC0415
        from .server.serve import run  # noqa: PLC0415

        if tls_certificate is not None or tls_key is not None:
            self.config = with_tls(self.config, tls_certificate, tls_key)
        if app is None and mount is not None:
            raise ValueError("mount is where Ringcast is beside an application: give its app")
        application = None if app is None else mounted(self, app, mount)
        run(self, host=host, port=port, beside=Beside(application=application))

    def asgi(self) -> Asgi:
        """Return an ASGI application with these actors, for other servers, to be mounted in others.

        It serves what the own server does, below the path where it is mounted. Whoever runs the process
        starts the registry and stops it: see `lifespan`. Where the ASGI server runs this application alone,
        its lifespan does that.
        """
        self.hosted = self._made_asgi()
        return self.hosted

    def _made_asgi(self) -> Asgi:
        if self._asgi is None:
            from .server.asgi import Asgi  # noqa: PLC0415

            self._asgi = Asgi(self)
        return self._asgi

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Run the registry for as long as an application runs: `FastAPI(lifespan=registry.lifespan)`.

        An application with a lifespan of its own enters it there: `async with registry.lifespan(app)`.
        """
        async with self._made_asgi().running():
            yield

    async def __aenter__(self) -> Registry:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _add(self, definition: ActorDefinition) -> None:
        for wire_name in definition.wire_names:
            other = self._by_wire_name.setdefault(wire_name, definition)
            if other is not definition:
                raise DefinitionError(
                    f"the actors {other.cls.__qualname__} and {definition.cls.__qualname__} "
                    f"both answer to {wire_name!r} on the wire"
                )
