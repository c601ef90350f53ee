"""What is committed to a stream and a schedule, and comes back; the same for each store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from stores import BEGUN, SESSION, append, call, event, everything, memory, opened, sqlite, stream_of

from ringcast.errors import ActorNotFound
from ringcast.store import (
    EPOCHS_KEPT,
    Change,
    ConnStateChanged,
    DestroyBegun,
    EventAppended,
    Replied,
    Scheduled,
    ScheduledCall,
    SessionEnded,
    SessionOpened,
    StateChanged,
    Store,
    StoredActor,
    StoredSession,
    StoredStream,
    StreamBegun,
    StreamContinued,
    Subscribed,
    Subscription,
    Trimmed,
    Unscheduled,
    Unsubscribed,
)


@pytest.fixture(params=[memory, sqlite], ids=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    make: Callable[[Path], Store] = request.param
    async with opened(make, tmp_path) as store:
        yield store


async def contents(store: Store) -> tuple[StoredActor | None, StoredStream | None, list[ScheduledCall]]:
    return await store.load("id-1"), await store.load_stream("id-1"), await store.schedule()


async def session_of(store: Store, connection_id: str = "conn-1") -> StoredSession:
    sessions = {session.connection_id: session for session in (await stream_of(store)).sessions}
    return sessions[connection_id]


# --- events -------------------------------------------------------------------------------------------------


async def test_there_is_no_stream_before_one_has_begun(store: Store) -> None:
    await store.create(StoredActor("id-2", "Room", (), b""))
    assert await store.load_stream("id-2") is None
    assert await store.load_stream("nobody") is None
    await store.commit("id-2", [StreamBegun("e")])
    assert await store.load_stream("id-2") == StoredStream("e", 0, (), ())


async def test_events_come_back_as_they_were(store: Store) -> None:
    events = [
        event(1, json=b"[]", msgpack=b"\x90"),
        event(2, "größe", json=None, msgpack=b""),
        event(3, json=None, msgpack=None, only=()),
        event(4, only=("conn-1", 'a"b')),
        event(5, exclude=("conn-1", "ä")),
        event(6, "", json=b"\x00" * 70_000),
    ]
    await store.commit("id-1", [EventAppended(event) for event in events])
    stream = await stream_of(store)
    assert (stream.epoch, stream.head, stream.events) == ("epoch-1", 6, tuple(events))


async def test_all_that_one_commit_changes_is_there_together(store: Store) -> None:
    for changes in everything():
        await store.commit("id-1", changes)
    actor, stream, _ = await contents(store)
    assert actor is not None and actor.state == b'{"x":2}'
    assert stream is not None and [event.offset for event in stream.events] == [1, 2, 3, 4, 5, 6]
    first, second = stream.sessions
    assert first == replace(
        SESSION,
        subscriptions=(Subscription("news", 0, 3), Subscription("news", 5)),
        replies=((1, b"one"), (3, b"three")),
        lost=3,
    )
    assert second == StoredSession(
        *("conn-2", "täken", "MSGPACK", b"{}", b"2", 1),
        subscriptions=(Subscription("größe", 1),),
        replies=((2, b"two"),),
        lost=0,
    )
    assert stream.let_go == (("größe", 2), ("news", 4))
    assert (stream.epoch, stream.lineage) == ("epoch-1", (("epoch-0", 1),))


async def test_trimmed_events_are_gone_and_the_head_stays(store: Store) -> None:
    await store.commit("id-1", [*append(1, 2, 3, 4), Trimmed(3)])
    assert [event.offset for event in (await stream_of(store)).events] == [3, 4]
    # What is gone stays gone; and there is nothing beyond the head.
    await store.commit("id-1", [Trimmed(1), Trimmed(9)])
    assert (await stream_of(store)).events == ()
    await store.commit("id-1", append(5))
    stream = await stream_of(store)
    assert (stream.head, [event.offset for event in stream.events]) == (5, [5])


async def test_an_event_may_be_trimmed_by_the_commit_that_brought_it(store: Store) -> None:
    await store.commit("id-1", [*append(1), Trimmed(2), *append(2)])
    assert (await stream_of(store)).events == (event(2),)


async def test_a_new_epoch_forgets_events_and_sessions(store: Store) -> None:
    for changes in everything():
        await store.commit("id-1", changes)
    await store.commit("id-1", [StreamBegun("next"), *append(1), SessionOpened(SESSION)])
    assert await stream_of(store) == StoredStream("next", 1, (event(1),), (SESSION,))


async def test_an_epoch_may_begin_and_end_within_a_commit(store: Store) -> None:
    await store.commit("id-1", [*append(1), StreamBegun("2"), *append(1, 2), StreamBegun("3"), *append(1)])
    assert await stream_of(store) == StoredStream("3", 1, (event(1),), ())


async def test_a_session_may_be_opened_again_in_the_epoch_that_begins(store: Store) -> None:
    other = replace(SESSION, connection_id="other")
    await store.commit("id-1", [SessionOpened(other), StreamBegun("2"), SessionOpened(other)])
    assert (await stream_of(store)).sessions == (other,)


async def test_an_epoch_that_continues_leaves_everything_as_it_is(store: Store) -> None:
    for changes in everything():
        await store.commit("id-1", changes)
    before = await stream_of(store)
    await store.commit("id-1", [StreamContinued("2"), *append(7), StreamContinued("3"), StreamContinued("4")])
    expected = replace(
        before,
        epoch="4",
        head=7,
        events=(*before.events, event(7)),
        lineage=(*before.lineage, ("epoch-1", 6), ("2", 7), ("3", 7)),
    )
    assert await stream_of(store) == expected
    await store.commit("id-1", [*append(8), Trimmed(8)])
    after = await stream_of(store)
    assert (after.events, after.lineage) == ((event(8),), expected.lineage)


async def test_the_newest_epochs_are_kept_and_those_of_events_that_are(store: Store) -> None:
    for n in range(1, 101):
        await store.commit("id-1", [*append(n), StreamContinued(f"after {n}")])
    whole = [("epoch-1", 1), *((f"after {n}", n + 1) for n in range(1, 100))]
    assert list((await stream_of(store)).lineage) == whole
    await store.commit("id-1", [Trimmed(30), StreamContinued("last")])
    # There is the event 30 of the epoch that ended with it.
    assert list((await stream_of(store)).lineage) == [*whole[29:], ("after 100", 100)]
    await store.commit("id-1", [Trimmed(90), StreamContinued("very last")])
    lineage = (await stream_of(store)).lineage
    assert (len(lineage), lineage[-1]) == (EPOCHS_KEPT, ("last", 100))


async def test_epochs_in_which_nothing_happens_do_not_pile_up(store: Store) -> None:
    """An actor may sleep and wake for years without sending anything."""
    await store.commit("id-1", [*append(1), StreamContinued("a"), *append(2)])
    for n in range(200):
        await store.commit("id-1", [StreamContinued(f"{n}")])
    await store.commit("id-1", [*append(3), StreamContinued("last")])
    lineage = (await stream_of(store)).lineage
    # The two of the events that are kept, and the newest.
    assert lineage[:2] == (("epoch-1", 1), ("a", 2))
    assert lineage[2:] == (*((f"{n}", 2) for n in range(136, 199)), ("199", 3))
    assert len(lineage) == 2 + EPOCHS_KEPT


async def test_streams_of_different_actors_do_not_touch(store: Store) -> None:
    await store.create(StoredActor("id-2", "Room", (), b""))
    # By the same names throughout, the epoch's included.
    await store.commit("id-2", [*BEGUN, *append(1, 2), Subscribed("conn-1", "news", 1)])
    await store.commit("id-1", [*append(1), Replied("conn-1", 1, b"r"), Scheduled(call("s"))])
    before = await store.load_stream("id-2")
    await store.commit("id-1", [SessionEnded("conn-1"), Trimmed(2), StreamBegun("epoch-2")])
    await store.delete("id-1")
    assert await store.load_stream("id-2") == before
    assert await store.load_stream("id-1") is None


# --- commits that are refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "misfit",
    [
        append(3),
        append(1),
        [SessionOpened(SESSION)],
        [SessionOpened(replace(SESSION, connection_id="new", offset=2))],
        [SessionOpened(replace(SESSION, connection_id="new", replies=((1, b""),)))],
        [SessionOpened(replace(SESSION, connection_id="new", subscriptions=(Subscription("n", 0),)))],
        [Subscribed("conn-1", "news", 2)],
        [Unsubscribed("conn-1", "news", -1)],
        [Replied("conn-1", 1, b"", keep=0)],
        [Scheduled(call("s", actor_id="id-2"))],
        [Trimmed(1, let_go=(("news", 2),))],
        [Trimmed(1, lost=(("conn-1", -1),))],
        [SessionOpened(replace(SESSION, connection_id="new", lost=2))],
        [StreamBegun("next"), Subscribed("conn-1", "news", 1)],
        [StreamBegun("next"), SessionOpened(SESSION), SessionOpened(SESSION)],
    ],
    ids=lambda changes: " ".join(type(change).__name__ for change in changes),
)
async def test_a_commit_with_a_misfit_leaves_nothing(store: Store, misfit: Sequence[Change]) -> None:
    await store.commit("id-1", append(1))
    before = await contents(store)
    with pytest.raises(ValueError, match=r"head|session|reply|call"):
        await store.commit("id-1", [StateChanged(b"no"), Scheduled(call("no")), Trimmed(2), *misfit])
    assert await contents(store) == before


@pytest.mark.parametrize(
    "change",
    [*append(1), Trimmed(1), SessionOpened(SESSION), StreamContinued("e")],
    ids=lambda change: type(change).__name__,
)
async def test_a_stream_has_to_begin_first(store: Store, change: Change) -> None:
    await store.create(StoredActor("id-2", "Room", (), b""))
    with pytest.raises(ValueError, match="no stream yet"):
        await store.commit("id-2", [change])
    assert await store.load_stream("id-2") is None


async def test_a_commit_that_is_refused_harms_no_other(store: Store) -> None:
    answers = await asyncio.gather(
        store.commit("id-1", append(1)),
        store.commit("nobody", append(1)),
        store.commit("id-1", append(1)),
        store.commit("id-1", append(2)),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [type(None), ActorNotFound, ValueError, type(None)]
    assert (await stream_of(store)).events == (event(1), event(2))


async def test_an_id_may_be_opened_again_once_its_session_has_ended(store: Store) -> None:
    await store.commit(
        "id-1", [Subscribed("conn-1", "n", 0), Replied("conn-1", 5, b"r"), Scheduled(call("s"))]
    )
    await store.commit("id-1", [SessionEnded("conn-1"), SessionOpened(SESSION)])
    assert (await stream_of(store)).sessions == (SESSION,)


# --- sessions -----------------------------------------------------------------------------------------------


async def test_sessions_come_back_in_the_order_in_which_they_were_opened(store: Store) -> None:
    ids = ["z", "a", "m"]
    await store.commit("id-1", [SessionOpened(replace(SESSION, connection_id=id)) for id in ids])
    await store.commit("id-1", [SessionEnded("a"), SessionOpened(replace(SESSION, connection_id="b"))])
    await store.commit("id-1", [ConnStateChanged("z", b"{}")])
    sessions = (await stream_of(store)).sessions
    assert [session.connection_id for session in sessions] == ["conn-1", "z", "m", "b"]


ON, OFF = Subscribed, Unsubscribed


@pytest.mark.parametrize(
    ("changes", "intervals"),
    [
        ([(ON, 0)], [(0, None)]),
        ([(ON, 1), (OFF, 3)], [(1, 3)]),
        ([(ON, 1), (ON, 3)], [(1, None)]),
        ([(OFF, 3)], []),
        ([(ON, 1), (OFF, 2), (OFF, 3)], [(1, 2)]),
        ([(ON, 1), (OFF, 2), (ON, 3)], [(1, 2), (3, None)]),
        # What holds no offset is nothing.
        ([(ON, 2), (OFF, 2)], []),
        ([(ON, 1), (OFF, 2), (ON, 2)], [(1, 2), (2, None)]),
        ([(ON, 1), (OFF, 2), (ON, 3), (OFF, 3)], [(1, 2)]),
        ([(ON, 1), (OFF, 2), (ON, 2), (OFF, 2)], [(1, 2)]),
        ([(ON, 1), (OFF, 2), (ON, 2), (OFF, 4)], [(1, 2), (2, 4)]),
        # Nothing overlaps.
        ([(ON, 1), (OFF, 3), (ON, 2)], [(1, None)]),
    ],
    ids=str,
)
async def test_a_session_listens_in_intervals(
    store: Store,
    changes: list[tuple[type[Subscribed | Unsubscribed], int]],
    intervals: list[tuple[int, int | None]],
) -> None:
    await store.commit("id-1", append(1, 2, 3, 4))
    await store.commit("id-1", [Subscribed("conn-1", "other", 0)])
    for kind, offset in changes:
        await store.commit("id-1", [kind("conn-1", "news", offset)])
    expected = [*(Subscription("news", *interval) for interval in intervals), Subscription("other", 0)]
    assert list((await session_of(store)).subscriptions) == expected


async def test_intervals_before_the_oldest_event_are_gone(store: Store) -> None:
    await store.commit("id-1", append(1, 2, 3, 4, 5))
    for name, since, until in (("a", 0, 2), ("b", 0, 3), ("c", 2, 5), ("d", 3, None)):
        await store.commit("id-1", [Subscribed("conn-1", name, since)])
        if until is not None:
            await store.commit("id-1", [Unsubscribed("conn-1", name, until)])
    await store.commit("id-1", [Trimmed(3)])
    expected = (Subscription("b", 0, 3), Subscription("c", 2, 5), Subscription("d", 3))
    assert (await session_of(store)).subscriptions == expected
    # One that ends before it is not even kept.
    await store.commit("id-1", [Subscribed("conn-1", "e", 1), Unsubscribed("conn-1", "e", 2)])
    assert (await session_of(store)).subscriptions == expected


async def test_of_events_that_are_gone_the_newest_of_each_name_is_known(store: Store) -> None:
    await store.commit("id-1", [*append(1, 2, 3, 4), Trimmed(3, let_go=(("news", 1), ("größe", 2)))])
    assert (await stream_of(store)).let_go == (("größe", 2), ("news", 1))
    # Of the others stays what was said, until it is of no use.
    await store.commit("id-1", [Trimmed(4, let_go=(("news", 3), ("", 2)))])
    assert (await stream_of(store)).let_go == (("", 2), ("größe", 2), ("news", 3))
    await store.commit("id-1", [Trimmed(5, let_go=(("größe", 0), ("unknown", 0)))])
    assert (await stream_of(store)).let_go == (("", 2), ("news", 3))
    await store.commit("id-1", [StreamBegun("next")])
    assert (await stream_of(store)).let_go == ()


async def test_of_events_that_are_gone_the_newest_for_a_session_is_known_where_it_is_said(
    store: Store,
) -> None:
    other = replace(SESSION, connection_id="other", lost=0)
    await store.commit("id-1", [*append(1, 2, 3), SessionOpened(other)])

    async def lost() -> list[int | None]:
        return [session.lost for session in (await stream_of(store)).sessions]

    assert await lost() == [None, 0]
    await store.commit("id-1", [Trimmed(3, lost=(("conn-1", 0), ("other", 2), ("gone", 1)))])
    assert await lost() == [0, 2]
    await store.commit("id-1", [Trimmed(3, lost=(("conn-1", 1),))])
    assert await lost() == [1, 2]
    await store.commit("id-1", [Trimmed(3, lost=(("conn-1", None), ("other", 1), ("other", 2)))])
    assert await lost() == [None, 2]
    await store.commit("id-1", [SessionEnded("other"), SessionOpened(replace(other, lost=None))])
    assert await lost() == [None, None]


async def test_the_newest_replies_are_kept(store: Store) -> None:
    for id in range(1, 101):
        await store.commit("id-1", [Replied("conn-1", id, b"%d" % id, keep=3)])
    session = await session_of(store)
    assert session.replies == ((98, b"98"), (99, b"99"), (100, b"100"))
    await store.commit("id-1", [Replied("conn-1", 101, b"101", keep=1)])
    assert (await session_of(store)).replies == ((101, b"101"),)
    # What is gone does not come back when there is more room again.
    await store.commit("id-1", [Replied("conn-1", 102, b"102", keep=9)])
    assert (await session_of(store)).replies == ((101, b"101"), (102, b"102"))


async def test_replies_are_in_the_order_in_which_they_were_given(store: Store) -> None:
    await store.commit("id-1", [Replied("conn-1", id, b"", keep=2) for id in (9, 2, 5)])
    assert (await session_of(store)).replies == ((2, b""), (5, b""))


@pytest.mark.parametrize(
    "change",
    [
        SessionEnded("gone"),
        Subscribed("gone", "n", 0),
        Unsubscribed("gone", "n", 0),
        ConnStateChanged("gone", b""),
        Replied("gone", 1, b""),
    ],
    ids=lambda change: type(change).__name__,
)
async def test_a_session_that_is_not_there_is_passed_over(store: Store, change: Change) -> None:
    """It may have ended while a request of it ran, and the rest of that commit counts."""
    before = await stream_of(store)
    await store.commit("id-1", [StateChanged(b"kept"), change])
    actor, stream, _ = await contents(store)
    assert actor is not None and (actor.state, stream) == (b"kept", before)


# --- the schedule -------------------------------------------------------------------------------------------


async def test_the_schedule_has_the_calls_of_all_actors_the_earliest_first(store: Store) -> None:
    await store.create(StoredActor("id-2", "Room", (), b""))
    await store.commit("id-1", [Scheduled(call("late", 9.5)), Scheduled(call("same", 2.0))])
    await store.commit("id-2", [Scheduled(call("early", 1.25, "id-2")), Scheduled(call("same", 2.0, "id-2"))])
    found = [(call.actor_id, call.id, call.due) for call in await store.schedule()]
    expected = [("id-2", "early", 1.25), ("id-1", "same", 2.0), ("id-2", "same", 2.0), ("id-1", "late", 9.5)]
    assert found == expected


async def test_the_schedule_of_one_actor_is_its_part_in_the_same_order(store: Store) -> None:
    await store.create(StoredActor("id-2", "Room", (), b""))
    await store.commit("id-1", [Scheduled(call("late", 9.5)), Scheduled(call("b", 2.0))])
    await store.commit("id-2", [Scheduled(call("early", 1.25, "id-2"))])
    await store.commit("id-1", [Scheduled(call("a", 2.0)), Scheduled(call("gone")), Unscheduled("gone")])
    assert [found.id for found in await store.schedule_of("id-1")] == ["b", "a", "late"]
    assert await store.schedule_of("id-2") == [call("early", 1.25, "id-2")]
    assert await store.schedule_of("nobody") == []


async def test_a_call_comes_back_as_it_was(store: Store) -> None:
    scheduled = ScheduledCall("s", "id-1", 1_700_000_000.123456, "größe", b'["\x00"]')
    await store.commit("id-1", [Scheduled(scheduled)])
    assert await store.schedule() == [scheduled]


async def test_a_call_with_the_same_id_replaces(store: Store) -> None:
    await store.commit(
        "id-1", [Scheduled(call("a", 1.0)), Scheduled(call("b", 1.0)), Scheduled(call("a", 1.0))]
    )
    assert [call.id for call in await store.schedule()] == ["b", "a"]


async def test_a_call_that_has_run_is_gone_with_the_commit_of_what_it_did(store: Store) -> None:
    await store.commit("id-1", [Scheduled(call("a")), Scheduled(call("b"))])
    await store.commit("id-1", [Unscheduled("a"), Unscheduled("never"), StateChanged(b"ran")])
    actor, _, calls = await contents(store)
    assert actor is not None and (actor.state, calls) == (b"ran", [call("b")])


async def test_an_actor_without_a_stream_has_a_schedule_and_takes_it_along(store: Store) -> None:
    await store.create(StoredActor("id-2", "Room", (), b""))
    await store.commit("id-2", [Scheduled(call("a", 1.0, "id-2"))])
    await store.commit("id-1", [Scheduled(call("a"))])
    await store.delete("id-2")
    assert await store.schedule() == [call("a")]


async def test_everything_is_there_after_the_store_was_closed(store: Store) -> None:
    for changes in everything():
        await store.commit("id-1", [*changes, Scheduled(call("s"))])
    before = await contents(store)
    await store.close()
    await store.open()
    assert await contents(store) == before
    await store.commit("id-1", [*append(7), Replied("conn-1", 8, b"eight"), Subscribed("conn-2", "news", 7)])
    stream = await stream_of(store)
    assert stream.head == 7
    assert stream.sessions[0].replies == ((1, b"one"), (3, b"three"), (8, b"eight"))


async def test_actors_with_sessions_are_those_whose_clients_may_come_back(store: Store) -> None:
    await store.create(StoredActor("id-2", "Room", ("other",), b"{}"))
    await store.create(StoredActor("id-3", "Room", ("third",), b"{}"), [StreamBegun("epoch-3")])
    assert await store.with_sessions() == ["id-1"]
    await store.commit("id-1", [SessionEnded("conn-1")])
    assert await store.with_sessions() == []


async def test_that_an_actor_is_to_be_destroyed_is_known_until_it_is_deleted(store: Store) -> None:
    other = StoredActor("id-2", "Room", ("other",), b"{}")
    await store.create(other)
    await store.commit("id-2", [StateChanged(b"last"), DestroyBegun()])
    await store.commit("id-2", [DestroyBegun()])
    await store.close()
    await store.open()
    ending = StoredActor("id-2", "Room", ("other",), b"last", ends_for_good=True)
    assert await store.load("id-2") == ending
    assert await store.find("Room", ("other",)) == ending
    assert sorted(await store.with_sessions()) == ["id-1", "id-2"]
    await store.delete("id-2")
    assert await store.with_sessions() == ["id-1"]
    await store.create(other)
    assert await store.load("id-2") == other
