"""A connect message answered: a new session through the actor's hooks, or an earlier one taken up again.

The messages after it are the session's (`session.py`).
"""

from __future__ import annotations

import hmac
import logging
import secrets
from dataclasses import dataclass
from typing import Any, Final

from ..errors import (
    ActionTimeout,
    ActorNotFound,
    CloseCode,
    OutcomeUnknown,
    ProtocolError,
    RingcastError,
    StoreUnavailable,
    TryAgainLater,
)
from ..faults import StoreFault, for_client
from ..operations.access import log_connected
from ..request import Caller
from ..seam import ActorPort
from ..wire.encoding import writable
from ..wire.protocol import Connect, Connected, Gap, Resume, existing_only
from ..wire.topics import by_name, refusal
from .link import Gateway, Link
from .session import Session

__all__ = ["connect"]

_log: Final = logging.getLogger("ringcast.session")
_TOKEN_BYTES: Final = 24
_UNKNOWN: Final = "unknown"
"""In place of a gap's reason: there is no such session, and only its actor can tell why."""


async def connect(gateway: Gateway, link: Link, request: Connect) -> None:
    """Answer a connect message on `link`: it is attached to a session when this returns, or closed."""
    caller = Caller(link.take_request(), request.params, connects=True)
    try:
        reason = None
        if request.resume is not None:
            # The actor may have ended it while its client was away, who is told now.
            if _say_farewell(gateway, link, request.resume.session):
                return
            reason = await _resume(gateway, link, request, request.resume)
            if reason is None:
                _log_connected(link, "resumed", caller)
                return
        await _open(gateway, link, request, reason, caller)
        _log_connected(link, "new", caller)
    except ProtocolError as error:
        link.request = caller.came  # until it is refused: the log says who is
        link.fail(error)
    except Exception as error:
        link.request = caller.came
        fault = for_client(error, _log, f"connecting to {request.actor}")
        link.refuse(fault, _close_code(error))
    finally:
        link.take_request()


def _log_connected(link: Link, outcome: str, caller: Caller) -> None:
    if link.session is not None:
        log_connected(link.session, outcome, caller.came.address)


def _close_code(error: Exception) -> CloseCode:
    """Return what a connection is refused with because of `error`: whether its client comes back."""
    if isinstance(error, TryAgainLater):
        return CloseCode.TRY_AGAIN_LATER
    # What took too long or could not be read may go well the next time; what a hook raises would not.
    passing = isinstance(error, ActionTimeout | StoreFault | StoreUnavailable)
    return CloseCode.INTERNAL_ERROR if passing else CloseCode.CONNECT_REFUSED


def _say_farewell(gateway: Gateway, link: Link, token: str) -> bool:
    """Close the link if the actor has ended this session, whose client does not know yet; tell whether."""
    farewell = gateway.farewells.get(token)
    if farewell is not None:
        link.close(*farewell)
    return farewell is not None


async def _open(gateway: Gateway, link: Link, request: Connect, reason: str | None, caller: Caller) -> None:
    """Make a new session; `reason` says why it stands in place of an earlier one."""
    actor = await gateway.find_actor(_not_creating(request), caller)
    if link.lost:
        return
    actor.require_encoding(link.encoding)
    member = await actor.admit(caller)
    session = Session(gateway, actor, member, link.encoding)
    opening = None
    try:
        if not link.lost:
            await actor.prepare(link.encoding)
        if not link.lost:
            opening = await _join(session, link, request)
        if opening is not None:
            await _answer_to(link, session, opening, request.resume, reason)
    except Exception:
        # Once it has joined: if the actor has ended it meanwhile, that is what its client is told.
        if opening is None or not session.dismissed:
            raise
    finally:
        if not session.attached:
            if opening is not None:
                # No client knows the token of this session, so that none can come back to it.
                session.end(None)
            actor.leave(member)
    if not session.attached:
        _say_farewell(gateway, link, session.token)


async def _answer_to(
    link: Link, session: Session, opening: _Opening, resume: Resume | None, reason: str | None
) -> None:
    """Attach a new session, unless it has no client any more."""
    if session.actor.durable:
        await _settled(session.actor)
    if not (link.lost or session.ended):
        await _catch_up(session, opening)
    if link.lost or session.ended:
        return
    gap = opening.gap
    if resume is not None:
        gap = Gap(_gap_reason(reason, resume, session.actor))
    session.attach(link, _answer(session, opening.offset, None, gap, opening.refused, opening.snapshot))
    _note(session, "new", gap, None)
    session.gateway.sessions[session.token] = session


