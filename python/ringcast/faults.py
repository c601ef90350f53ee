"""Running user code that may raise: hooks, an actor's log, and what a client may read of an exception."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import MASKED, ActionTimeout, DefinitionError, InternalError, RingcastError

__all__ = [
    "USER_FAULTS",
    "ActorLog",
    "Hook",
    "StoreFault",
    "contained",
    "for_client",
    "from_store",
    "is_needed",
    "was_cancelled",
]


if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


ResultT = TypeVar("ResultT")

USER_FAULTS = (Exception, asyncio.CancelledError, SystemExit)
"""What user code may raise without harm to anybody else.

`sys.exit()` in an action, or an argument parser's, ends that action and not the server.
"""


class ActorLog(_Adapter):
    """A logger for one actor: its key begins each message; key and id are fields of the record."""

    def __init__(self, name: str, actor_id: str, key: tuple[str, ...]) -> None:
        super().__init__(
            logging.getLogger(f"ringcast.actor.{name}"), {"actor_id": actor_id, "actor_key": key}
        )
        # A key comes from a client: it may hold line breaks, and a % would be taken for a placeholder.
        self._prefix = re.sub(r"[^\w.:/-]", "_", "/".join(key) or actor_id)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        message, kwargs = super().process(msg, kwargs)
        return f"{self._prefix}: {message}", kwargs


def for_client(error: BaseException, log: logging.Logger | ActorLog, what: str) -> RingcastError:
    """Return the error that the client gets for `error`, raised by `what`.

    Errors of this package go as they are: they were made to be read by a client. Anything else goes to the
    log with its traceback, and to the client without its text.
    """
    if isinstance(error, RingcastError):
        return error
    log.error("%s raised %s", what, type(error).__name__, exc_info=error)
    return InternalError(MASKED)


class StoreFault(Exception):  # noqa: N818 - as the other errors of this package
    """The store raised something unexpected, which is its cause; the same may go well a little later."""


async def from_store(work: Awaitable[ResultT]) -> ResultT:
    """Return the result of a store's method. Raises `StoreFault` for anything but an error of ours."""
    try:
        return await work
    except RingcastError:
        raise
    except Exception as error:
        raise StoreFault(f"the store raised {type(error).__name__}") from error


async def contained(work: Awaitable[ResultT], what: str) -> ResultT:
    """Return the result of `work`. Raises `RuntimeError` for a `SystemExit`, which would end the loop."""
    try:
        return await work
    except SystemExit as error:
        raise RuntimeError(f"{what} raised SystemExit") from error


@dataclass(slots=True, frozen=True)
class Hook:
    """One hook of an actor class."""

    name: str
    function: Callable[..., Any]
    is_async: bool
    takes: int
    """How many arguments after self it takes: it may leave out trailing ones."""

    @classmethod
    def of(cls, name: str, function: Callable[..., Any], most: int) -> Hook:
        """Describe a hook that is offered `most` arguments. Raises `DefinitionError` if it needs more."""
        parameters = list(inspect.signature(function).parameters.values())[1:]
        needed = [parameter for parameter in parameters if is_needed(parameter)]
        if len(needed) > most:
            raise DefinitionError(f"the hook {function.__qualname__} takes at most {most} after self")
        if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
            takes = most
        else:
            keyword_only = inspect.Parameter.KEYWORD_ONLY
            takes = min(most, sum(parameter.kind is not keyword_only for parameter in parameters))
        return cls(name, function, inspect.iscoroutinefunction(function), takes)

    def start(self, actor: object, *arguments: Any) -> Any:
        """Call the hook; an async one gives its coroutine."""
        return self.function(actor, *arguments[: self.takes])

    async def run(self, actor: object, *arguments: Any, timeout_s: float | None = None) -> Any:
        """Call the hook and wait for it. Raises `ActionTimeout` when it takes longer than `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s) as limit:
                result = self.start(actor, *arguments)
                return await result if inspect.isawaitable(result) else result
        except TimeoutError:
            if limit.expired():
                raise ActionTimeout(f"{self.name} took longer than {timeout_s:g} s") from None
            raise
        except asyncio.CancelledError as error:
            if was_cancelled():
                raise
            # As any other error: let through, it would look as if the one who waits had been cancelled.
            raise RuntimeError(f"{self.name} raised CancelledError") from error
        except SystemExit as error:
            raise RuntimeError(f"{self.name} raised SystemExit") from error


def was_cancelled() -> bool:
    """Tell whether somebody asked the current task to end, so that a `CancelledError` in it is no error."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def is_needed(parameter: inspect.Parameter) -> bool:
    """Tell whether a call without this parameter fails."""
    gathering = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not gathering
