"""What an application says that it has, and where: its routes, those of what is mounted in it, and the
middleware that stands before each.

It is read as Starlette and FastAPI keep it. What becomes of it is `application.py`'s to decide.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from starlette.routing import Mount

__all__ = ["Middleware", "Place", "before", "layers", "places"]

_MOST_LAYERS: Final = 100
"""Of middleware around an application: more is taken for a circle."""

Middleware = tuple[Any, Any]
"""What it is made by, and the function that it runs, if it is one that runs a function."""


class Place(NamedTuple):
    """One route, of an application or of one that is mounted in it."""

    path: str
    """From the root, with the paths of all mounts that it is in."""
    route: Any
    app: Any
    """What is there, inside of all middleware."""
    around: tuple[Middleware, ...]
    """What a request goes through on its way there, the outermost first."""
    depth: int
    """How many mounts it is in."""

    @property
    def is_mount(self) -> bool:
        return isinstance(self.route, Mount)

    @property
    def is_opaque(self) -> bool:
        """Whether it is a mount of something that does not say which routes it has."""
        return self.is_mount and not hasattr(self.app, "routes")


def places(app: Any) -> Iterator[Place]:
    """Give the routes of an application, each mount before what is in it."""
    yield from _places(app, "", (), ())


def before(app: Any) -> tuple[Middleware, ...]:
    """Return the middleware that every request to `app` goes through, as far as that says so."""
    *outer, inside = layers(app)
    router = getattr(inside, "router", inside)
    stack = getattr(router, "middleware_stack", None)
    return (
        *(_of(layer) for layer in outer),
        *((each.cls, each.kwargs.get("dispatch")) for each in getattr(inside, "user_middleware", ())),
        # What a router has of its own ends with a method of the router.
        *(_of(layer) for layer in layers(stack) if stack is not None and not inspect.ismethod(layer)),
    )


def layers(app: Any) -> list[Any]:
    """Return an application, and what is inside of the middleware around it, as far as that says so."""
    found = [app]
    while len(found) < _MOST_LAYERS:
        inner = getattr(found[-1], "app", None)
        # A router's is its own method, and nothing that it is around.
        if inner is None or inspect.ismethod(inner):
            break
        found.append(inner)
    return found


def _places(app: Any, path: str, around: tuple[Middleware, ...], within: tuple[Any, ...]) -> Iterator[Place]:
    inside = layers(app)[-1]
    if any(inside is each for each in within):
        return  # mounted in itself
    around, within = (*around, *before(app)), (*within, inside)
    yield from _of_routes(getattr(inside, "routes", ()), path, around, within)


def _of_routes(
    routes: object, path: str, around: tuple[Middleware, ...], within: tuple[Any, ...]
) -> Iterator[Place]:
    if not isinstance(routes, Sequence):
        return
    taken: list[str] = []
    for route in routes:
        included, own_path = getattr(route, "original_router", None), getattr(route, "path", None)
        if included is not None and not any(included is each for each in within):
            # A router that FastAPI has included: it keeps that in the place of the routes.
            prefix = getattr(getattr(route, "include_context", None), "prefix", "")
            yield from _of_routes(included.routes, path + prefix, around, (*within, included))
        if not isinstance(own_path, str):
            continue  # by the name of the host, for one
        there = path + own_path
        if not isinstance(route, Mount):
            yield Place(there, route, None, around, len(within))
            continue
        there = there.rstrip("/")
        if any(f"{there}/".startswith(f"{mount}/") for mount in taken):
            continue  # one before it has all of its requests
        taken.append(there)
        if type(route) is not Mount:
            # Its own code decides what becomes of a request.
            yield Place(there, route, route, around, len(within))
            continue
        *outer, inside = layers(route.app)
        through = (*around, *(_of(layer) for layer in outer))
        yield Place(there, route, inside, through, len(within))
        yield from _places(inside, there, through, within)


def _of(layer: Any) -> Middleware:
    return type(layer), getattr(layer, "dispatch_func", None)
