"""How a running actor ends: hooks, background tasks and connections in their order, and its last save.

That nobody uses it meanwhile, and that its stream is let go afterwards, is the work of `instance.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

from ..connection import Connection
from ..context import Context
from ..faults import run_hook

if TYPE_CHECKING:
    from .instance import ActorInstance
    from .turns import Turns

__all__ = ["TimeLeft", "end", "fall_asleep"]

_LEAST_S: Final = 0.001

_FIRST_RETRY_S: Final = 0.1
"""How long after a delete that failed the next attempt is made; twice as long after each further one."""


class TimeLeft:
    """The time that an actor has to stop: each part may take half of what is left, so that none is left out.

    `deadline` is a time of the loop; without it, `timeout_s` counts from now.
    """

    def __init__(self, timeout_s: float, deadline: float | None = None) -> None:
        self._now = asyncio.get_running_loop().time
        self._end = self._now() + timeout_s if deadline is None else deadline

    def share_s(self) -> float:
        """Return how many seconds the next part may take."""
        return max(_LEAST_S, (self._end - self._now()) / 2)


async def end(instance: ActorInstance, time: TimeLeft) -> list[Connection[Any]]:
    """Finish everything, and save or delete the actor; return the connections that leave it.

    Those of a durable actor stay with it, unless it ends for good.
    """
    await instance.tasks.finish(time.share_s())
    # A durable actor's connections outlive this process.
    stays = instance.durable and not instance.ends_for_good
    leaving = [] if stays else await _see_off(instance, time)
    await _wind_down(instance, time)
    if instance.ends_for_good:
        # Perhaps since `on_stop`.
        leaving += await _see_off(instance, time)
    instance.state.is_final = True
    await _guarded(instance, time, instance.close_journal())
    if instance.ends_for_good:
        await _delete(instance, time)
    elif not instance.durable:  # the journal's last commit had it
        await _guarded(instance, time, instance.state.save())
    # The last events go out before the close frames.
    await _guarded(instance, time, instance.drain())
    return leaving


async def fall_asleep(instance: ActorInstance, time: TimeLeft) -> bool:
    """Do the same for an actor without connections and running code, if it can be saved; tell whether."""
    await _wind_down(instance, time)
    if instance.ends_for_good:
        await _guarded(instance, time, instance.close_journal())
        await _delete(instance, time)
        return True
    instance.state.is_final = True
    try:
        await asyncio.wait_for(instance.state.save(), time.share_s())
    except Exception:
        if instance.is_damaged:
            # It cannot go on either.
            await _guarded(instance, time, instance.close_journal())
            return True
        instance.log.exception("the state cannot be saved: the actor stays awake")
        instance.state.is_final = False
        await _run(instance, "on_start", instance.node.config.start_timeout_s)
        return False
    await _guarded(instance, time, instance.close_journal())
    return True


async def _see_off(instance: ActorInstance, time: TimeLeft) -> list[Connection[Any]]:
    """Take all connections out, and run `on_disconnect` for each; they are still open in the stream."""
    if instance.turns is not None:
        return await _see_off_in_turns(instance, instance.turns, time)
    leaving = [connection for connection in instance.conns if instance.conns.release(connection)]
    hook = instance.definition.hooks.on_disconnect
    if hook is not None:
        limit_s = min(time.share_s(), instance.node.config.hook_timeout_s)
        contexts = (Context(instance, connection) for connection in leaving)
        await instance.guarded(
            *(run_hook(hook, instance.actor, context, timeout_s=limit_s) for context in contexts)
        )
    return leaving


async def _see_off_in_turns(instance: ActorInstance, turns: Turns, time: TimeLeft) -> list[Connection[Any]]:
    """Do the same for a durable actor: each session ends in the turn, and so the commit, of its hook."""
    leaving = list(instance.conns)

    def leave() -> None:
        # As a turn, so that all are out before the first hook runs.
        for connection in leaving:
            instance.leave(connection)

    if leaving:
        turns.run(leave)
        await _guarded(instance, time, _turn_behind(turns))
    for _ in leaving:
        if turns.busy:
            # The time is over: each hook that is left has little.
            await instance.tasks.finish(time.share_s())
    if len(instance.conns):
        # Somebody has the turn for too long: the hooks run when it is over.
        leave()
    return leaving


async def _turn_behind(turns: Turns) -> None:
    """Wait until all that waits for a turn has had it, and what came to wait in one of these turns."""
    for _ in range(2):
        async with turns:
            pass


async def _wind_down(instance: ActorInstance, time: TimeLeft) -> None:
    """End what runs in the background and run `on_stop`, whose broadcasts still reach the clients."""
    await instance.tasks.end_background()
    await _run(instance, "on_stop", time.share_s())
    # What `on_stop` has started.
    await instance.tasks.end_background()
    instance.state.stop_saving()


async def _delete(instance: ActorInstance, time: TimeLeft) -> None:
    await _guarded(instance, time, _forget(instance))
    if instance.durable and not instance.deleted:
        # The store has that it is to be destroyed: the next start does the rest.
        return
    instance.deleted = True
    await _run(instance, "on_destroy", time.share_s())


async def _forget(instance: ActorInstance) -> None:
    """Delete the actor; of a durable one, try until the time is over: its clients know that it ends."""
    delay_s = _FIRST_RETRY_S
    try:
        while True:
            try:
                await instance.node.store.delete(instance.actor_id)
                break
            except Exception:
                if not instance.durable:
                    raise
                instance.log.exception("the actor is not deleted yet; it is tried again in %g s", delay_s)
            await asyncio.sleep(delay_s)
            delay_s *= 2
    except BaseException:
        # It may have done it all the same; otherwise the actor is there, with what is to come.
        instance.node.timetable.doubt(instance.actor_id)
        instance.node.capacity.delete_failed(instance.actor_id)
        raise
    instance.deleted = True
    instance.node.capacity.deleted(instance.actor_id)
    instance.node.timetable.forget(instance.actor_id)


async def _run(instance: ActorInstance, name: str, timeout_s: float) -> None:
    hook = getattr(instance.definition.hooks, name)
    await instance.guarded(run_hook(hook, instance.actor, instance.context, timeout_s=timeout_s))


async def _guarded(instance: ActorInstance, time: TimeLeft, work: Awaitable[Any]) -> None:
    await instance.guarded(asyncio.wait_for(work, time.share_s()))
