"""What an actor is asked about a client: may it listen for an event, call, and what must it know.

Whether it may come in at all is asked in `letting_in.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from ..connection import Connection
from ..context import Context
from ..faults import Hook, for_client
from ..wire.encoding import Encoding
from .fingerprint import fingerprint
from .snapshot import copied

if TYPE_CHECKING:
    from .instance import ActorInstance

__all__ = ["Inquiry", "asked_about", "may_call", "may_subscribe", "snapshot"]


class Inquiry:
    """`can_subscribe` being asked about a connection, whose state it only looks at."""

    __slots__ = ("_answer", "_begun", "connection", "is_over", "seen")

    def __init__(self, connection: Connection[Any], answer: Coroutine[Any, Any, bool] | None = None) -> None:
        """`answer` is what an async hook works on; None for a sync one."""
        self.connection = connection
        self._answer = answer
        self._begun = False
        self.is_over = False
        """Whether the answer is there: a task that the hook has begun goes on, and finds this inquiry."""
        self.seen: bytes | None = None
        """What the state was all the time that an async hook could see it; None if it was not the same."""

    @property
    def is_at_once(self) -> bool:
        """Whether nothing else runs before the answer is there."""
        return self._answer is None

    def look(self) -> None:
        """The hook sees the state now."""
        if self._answer is None:
            return
        now = fingerprint(self.connection._state)
        if not self._begun:
            self._begun, self.seen = True, now
        elif now != self.seen:
            self.seen = None

    def __await__(self) -> Generator[Any, Any, bool]:
        """Run the hook, and look at the state whenever it goes on: that may have changed, and back."""
        work = self._answer
        assert work is not None
        go_on: Callable[[], Any] = partial(work.send, None)
        while True:
            self.look()
            try:
                waits_for = go_on()
            except StopIteration as end:
                return bool(end.value)
            try:
                go_on = partial(work.send, (yield waits_for))
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:
                go_on = partial(work.throw, error)


asked_about: Final[ContextVar[Inquiry | None]] = ContextVar("asked_about", default=None)
"""Inside `can_subscribe`: what it is asked."""


def may_subscribe(instance: ActorInstance, connection: Connection[Any], name: str) -> bool | Awaitable[bool]:
    """Ask `can_subscribe`. A hook that raises anything but an error of this package refuses.

    Raises `UnknownEvent` for a name that the actor will never send.
    """
    if instance.definition.events is not None:
        instance.definition.events.require(name)
    hook = instance.definition.hooks.can_subscribe
    if hook is None:
        return True
    inquiry = Inquiry(connection)
    token = asked_about.set(inquiry)
    try:
        answer = _ask(instance, hook, Context(instance, connection), name)
    finally:
        asked_about.reset(token)
        inquiry.is_over = True
    permission = instance.emitter.permission
    if not isinstance(answer, bool):
        if permission is not None:
            permission.is_async = True
        return _about(instance, connection, answer)
    if answer and permission is not None:
        permission.allowed_at_once(connection)
    return answer


async def _about(
    instance: ActorInstance, connection: Connection[Any], answer: Coroutine[Any, Any, bool]
) -> bool:
    inquiry = Inquiry(connection, answer)
    token = asked_about.set(inquiry)
    try:
        allowed = await inquiry
    finally:
        asked_about.reset(token)
        inquiry.is_over = True
    permission = instance.emitter.permission
    if allowed and permission is not None:
        permission.allowed(connection, inquiry.seen)
    return allowed


def may_call(
    instance: ActorInstance, hook: Hook, context: Context[Any, Any], action: str
) -> bool | Awaitable[bool]:
    """Ask `can_call` about an action, given by its Python name. Raises as `may_subscribe`."""
    return _ask(instance, hook, context, action)


def _ask(
    instance: ActorInstance, hook: Hook, context: Context[Any, Any], name: str
) -> bool | Coroutine[Any, Any, bool]:
    if hook.is_async:
        return _answer(instance, hook, instance.run_hook(hook, context, name))
    try:
        answer = hook.start(instance.actor, context, name)
    except BaseException as error:
        raise for_client(error, instance.log, hook.name) from None
    if type(answer) is CoroutineType:
        # As an async hook is under a decorator that knows no async: by itself it would count as yes.
        return _answer(instance, hook, instance.run_hook(replace(hook, function=lambda _: answer, takes=0)))
    return bool(answer)


async def _answer(instance: ActorInstance, hook: Hook, work: Awaitable[Any]) -> bool:
    try:
        return bool(await work)
    except Exception as error:
        raise for_client(error, instance.log, hook.name) from None


async def snapshot(
    instance: ActorInstance, connection: Connection[Any], encoding: Encoding
) -> tuple[Any, int]:
    """Return what `snapshot` gives for a connection, or None, and the position that belongs to it.

    It is a copy: what the hook returned may be the state itself, which goes on changing. Raises what a client
    may see.
    """
    hook = instance.definition.hooks.snapshot
    if hook is None:
        return None, 0
    async with instance.turn():
        try:
            value = hook.start(instance.actor, Context(instance, connection))
            copy = None if value is None else copied(value, encoding, instance.node.config.max_reply_bytes)
        except BaseException as error:
            raise for_client(error, instance.log, hook.name) from None
        return copy, instance.position
