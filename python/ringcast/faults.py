"""Running user code that may raise: hooks, an actor's log, and what a client may read of an exception."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import (
    MASKED,
    ActionTimeout,
    DefinitionError,
    InternalError,
    InvalidEvent,
    RingcastError,
    UnknownEvent,
)
from .fault_log import log_fault
from .operations.logs import of_actor

__all__ = [
    "ActorLog",
    "Hook",
    "StoreFault",
    "contained",
    "for_client",
    "from_store",
    "is_needed",
    "raise_interrupt",
    "run_hook",
    "was_cancelled",
]


if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


ResultT = TypeVar("ResultT")


def raise_interrupt(error: BaseException) -> None:
    """Raise `error` again if it is Ctrl-C; nothing else that user code raises may harm anybody else.

    `sys.exit()` in an action, or an argument parser's, ends that action and not the server. So does what is
    no `Exception` at all, such as the panic of an extension module.
    """
    if isinstance(error, KeyboardInterrupt):
        raise error


class ActorLog(_Adapter):
    """A logger for one actor: its key begins each message; key and id are fields of the record."""

    def __init__(self, name: str, actor_id: str, key: tuple[str, ...]) -> None:
        super().__init__(logging.getLogger(f"ringcast.actor.{name}"), of_actor(name, actor_id, key))
        # A key comes from a client: it may hold line breaks, and a % would be taken for a placeholder.
        self._prefix = re.sub(r"[^\w.:/-]", "_", "/".join(key) or actor_id)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        message, kwargs = super().process(msg, kwargs)
        return f"{self._prefix}: {message}", kwargs


def for_client(error: BaseException, log: logging.Logger | ActorLog, what: str) -> RingcastError:
    """Return the error that the client gets for `error`, raised by `what`.

    Errors of this package go as they are: they were made to be read by a client. Anything else goes to the
    log with its traceback, which `fault_log.py` bounds, and to the client without its text. Raises
    `KeyboardInterrupt` again.

    An event that its actor does not declare goes to both: only the actor's author can do something about it.
    """
    raise_interrupt(error)
    if isinstance(error, RingcastError):
        if isinstance(error, InvalidEvent | UnknownEvent):
            log_fault(log, error, "%s raised %s", what, type(error).__name__)
        # Its author may keep it and raise it again: it would hold all that was going on, each time more.
        return error.with_traceback(None)
    log_fault(log, error, "%s raised %s", what, type(error).__name__)
    return InternalError(MASKED)


class StoreFault(Exception):  # noqa: N818 - as the other errors of this package
    """The store raised something unexpected, which is its cause; the same may go well a little later."""


async def from_store(work: Awaitable[ResultT]) -> ResultT:
    """Return the result of a store's method. Raises `StoreFault` for anything but an error of ours."""
    try:
        return await contained(work, "the store")
    except RingcastError:
        raise
    except Exception as error:
        raise StoreFault(f"the store raised {type(error).__name__}") from error


async def contained(work: Awaitable[ResultT], what: str) -> ResultT:
    """Return the result of `work`. Raises `RuntimeError` for what is no `Exception`.

    Nobody catches that: a `SystemExit` would end the loop, others the task with nobody told. Cancellation and
    Ctrl-C go through.
    """
    task = asyncio.current_task()
    try:
        return await work
    except (Exception, asyncio.CancelledError, KeyboardInterrupt):
        raise
    except BaseException as error:
        if isinstance(error, GeneratorExit) and not _is_running(task):
            raise  # thrown into a coroutine that is collected unfinished
        raise RuntimeError(f"{what} raised {type(error).__name__}") from error


def _is_running(task: asyncio.Task[Any] | None) -> bool:
    try:
        return asyncio.current_task() is task
    except RuntimeError:  # no loop runs
        return False


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
                return await contained(self._finish(actor, *arguments), self.name)
        except TimeoutError:
            if limit.expired():
                raise ActionTimeout(f"{self.name} took longer than {timeout_s:g} s") from None
            raise
        except asyncio.CancelledError as error:
            if was_cancelled():
                raise
            # As any other error: let through, it would look as if the one who waits had been cancelled.
            raise RuntimeError(f"{self.name} raised CancelledError") from error

    async def _finish(self, actor: object, *arguments: Any) -> Any:
        result = self.start(actor, *arguments)
        return await result if inspect.isawaitable(result) else result


async def run_hook(hook: Hook | None, actor: object, *arguments: Any, timeout_s: float | None = None) -> Any:
    """Run a hook if there is one; as `Hook.run`."""
    return None if hook is None else await hook.run(actor, *arguments, timeout_s=timeout_s)


def was_cancelled() -> bool:
    """Tell whether somebody asked the current task to end, so that a `CancelledError` in it is no error."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def is_needed(parameter: inspect.Parameter) -> bool:
    """Tell whether a call without this parameter fails."""
    gathering = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not gathering