@dataclass(slots=True)
class _Opening:
    """What the answer to a first connect will say."""

    offset: int
    refused: dict[str, dict[str, Any]]
    snapshot: Any = None
    gap: Gap | None = None


async def _join(session: Session, link: Link, request: Connect) -> _Opening | None:
    """Open the connection in the stream and bring it to the actor; None if the client has gone meanwhile."""
    actor, stream, member = session.actor, session.actor.stream, session.member
    # Read before `open`, so that an event between the two is before the position and not lost after it.
    offset = stream.head
    session.token = secrets.token_urlsafe(_TOKEN_BYTES)
    session.number = stream.open(link.encoding.index)
    joined = False
    try:
        member.bind(session, session.number)
        opening = _Opening(offset, await _subscribe(session, request.subscriptions))
        if link.lost or session.ended:
            return None
        # Every name is listened for now, and no hook that sends anything has run: what the snapshot does not
        # tell of will be delivered.
        opening.snapshot, position = await actor.snapshot(member, session.encoding)
        if opening.snapshot is not None:
            opening.offset = position
        await actor.join(member, session.token, session.encoding)
        joined = True
    finally:
        # A connection that never was: the actor has not seen it and is told nothing.
        if not joined:
            session.ended = True
            stream.close(session.number)
    return opening


async def _catch_up(session: Session, opening: _Opening) -> None:
    """Make good, or say, what the ring has let go of while `on_connect` ran."""
    actor, stream = session.actor, session.actor.stream
    while True:
        _, first, last = stream.resume(session.number, opening.offset)
        if not first:
            return
        if opening.snapshot is None:
            opening.gap, opening.offset = Gap("ring_overflow", first, last), last
            return
        opening.snapshot, position = await actor.snapshot(session.member, session.encoding)
        await _settled(actor)
        if session.ended:
            return
        if opening.snapshot is not None:
            opening.offset = position


def _not_creating(request: Connect) -> Connect:
    if request.resume is not None and request.lookup == "create":
        # It was created by the connection that is resumed here.
        return request._replace(lookup="get_or_create")
    return request


async def _resume(gateway: Gateway, link: Link, request: Connect, resume: Resume) -> str | None:
    """Take up an earlier session; return None when that is done, otherwise the reason why it cannot be."""
    session = await _find_session(gateway, request, resume)
    if session is None or not session.actor.is_at(request):
        return _UNKNOWN if session is None else "session_expired"
    actor = session.actor
    link.attempt = resume.number or 0
    if session.takes(link):
        # Perhaps it is just being decided what the client may listen for.
        await session.decided()
    if not session.takes(link):
        return None
    actor.room.require()
    if session.encoding is not link.encoding:
        # Its client is here, and gets a new session: nobody else will come for the old one.
        session.end(CloseCode.SESSION_REPLACED)
        return "encoding_changed"
    if session.is_behind(request) or not actor.continues(resume.epoch, resume.offset):
        session.end(CloseCode.SESSION_REPLACED)
        return "epoch_changed"
    session.hold()
    unheard = frozenset[str]() if link.keeps_subscriptions else session.unheard(request)
    try:
        wanted = () if link.keeps_subscriptions else request.subscriptions
        refused = await _subscribe(session, wanted)
        if not unheard.isdisjoint(session.subscriptions):
            # It has them back, and nobody has told it that it did not have them.
            session.missed_until = actor.stream.head
        if session.takes(link):
            await _take_up(session, link, request, resume.offset, refused)
    finally:
        session.wait()
    if session.ended and not (link.lost or _say_farewell(gateway, link, resume.session)):
        return "session_expired"
    return None


async def _find_session(gateway: Gateway, request: Connect, resume: Resume) -> Session | None:
    """Return the session that a client comes back to, if there is one. Raises what finding the actor does."""
    session = gateway.sessions.get(resume.session)
    if session is None:
        # A durable actor that does not run has kept its sessions: they are there once it does. Whoever shows
        # what is no token has nothing created for it before it is let in.
        try:
            await gateway.find_actor(existing_only(request), None)
        except ActorNotFound:
            return None
        session = gateway.sessions.get(resume.session)
    # The look-up is by hash; comparing again in constant time costs nothing and leaks nothing.
    if session is None or not hmac.compare_digest(session.token.encode(), resume.session.encode()):
        return None
    return session


