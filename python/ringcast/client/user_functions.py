"""What a `SyncClient`'s loop has in place of its user's functions, handlers above all: it keeps none alive.

The thread of that loop goes on until it is told to end, and what it holds lives as long. A handler mostly
knows its connection, which knows the client: held there, no such client could be dropped. So the client keeps
these functions, and what the loop has in place of each finds it for as long as somebody has the client.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, ref

from .background import Handlers, in_a_thread
from .lifecycle import Params
from .listeners import Handler

__all__ = ["UserFunctions", "unblocked"]


class UserFunctions:
    """The functions that one connection calls. All methods are for the loop's thread.

    Each is here for as long as the loop has its stand-in: until a handler is removed, or has run once.
    """

    def __init__(self, handlers: Handlers) -> None:
        self.handlers = handlers
        self._by_stand_in: WeakKeyDictionary[_StandIn, Callable[..., Any]] = WeakKeyDictionary()

    def handler(self, function: Handler) -> Handler:
        """Return a stand-in for a handler; one that is not async runs in the thread for handlers."""
        # What cannot be called is refused by the listeners, which say so.
        return self._keep(_StandInHandler(self, self.handlers), function) if callable(function) else function

    def params(self, params: Params) -> Params:
        """Return a stand-in for a function that gives parameters, made by `unblocked`; values as they are."""
        return self._keep(_StandInParams(self), params) if callable(params) else params

    def stand_ins(self, function: Handler) -> list[Handler]:
        """Return what stands for a handler; once for each time that it was given."""
        return [stand_in for stand_in, known in self._by_stand_in.items() if known == function]

    def find(self, stand_in: _StandIn) -> Callable[..., Any] | None:
        """Return the function that something stands for."""
        return self._by_stand_in.get(stand_in)

    def _keep(self, stand_in: _StandIn, function: Callable[..., Any]) -> _StandIn:
        self._by_stand_in[stand_in] = function
        return stand_in


class _StandIn:
    """Finds its function while there is one: a client that was dropped has none, until it is closed."""

    def __init__(self, functions: UserFunctions) -> None:
        self._functions = ref(functions)

    def __call__(self, *args: Any) -> Any:
        raise NotImplementedError

    def _found(self) -> Callable[..., Any] | None:
        functions = self._functions()
        return None if functions is None else functions.find(self)


class _StandInHandler(_StandIn):
    def __init__(self, functions: UserFunctions, handlers: Handlers) -> None:
        super().__init__(functions)
        self._handlers = handlers

    async def __call__(self, *args: Any) -> None:
        function = self._found()
        if function is None:
            return
        if inspect.iscoroutinefunction(function):
            await function(*args)
            return
        result = await self._handlers.run(function, args)
        if inspect.isawaitable(result):  # of an object whose call is async
            await result


class _StandInParams(_StandIn):
    async def __call__(self) -> Any:
        function = self._found()
        if function is None:
            # No attempt without parameters: that it is closed, in a moment, ends this.
            return await asyncio.get_running_loop().create_future()
        return await function()


def unblocked(params: Params) -> Params:
    """Return the parameters so that a function that gives them may block."""
    if not callable(params) or inspect.iscoroutinefunction(params):
        return params
    return partial(in_a_thread, params)
