"""Which actors run here, found by name and key or by id; each runs once, however many ask at once.

What an actor does when it runs is the work of `instance.py`; what it was before, the store knows.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from ..errors import (
    ActionTimeout,
    ActorAlreadyExists,
    ActorNotFound,
    CloseCode,
    ConnectionClosed,
    UnknownActor,
)
from ..faults import StoreFault, contained, from_store
from ..request import Caller
from ..schema.definition import ActorDefinition
from ..seam import Node
from ..store import JournalCorrupt, ScheduledCall, StoredActor, StoredStream
from ..wire.protocol import Connect
from .capacity import Capacity
from .instance import ActorInstance
from .letting_in import CallerRefused
from .timetable import Absence

__all__ = ["Directory"]

_log: Final = logging.getLogger("ringcast.directory")

_Place = tuple[str, tuple[str, ...]]
"""The name of a definition and a key."""

_ID_BYTES: Final = 12


class Directory:
    """The running actors of one process."""

    def __init__(self, node: Node, definition_of: Callable[[str], ActorDefinition]) -> None:
        self._node = node
        # By the name of the class; raises `UnknownActor`.
        self._definition_of = definition_of
        self._by_place: dict[_Place, ActorInstance] = {}
        self._by_id: dict[str, ActorInstance] = {}
        # Starts and stops under way, by place: whoever comes meanwhile waits for them.
        self._starting: dict[_Place, asyncio.Task[ActorInstance]] = {}
        self._stopping: dict[_Place, asyncio.Task[None]] = {}
        # How many are being looked for now, by place: an actor that is wanted does not go to sleep.
        self._wanted: Counter[_Place] = Counter()
        # Ids of actors whose journal a commit has found damaged, until they have started anew: what it has
        # met may be nowhere that a start looks.
        self._damaged: set[str] = set()
        self.capacity = Capacity(node, self._by_place)
        self._hurried = False
        self._closed = False

    def __len__(self) -> int:
        return len(self._by_place)

    def __iter__(self) -> Iterator[ActorInstance]:
        return iter(list(self._by_place.values()))

    async def find(
        self, definition: ActorDefinition, request: Connect, caller: Caller | None = None
    ) -> ActorInstance:
        """Return the running actor that `request` asks for, starting it first where it has to be.

        It is running when this returns, and will not go to sleep before the caller has used it, if that does
        so without waiting for anything else.

        One that is created for a `caller` from outside has let it in when it is stored, as `let_in_first` in
        `letting_in.py` says.

        Raises `ActorNotFound` (lookup `get` or `id`), `ActorAlreadyExists` (lookup `create`), what its hooks
        raise when it starts, as `Capacity.creating` where it is created, and `ConnectionClosed` when the
        directory has been closed.
        """
        key = request.key
        if request.lookup == "id":
            key = await self._key_of(definition, str(request.actor_id))
        place = definition.name, key
        instance = self._by_place.get(place)
        if instance is not None and place not in self._stopping and not self._closed:
            return _existing(instance, request)
        self._wanted[place] += 1
        try:
            return await self._find(definition, place, request, caller)
        finally:
            self._wanted[place] -= 1
            if not self._wanted[place]:
                del self._wanted[place]

    async def _find(
        self, definition: ActorDefinition, place: _Place, request: Connect, caller: Caller | None
    ) -> ActorInstance:
        while True:
            if self._closed:
                raise ConnectionClosed("the server is shutting down")
            if place in self._stopping:
                await asyncio.wait([self._stopping[place]])
                continue
            instance = self._by_place.get(place)
            if instance is not None:
                return _existing(instance, request)
            starting = self._starting.get(place)
            # One that is done and still here has failed: nothing is waited for any more.
            if starting is None or starting.done():
                return await self._start(definition, place, request, caller)
            try:
                # Shielded: that one of those who wait gives up must not end the start for the others.
                return _existing(await asyncio.shield(starting), request)
            except ActorNotFound:
                # The start that was waited for was not allowed to create; this request may be.
                if request.lookup in ("get", "id"):
                    raise
            except CallerRefused:
                pass  # somebody else was: this one asks for itself

    def retire(
        self, instance: ActorInstance, code: CloseCode, *, destroy: bool, deadline: float | None = None
    ) -> asyncio.Task[None]:
        """Stop an actor; nobody finds it from now on, and a new one of its key starts when it is done."""
        place = instance.definition.name, instance.key
        task = self._stopping.get(place)
        if task is None:
            task = asyncio.get_running_loop().create_task(
                self._stop(place, instance, code, destroy, deadline)
            )
            self._stopping[place] = task
        return task

    def sleep(self, instance: ActorInstance) -> bool:
        """Stop an actor that nobody uses, and tell whether it will be: not when somebody has asked for it."""
        place = instance.definition.name, instance.key
        if self._closed or place in self._wanted or place in self._stopping:
            return False
        work = self._put_to_sleep(place, instance)
        self._stopping[place] = asyncio.get_running_loop().create_task(work)
        return True

    def hurry(self) -> None:
        """Save all actors at once, and from now on soon after each change: the process may end unstopped."""
        self._hurried = True
        for instance in self:
            instance.state.hurry()

    async def close(self) -> None:
        """Stop every actor, and start none from now on: within the configured time for one of them."""
        self._closed = True
        timeout_s = self._node.config.shutdown_timeout_s
        deadline = asyncio.get_running_loop().time() + timeout_s

        def stop_all() -> list[asyncio.Task[None]]:
            code = CloseCode.SERVER_RESTART
            return [self.retire(instance, code, destroy=False, deadline=deadline) for instance in self]

        # Nobody waits for those that still start but they themselves.
        stop_all()
        if self._starting:
            _, late = await asyncio.wait(list(self._starting.values()), timeout=timeout_s / 2)
            for start in late:
                start.cancel()
            if late:
                await asyncio.wait(late, timeout=1)
        # Again, for those that were going to sleep and could not be saved: they go on, and stop as others do.
        while stops := stop_all():
            await asyncio.wait(stops)

    def running(self, actor_id: str) -> ActorInstance | None:
        """Return the actor with this id, if it runs and is not about to stop."""
        instance = self._by_id.get(actor_id)
        if instance is None or (instance.definition.name, instance.key) in self._stopping:
            return None
        return instance

    async def wake(self, actor_id: str) -> ActorInstance | Absence:
        """Return the running actor with this id, starting it first where it has to be. Raises as `find`."""
        place = await self._locate(actor_id)
        if place is None:
            return Absence.GONE
        name, key = place
        try:
            definition = self._definition_of(name)
        except UnknownActor:
            return Absence.NOT_SERVED
        if definition.name != name:
            return Absence.NOT_SERVED
        try:
            instance = await self.find(definition, Connect(name, key, lookup="get"))
        except ActorNotFound:
            # Destroyed meanwhile, or a hook of its own missed another actor.
            if await self._locate(actor_id) is None:
                return Absence.GONE
            raise
        return instance if instance.actor_id == actor_id else Absence.GONE

    async def ended(self, actor_id: str) -> None:
        """Wait until the actor with this id has stopped, if it is about to."""
        instance = self._by_id.get(actor_id)
        if instance is not None:
            stopping = self._stopping.get((instance.definition.name, instance.key))
            if stopping is not None:
                await asyncio.wait([stopping])

    async def kept_calls(self, actor_id: str) -> list[ScheduledCall]:
        """Return what the store has of an actor's schedule, the earliest first. Raises as `from_store`."""
        return await from_store(self._node.store.schedule_of(actor_id))

    async def _key_of(self, definition: ActorDefinition, actor_id: str) -> tuple[str, ...]:
        place = await self._locate(actor_id)
        if place is None or place[0] != definition.name:
            raise ActorNotFound(f"no {definition.name} has the id {actor_id!r}")
        return place[1]

    async def _locate(self, actor_id: str) -> _Place | None:
        instance = self._by_id.get(actor_id)
        if instance is not None:
            return instance.definition.name, instance.key
        stored = await from_store(self._node.store.load(actor_id))
        return None if stored is None else (stored.name, stored.key)

    async def _start(
        self, definition: ActorDefinition, place: _Place, request: Connect, caller: Caller | None
    ) -> ActorInstance:
        work = self._find_or_create(definition, place, request, caller)
        task = asyncio.get_running_loop().create_task(work, name=f"start {definition.name}")
        self._starting[place] = task
        task.add_done_callback(lambda done: self._started(place, done))
        try:
            return await asyncio.shield(task)
        except CallerRefused as refused:
            raise refused.error from None

    def _started(self, place: _Place, task: asyncio.Task[ActorInstance]) -> None:
        if self._starting.get(place) is task:
            del self._starting[place]
        # Read here as well, in case that nobody waits for it any more.
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.info("%s did not start: %s", place[0], type(error).__name__)

    async def _find_or_create(
        self, definition: ActorDefinition, place: _Place, request: Connect, caller: Caller | None
    ) -> ActorInstance:
        stored = await from_store(self._node.store.find(*place))
        if stored is not None and stored.ends_for_good:
            stored = await self._finish_destroy(definition, place, stored)
        new_id = _new_id(place, request)
        if stored is not None and request.lookup == "create" and stored.actor_id != new_id:
            raise _already_exists(*place)
        if stored is not None and request.lookup == "id" and stored.actor_id != request.actor_id:
            raise _no_such_id(definition.name, request)
        if stored is None and request.lookup in ("get", "id"):
            raise ActorNotFound(f"no {definition.name} has the key {list(place[1])!r}")
        if stored is not None:
            return await self._run(definition, place, stored.actor_id, stored, None)
        await self.capacity.settle()
        with self.capacity.creating(new_id):
            return await self._run(definition, place, new_id, None, request.input, caller)

    async def _finish_destroy(
        self, definition: ActorDefinition, place: _Place, stored: StoredActor
    ) -> StoredActor | None:
        """Start an actor that a crash, or the store, has kept from ending; return what there is afterwards.

        Raises `StoreFault` if it is still there.
        """
        instance = await self._run(definition, place, stored.actor_id, stored, None)
        await asyncio.wait([self.retire(instance, CloseCode.ACTOR_DESTROYED, destroy=True)])
        left = await from_store(self._node.store.find(*place))
        if left is not None and left.ends_for_good:
            raise StoreFault("the store does not delete an actor that is destroyed")
        return left

    async def _run(
        self,
        definition: ActorDefinition,
        place: _Place,
        actor_id: str,
        stored: StoredActor | None,
        input: Any,
        caller: Caller | None = None,
    ) -> ActorInstance:
        if stored is not None:
            self.capacity.found(actor_id)
        await self._node.timetable.settle(actor_id)
        kept = None if stored is None else await self._kept_stream(definition, actor_id)
        instance = ActorInstance(definition, actor_id, place[1], self._node, kept)
        try:
            await self._run_start(instance, stored, input, caller)
        except BaseException:
            await instance.abandon()
            if instance.state.has_added:
                # What it was writing when it was cancelled may take effect all the same.
                self._node.timetable.doubt(actor_id)
            raise
        self._damaged.discard(actor_id)
        self._by_place[place] = instance
        self._by_id[actor_id] = instance
        if self._hurried:
            instance.state.hurry()
        return instance

    async def _kept_stream(self, definition: ActorDefinition, actor_id: str) -> StoredStream | None:
        if not definition.durable:
            return None
        try:
            if actor_id in self._damaged:
                raise JournalCorrupt("a commit has found it so")
            return await self._node.store.load_stream(actor_id)
        except JournalCorrupt as error:
            # Whoever resumes gets a gap that says so: the stream begins anew.
            _log.error(
                "the journal of %s %s is damaged, its events and sessions are lost: %s",
                definition.name, actor_id, error,
            )  # fmt: skip
            return None
        except Exception as error:
            raise StoreFault(f"the store raised {type(error).__name__}") from error

    async def _run_start(
        self, instance: ActorInstance, stored: StoredActor | None, input: Any, caller: Caller | None
    ) -> None:
        timeout_s = self._node.config.start_timeout_s
        try:
            async with asyncio.timeout(timeout_s) as limit:
                work = instance.create(input, caller) if stored is None else instance.load(stored)
                await contained(work, "starting the actor")
        except TimeoutError:
            if limit.expired():
                instance.log.error("the actor did not start within %g s", timeout_s)
                raise ActionTimeout(
                    f"{instance.definition.name} did not start within {timeout_s:g} s"
                ) from None
            raise

    async def _stop(
        self, place: _Place, instance: ActorInstance, code: CloseCode, destroy: bool, deadline: float | None
    ) -> None:
        try:
            await instance.stop(code, destroy=destroy, deadline=deadline)
        except Exception:
            instance.log.exception("the actor did not stop cleanly")
        finally:
            self._forget(place, instance)
            del self._stopping[place]

    async def _put_to_sleep(self, place: _Place, instance: ActorInstance) -> None:
        try:
            if await instance.sleep():
                self._forget(place, instance)
        except Exception:
            instance.log.exception("the actor did not go to sleep cleanly")
            self._forget(place, instance)
        finally:
            del self._stopping[place]

    def _forget(self, place: _Place, instance: ActorInstance) -> None:
        self._by_place.pop(place, None)
        self._by_id.pop(instance.actor_id, None)
        if instance.is_damaged and not instance.deleted:
            self._damaged.add(instance.actor_id)
            # The last of what it has run, scheduled and cancelled is lost.
            self._node.timetable.doubt(instance.actor_id)


def _existing(instance: ActorInstance, request: Connect) -> ActorInstance:
    place = instance.definition.name, instance.key
    if request.lookup == "create" and instance.actor_id != _new_id(place, request):
        raise _already_exists(*place)
    if request.lookup == "id" and instance.actor_id != request.actor_id:
        # The one that was asked for has been destroyed, and its key is another one's by now.
        raise _no_such_id(instance.definition.name, request)
    return instance


def _new_id(place: _Place, request: Connect) -> str:
    """Return the id of an actor that is created: the same for every repeat of one attempt, here or later."""
    if request.attempt is None:
        return secrets.token_hex(_ID_BYTES)
    return hashlib.sha256(repr((*place, request.attempt)).encode()).hexdigest()[: 2 * _ID_BYTES]


def _no_such_id(name: str, request: Connect) -> ActorNotFound:
    return ActorNotFound(f"no {name} has the id {request.actor_id!r}")


def _already_exists(name: str, key: tuple[str, ...]) -> ActorAlreadyExists:
    return ActorAlreadyExists(f"a {name} with the key {list(key)!r} exists already")
