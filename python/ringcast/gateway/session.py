"""The half of a connection that outlives a lost network: its place in the stream, its requests, its answers.

It is the gateway side of the seam (`seam.py`): it knows the stream and the core's sinks, and of the actor
only its port. How a session begins or is taken up again is in `admission.py`; the socket that its client uses
at the moment is a link (`link.py`).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from ..bucket import Bucket
from ..clock import Timer
from ..errors import CloseCode, OutcomeUnknown, ReplyTooLarge, RingcastError
from ..record import NEW, RequestRecord, Standing
from ..seam import ActorPort, Member
from ..wire.encoding import Encoding, writable
from ..wire.naming import check_event_name
from ..wire.protocol import (
    MAX_SUBSCRIPTIONS,
    Call,
    Connect,
    Connected,
    Heartbeat,
    LaterMessage,
    Received,
    Subscribe,
    Unsubscribe,
)
from ..wire.topics import name_of, refusal
from .limits import too_fast, too_many_calls, too_many_topics
from .link import Gateway, Link, encode_error, encode_reply

__all__ = ["Session"]

_FAREWELLS: Final = (CloseCode.DISCONNECTED, CloseCode.ACTOR_DESTROYED)
"""What a client that is away when its session ends is told when it comes back."""

_NO_REASONS: Final = MappingProxyType[str, dict[str, Any]]({})
# Shared: an empty dict of its own takes 64 bytes of each session.


class Session:
    """The half of a connection that outlives a lost network: token, place in the stream, replies."""

    __slots__ = (
        "_decided",
        "_record",
        "_timer",
        "_untold",
        "_withdrawn",
        "actor",
        "doubted",
        "durable",
        "encoding",
        "ended",
        "gateway",
        "link",
        "member",
        "missed_until",
        "newest_link",
        "number",
        "subscriptions",
        "token",
    )  # fmt: skip

    def __init__(self, gateway: Gateway, actor: ActorPort, member: Member, encoding: Encoding) -> None:
        self.gateway = gateway
        self.actor = actor
        self.member = member
        self.encoding = encoding
        self.durable = actor.durable
        self.token = ""
        self.number = 0
        """The connection's number in the stream."""
        self.subscriptions: tuple[str, ...] = ()
        """The topics that it listens for, as `wire/topics.py` has them."""
        self.doubted: tuple[str, ...] = ()
        """Those of which it is being decided whether the client may go on listening."""
        # Done once that is decided; None until somebody waits for it.
        self._decided: asyncio.Future[None] | None = None
        # Topics that the client believes to listen for, perhaps, and does not since it may not: until it asks
        # for them again or for their end, and no more than it can listen for.
        self._withdrawn: tuple[str, ...] = ()
        # Why, of those of which no client could be told: with the next answer to a connect message.
        self._untold: Mapping[str, dict[str, Any]] = _NO_REASONS
        self.missed_until = 0
        """Whoever has not seen the stream up to there may have missed what it believed to listen for."""
        self.link: Link | None = None
        self.newest_link = (0, 0)
        """The latest link that was attached, by `Link.attempt` and `Link.number`."""
        self.ended = False
        # Made with the first request: most connections only listen.
        self._record: RequestRecord | None = None
        self._timer: Timer | None = None

    # --- attached and not ---------------------------------------------------------------------------------

    @property
    def attached(self) -> bool:
        return self.link is not None

    @property
    def is_held_up(self) -> bool:
        """Whether its actor can take no request at the moment."""
        return self.durable and self.actor.room.is_full

    @property
    def dismissed(self) -> bool:
        """Whether the actor has ended it for good, as its client is told or will be."""
        return self.ended and self.token in self.gateway.farewells

    def takes(self, link: Link) -> bool:
        """Tell whether this session can go on over `link`; one that came too late is closed.

        A client gives up on a socket before it opens the next one: an older link's resume was held up on its
        way, and nobody reads the answer.
        """
        if (link.attempt, link.number) < self.newest_link:
            link.close(CloseCode.SESSION_REPLACED)
        return not (link.lost or self.ended)

    def attach(self, link: Link, answer: Connected) -> None:
        """Go on over `link`, from the position in `answer`; a link that was attached until now is closed."""
        self.hold()
        untold, self._untold = self._untold, _NO_REASONS
        for name in untold.keys() - self.subscriptions:
            answer.refused_subscriptions[name] = untold[name]
        message = link.encoding.encode(answer.to_wire())
        link.begin(answer)
        self.actor.stream.attach(self.number, link.sink, answer.offset, message)
        before, self.link = self.link, link
        self.newest_link = (link.attempt, link.number)
        link.session = self
        if before is not None and before is not link:
            before.part(CloseCode.SESSION_REPLACED)

    def link_lost(self, link: Link, for_good: bool) -> None:
        """The socket is gone; `for_good` says that the client closed it for good."""
        if self.ended:
            self.actor.stream.close(self.number)
        elif self.link is link:
            self.link = None
            self.actor.stream.detach(self.number, link.sink)
            if for_good:
                self.end(None)
            else:
                self.wait()

    def wait(self) -> None:
        """Wait for the client to come back, and end when it has not within the window."""
        if not self.ended and self.link is None:
            self.hold()
            self._timer = self.gateway.clock.call_later(self.gateway.config.session_window_s, self.end, None)

    def expected(self) -> None:
        """A session from before a restart: its client may come back from now on, within the window."""
        if not self.ended:
            self.gateway.sessions[self.token] = self
            self.wait()

    def hold(self) -> None:
        """Do not end for want of a client; `wait` or `attach` has to follow."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self, code: CloseCode | None, reason: str = "") -> None:
        """End for good: close the socket with `code` if there is one, and tell the actor. Idempotent."""
        if self.ended:
            return
        self.ended = True
        self.hold()
        self.gateway.sessions.pop(self.token, None)
        if code in _FAREWELLS and self.token:
            self._keep_farewell(code, reason)
        is_attached = self.link is not None
        try:
            if is_attached:
                # The stream delivers up to the close frame, and lets go with the socket (`link_lost`).
                self.actor.after(partial(self._let_go, code, reason))
        finally:  # whatever was raised: the actor does not go on with somebody who has gone
            self.actor.leave(self.member)
            if not is_attached:
                self.actor.stream.close(self.number)

    def _keep_farewell(self, code: CloseCode, reason: str) -> None:
        farewells, token = self.gateway.farewells, self.token
        farewells[token] = code, reason
        self.gateway.clock.call_later(self.gateway.config.session_window_s, farewells.pop, token, None)

    def _let_go(self, code: CloseCode | None, reason: str = "") -> None:
        link, self.link = self.link, None
        if link is not None:
            # What comes after is nothing to the client, however slowly it reads.
            self.actor.stream.unsubscribe_all(self.number)
            # Without a code it is its client that has ended it, in a request.
            link.close(CloseCode.NORMAL if code is None else code, reason, by_server=code is not None)

    def suspend(self, code: CloseCode) -> None:
        """Let go of the client; the session itself goes on in the store."""
        self.ended = True
        self.hold()
        self.gateway.sessions.pop(self.token, None)
        link, self.link = self.link, None
        if link is not None:
            # What comes after is nothing to the session: the store goes on without it.
            link.part(code)

    def end_soon(self, code: CloseCode, reason: str) -> None:
        self.gateway.loop.call_soon(self.end, code, reason)

    # --- requests -----------------------------------------------------------------------------------------

    def call(self, request: Call) -> Coroutine[Any, Any, None] | None:
        """Run an action, unless it ran before, or the session has ended: its client is being told.

        A coroutine that comes back has to run before the next message.
        """
        if self.ended:
            return None
        record = self._record or self._have_record()
        id = request.id
        standing = record.begin(id)
        if standing is not NEW:
            self._repeat(id, standing)
            return None
        most = self.gateway.config.max_calls_in_flight
        if not record.has_room(most):
            fault = too_many_calls(self.gateway.limits_hit, most, runs_too_many=record.running > most)
            self.respond(id, None, fault)
            return None
        bucket = record.bucket
        if bucket is not None:
            if bucket.at_hand:
                bucket.at_hand -= 1
            elif self._is_too_fast(bucket, id):
                return None
        asked = self.actor.call(self.member, request, self.respond)
        return None if asked is None else _done(asked)

    def handle(self, request: LaterMessage) -> Coroutine[Any, Any, None] | None:
        """Answer a request, now or later. A coroutine that comes back has to run before the next message."""
        if self.ended:
            return None
        if isinstance(request, Call):
            return self.call(request)
        if self.doubted and isinstance(request, Subscribe | Unsubscribe):
            return self._handle_when_decided(request)
        record = self._have_record()
        if isinstance(request, Received):
            record.acknowledge(request.ids)
            return None
        standing = record.begin(request.id)
        if standing is not NEW:
            self._repeat(request.id, standing)
        elif isinstance(request, Unsubscribe):
            self._unsubscribe(request.name)
            self.respond(request.id, None, None)
        elif record.bucket is None or not self._is_too_fast(record.bucket, request.id):
            # Code of the actor runs for a subscription, as for a call.
            if isinstance(request, Subscribe):
                return self._subscribe(request)
            self.respond(request.id, None, request.error)
        return None

    async def _handle_when_decided(self, request: Subscribe | Unsubscribe) -> None:
        await self.decided()
        work = self.handle(request)
        if work is not None:
            await work

    def _repeat(self, id: int, standing: Standing | bytes) -> None:
        """Answer a request that was here before; one that runs is answered when it ends."""
        if isinstance(standing, bytes):
            # Perhaps what it tells of is not certain yet.
            self.actor.after(partial(self._send, standing))
        elif standing is Standing.FORGOTTEN:
            why = "it was answered and its reply is not kept, or a later one came before it"
            fault = OutcomeUnknown(f"nobody knows how request {id} ended: {why}")
            self._send(encode_error(self.encoding, id, fault))

    def _is_too_fast(self, bucket: Bucket, id: int) -> bool:
        """Take one from the bucket for request `id`; answer that, and return True, if there is none."""
        if bucket.at_hand:
            bucket.at_hand -= 1
            return False
        retry_after_ms = bucket.take(self.gateway.loop.time())
        if retry_after_ms is None:
            return False
        most = self.gateway.config.max_actions_per_s
        self.respond(id, None, too_fast(self.gateway.limits_hit, most, retry_after_ms))
        return True

    def is_behind(self, request: Connect) -> bool:
        """Tell whether its client knows of more than this session has: the store's is from an earlier moment.

        That is, an answer that was never given, or a name that it listens for and this session does not.
        """
        resume = request.resume
        if resume is None:
            return False
        if (resume.answered or 0) > (0 if self._record is None else self._record.answered):
            return True
        if resume.unconfirmed is None:
            return False
        known = {*self.subscriptions, *self._withdrawn, *resume.unconfirmed}
        return not known.issuperset(request.subscriptions)

    def unheard(self, request: Connect) -> set[str]:
        """Return the topics that were withdrawn and that its client, who was away, believes to listen for."""
        heard = None if request.resume is None else request.resume.unconfirmed
        withdrawn = self._untold if heard is None else self._withdrawn
        return {*withdrawn}.intersection(request.subscriptions).difference(heard or ())

    def keep_answers(self, ids: tuple[int, ...]) -> None:
        """Of the answers so far, keep those to `ids`: its client has the others."""
        self._have_record().keep_only(ids)

    def _have_record(self) -> RequestRecord:
        if self._record is None:
            config = self.gateway.config
            self._record = RequestRecord(
                config.max_calls_recorded, config.max_recorded_bytes, spans=self.durable
            )
            if config.max_actions_per_s:
                now_s = self.gateway.loop.time()
                self._record.bucket = Bucket(config.max_actions_per_s, config.max_actions_at_once, now_s)
        return self._record

    def respond(self, id: int, value: Any, error: RingcastError | None) -> None:
        """Send a reply to whoever is attached, and keep it for a client that asks again."""
        if self.ended:
            return
        encoding, log, most = self.encoding, self.actor.log, self.gateway.config.max_reply_bytes
        message = encode_error(encoding, id, error) if error else encode_reply(encoding, id, value, log)
        if len(message) > most:
            self.gateway.limits_hit["max_reply_bytes"] += 1
            fault = ReplyTooLarge(f"the result takes {len(message)} bytes, and a client takes {most}")
            message = encode_error(self.encoding, id, fault)
        assert self._record is not None
        carried = self._record.finish(id, message)
        if self.durable:
            for each, reply in [(id, message), *carried]:
                self.actor.keep_reply(self.member, each, reply, self._record.span)
            self.actor.after(partial(self._send, message))
        elif self.link is not None:  # `_send`, for every call
            self.link.send(message)

    def committing_half(self, id: int) -> None:
        """Keep that this request has begun: after a crash it must not run a second time."""
        if self.ended or self._record is None:
            return
        fault = OutcomeUnknown("the server ended while the action ran, and what it had saved is kept")
        message = encode_error(self.encoding, id, fault)
        self._record.halve(id, message)
        self.actor.keep_reply(self.member, id, message, self._record.span)

    def restore(self, replies: Sequence[tuple[int, bytes]]) -> None:
        """Take the record of an earlier process."""
        self._have_record().restore(replies)

    def _send(self, message: bytes) -> None:
        if self.link is not None:
            self.link.send(message)

    def require_room(self, topic: str, others: Collection[str]) -> None:
        """Raise `ReservedName`, `SubscriptionRefused` or `TooManyFilters` without room beside `others`."""
        check_event_name(name_of(topic))
        if topic not in self.subscriptions:
            full = too_many_topics(self.gateway.limits_hit, self.gateway.config, topic, others)
            if full is not None:
                raise full

    def _subscribe(self, request: Subscribe) -> Coroutine[Any, Any, None] | None:
        try:
            self.require_room(request.name, self.subscriptions)
            allowed = self.actor.may_subscribe(self.member, request.name, asked=False)
        except RingcastError as error:
            self.respond(request.id, None, error)
            return None
        if not isinstance(allowed, bool):
            return self._subscribe_when_allowed(request, allowed)
        self._finish_subscribe(request, allowed)
        return None

    async def _subscribe_when_allowed(self, request: Subscribe, allowed: Awaitable[bool]) -> None:
        try:
            answer = await allowed
        except RingcastError as error:
            self.respond(request.id, None, error)
        else:
            self._finish_subscribe(request, answer)

    def _finish_subscribe(self, request: Subscribe, allowed: bool) -> None:
        if self.ended:
            return
        if allowed:
            self.subscribe(request.name)
            self.respond(request.id, None, None)
        else:
            self.respond(request.id, None, refusal(request.name))

    def subscribe(self, name: str) -> None:
        """Listen for `name` from now on."""
        self._forget_withdrawn(name)
        if self.actor.stream.subscribe(self.number, name):
            # Interned: many connections listen for the same few names.
            self.subscriptions = (*self.subscriptions, sys.intern(name))

    def _unsubscribe(self, name: str) -> None:
        self._forget_withdrawn(name)
        if self.actor.stream.unsubscribe(self.number, name):
            self.subscriptions = tuple(kept for kept in self.subscriptions if kept != name)

    def keep_subscriptions(self, names: tuple[str, ...]) -> None:
        """Listen, of the names so far, for those in `names` only."""
        for name in self.subscriptions:
            if name not in names:
                self._unsubscribe(name)
        if self._untold:
            self._untold = {name: why for name, why in self._untold.items() if name in names}
        self._withdrawn = tuple(name for name in self._withdrawn if name in names)

    # --- what it may no longer listen for -----------------------------------------------------------------

    def withdraw(self, refused: Mapping[str, RingcastError]) -> None:
        """End these subscriptions, from the next event on, and tell the client why."""
        for name in refused:
            self._unsubscribe(name)
        self._tell_refused(refused)

    def doubt(self) -> None:
        """It is to be decided what the client may still listen for: until `decide`, keep what is sent."""
        names = tuple(name for name in self.subscriptions if name not in self.doubted)
        self.doubted += names
        self.actor.stream.hold(self.number, names)

    def decide(self, refused: Mapping[str, RingcastError]) -> bool:
        """Decide; tell whether another answer is due, as `doubt` was called meanwhile."""
        if self.ended:
            self._end_doubt()
            return False
        allowed = tuple(name for name in self.doubted if name not in refused)
        goes_on = self.actor.stream.answer(self.number, allowed)
        self.subscriptions = tuple(name for name in self.subscriptions if name not in refused)
        self._tell_refused(refused)
        if goes_on:
            self.doubted = allowed
        else:
            self._end_doubt()
        return goes_on

    def give_up(self) -> None:
        """It will not be decided, because the actor stops: nothing of what was kept is for the client."""
        self.subscriptions = tuple(name for name in self.subscriptions if name not in self.doubted)
        while not self.ended and self.actor.stream.answer(self.number, ()):
            pass
        self._end_doubt()

    async def decided(self) -> None:
        """Wait until nothing is in doubt."""
        while self.doubted:
            if self._decided is None:
                self._decided = self.gateway.loop.create_future()
            await asyncio.wait({self._decided})

    def _end_doubt(self) -> None:
        self.doubted = ()
        decided, self._decided = self._decided, None
        if decided is not None:
            decided.set_result(None)

    def _forget_withdrawn(self, name: str) -> None:
        self._withdrawn = tuple(other for other in self._withdrawn if other != name)

    def _tell_refused(self, refused: Mapping[str, RingcastError]) -> None:
        if refused:
            earlier = (name for name in self._withdrawn if name not in refused)
            self._withdrawn = (*earlier, *refused)[-MAX_SUBSCRIPTIONS:]
            told = {name: writable(self.encoding, error) for name, error in refused.items()}
            self.actor.after(partial(self._send_refused, told))

    def _send_refused(self, refused: dict[str, dict[str, Any]]) -> None:
        if self.link is None:
            self._untold = {**self._untold, **refused}
            return
        stream, within_s = self.actor.stream, self.gateway.reconnect_within_s
        heartbeat = Heartbeat(stream.id, stream.head, within_s, refused)
        self.link.send(self.encoding.encode(heartbeat.to_wire()))


async def _done(task: asyncio.Task[Any]) -> None:
    """Wait for a task, whatever becomes of it."""
    await asyncio.wait({task})