async def _take_up(
    session: Session, link: Link, request: Connect, offset: int, refused: dict[str, dict[str, Any]]
) -> None:
    actor, stream = session.actor, session.actor.stream
    if offset > stream.head:
        raise ProtocolError("resume.offset is ahead of the stream")
    if not await _is_decided(session, link):
        return
    if not link.keeps_subscriptions:
        session.keep_subscriptions(request.subscriptions)
    if not await _is_decided(session, link):
        return
    if request.resume is not None and request.resume.unanswered is not None:
        session.keep_answers(request.resume.unanswered)
    replayed, lost_first, lost_last = stream.resume(session.number, offset)
    gap = snapshot = None
    if lost_first:
        gap = Gap("ring_overflow", lost_first, lost_last)
        offset = lost_last
    elif offset < session.missed_until:
        # Until its position shows that it was told. What it was entitled to follows, from before and since.
        gap = Gap("permission_withdrawn")
    if gap is not None:
        snapshot, position = await actor.snapshot(session.member, session.encoding)
    if snapshot is not None:
        # It stands for what is retained as well: that would be applied a second time.
        answer = _answer(session, position, None, gap, refused, snapshot)
        await _settled(actor)
        if not session.takes(link):
            return
    else:
        answer = _answer(session, offset, replayed, gap, refused)
    session.attach(link, answer)
    _note(session, "resumed", gap, replayed if snapshot is None else None)


def _note(session: Session, outcome: str, gap: Gap | None, replayed: int | None) -> None:
    """Count a client that is attached now."""
    if session.actor.counts is not None:
        session.actor.counts.connected(outcome, gap, replayed)


async def _is_decided(session: Session, link: Link) -> bool:
    """Wait until it is certain what the session has missed; tell whether it still goes on over `link`."""
    while True:
        if session.actor.durable:
            await _settled(session.actor)
        if not session.doubted:
            return session.takes(link)
        await session.decided()


async def _settled(actor: ActorPort) -> None:
    """Wait until everything so far is certain. Raises `StoreFault`."""
    try:
        await actor.settled()
    except OutcomeUnknown as error:
        # The actor ends, and what was not committed never was: the same connect may go well with the next.
        raise StoreFault("the actor ended before its last commit") from error


async def _subscribe(session: Session, topics: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Subscribe to those of `topics` that are allowed; return the errors of the others by topic.

    The actor is asked once about a name: all its topics begin with the answer, or are refused with it.
    """
    refused: dict[str, RingcastError] = {}
    new = [topic for topic in topics if topic not in session.subscriptions]
    for name, of_name in by_name(new).items():
        refused |= await _subscribe_by(session, name, of_name, topics)
        if session.ended:
            break
    return {topic: writable(session.encoding, refused[topic]) for topic in topics if topic in refused}


async def _subscribe_by(
    session: Session, name: str, of_name: list[str], topics: tuple[str, ...]
) -> dict[str, RingcastError]:
    """Subscribe to the topics of one name, for which there may be no room behind those that stand before."""
    refused: dict[str, RingcastError] = {}
    wanted = []
    for topic in of_name:
        try:
            # Those that it has and does not want any more are still among its own.
            session.require_room(topic, topics[: topics.index(topic)])
            wanted.append(topic)
        except RingcastError as error:
            refused[topic] = error
    if not wanted:
        return refused
    actor, member = session.actor, session.member
    try:
        allowed = actor.may_subscribe(member, name, asked=False)
        if not isinstance(allowed, bool):
            allowed = await allowed
    except RingcastError as error:
        return refused | dict.fromkeys(wanted, error)
    for topic in wanted if not session.ended else ():
        try:
            if not allowed:
                raise refusal(topic)
            actor.may_subscribe(member, topic, asked=True)
            session.subscribe(topic)
        except RingcastError as error:
            refused[topic] = error
    return refused


def _answer(
    session: Session,
    offset: int,
    replayed: int | None,
    gap: Gap | None,
    refused: dict[str, dict[str, Any]],
    snapshot: Any = None,
) -> Connected:
    stream, config = session.actor.stream, session.gateway.config
    return Connected(
        stream=stream.id,
        epoch=stream.epoch,
        offset=offset,
        connection=session.member.id,
        session=session.token,
        actor_id=session.actor.actor_id,
        window_s=config.session_window_s,
        heartbeat_s=config.heartbeat_s,
        reconnect_within_s=session.gateway.reconnect_within_s,
        max_message_bytes=config.max_message_bytes,
        replayed=replayed,
        gap=gap,
        snapshot=snapshot,
        refused_subscriptions=refused,
    )


def _gap_reason(reason: str | None, resume: Resume, actor: ActorPort) -> str:
    if reason == _UNKNOWN:
        # That of an actor that was started anew is: the epoch tells the client more.
        return "session_expired" if actor.continues(resume.epoch, resume.offset) else "epoch_changed"
    return reason or "session_expired"
