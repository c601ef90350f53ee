"""Whom an event is for is decided when it is sent: one test for each order of what could change that.

Each is done to a client that is there but whose socket is full, so that the write comes after the change; and
to one that is away, and comes back after the change.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from linked import eventually, running

from ringcast.errors import CloseCode
from ringcast.wire.encoding import Encoding
from ringcast.wire.protocol import Gap

from .hall import Hall
from .held import Held


class ShortHall(Hall, max_ring_events=4, slow_reader="skip"):
    """Remembers little."""


class StrictHall(Hall, max_ring_events=4, slow_reader="disconnect"):
    """Remembers little, and lets go of those who are late."""


@pytest.fixture(params=list(Encoding), ids=["json", "msgpack"])
def encoding(request: pytest.FixtureRequest) -> Encoding:
    found: Encoding = request.param
    return found


@pytest.fixture(params=[False, True], ids=["delayed", "away"])
def goes_away(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def client(encoding: Encoding, goes_away: bool) -> AsyncIterator[Held]:
    async with running(Hall) as router:
        with Held(router, encoding, goes_away=goes_away) as held:
            yield held


@pytest.fixture
async def forgotten(encoding: Encoding, goes_away: bool) -> AsyncIterator[Held]:
    """Give a client of an actor that remembers four events."""
    async with running(ShortHall) as router:
        with Held(router, encoding, goes_away=goes_away) as held:
            yield held


def send_to_level(hall: Hall, level: int, data: object) -> None:
    for conn in hall.conns:
        if conn.state.level == level:
            conn.send("a", data)


def broadcast_except_level(hall: Hall, level: int, data: object) -> None:
    hall.broadcast("a", data, exclude=[conn for conn in hall.conns if conn.state.level == level])


class TestConnectionState:
    """What is sent by a loop over connections, or with an exclusion, goes by their state of that moment."""

    async def test_chosen_and_then_changed_it_still_gets_the_event(self, client: Held) -> None:
        await client.arrive(level=1)
        await client.hold()
        send_to_level(client.hall, 1, "chosen")
        client.conn.state.level = 0
        send_to_level(client.hall, 1, "not chosen")
        await client.release()
        assert client.heard == ["chosen"]

    async def test_not_chosen_and_then_changed_it_does_not_get_the_event(self, client: Held) -> None:
        await client.arrive(level=0)
        await client.hold()
        send_to_level(client.hall, 1, "not chosen")
        client.conn.state.level = 1
        send_to_level(client.hall, 1, "chosen")
        await client.release()
        assert client.heard == ["chosen"]

    async def test_excluded_and_then_changed_it_does_not_get_the_event(self, client: Held) -> None:
        await client.arrive("a", level=1)
        await client.hold()
        broadcast_except_level(client.hall, 1, "for others")
        client.conn.state.level = 0
        broadcast_except_level(client.hall, 1, "for it too")
        await client.release()
        assert client.heard == ["for it too"]

    async def test_not_excluded_and_then_changed_it_still_gets_the_event(self, client: Held) -> None:
        await client.arrive("a", level=0)
        await client.hold()
        broadcast_except_level(client.hall, 1, "for it too")
        client.conn.state.level = 1
        broadcast_except_level(client.hall, 1, "for others")
        await client.release()
        assert client.heard == ["for it too"]

    async def test_a_selection_is_looked_at_when_it_is_sent_to(self, client: Held) -> None:
        await client.arrive()
        await client.hold()
        everybody = client.hall.conns
        nobody = everybody.exclude(client.conn)
        everybody.send("a", "for everybody")
        nobody.send("a", "for nobody")
        await client.release()
        assert client.heard == ["for everybody"]


class TestSubscribing:
    async def test_subscribed_and_then_sent_it_gets_the_event(self, client: Held) -> None:
        await client.arrive()
        await client.hold()
        await client.listen("a")
        client.hall.broadcast("a", 1)
        await client.release()
        assert client.heard == [1]

    async def test_sent_and_then_subscribed_it_does_not_get_the_event(self, client: Held) -> None:
        await client.arrive()
        await client.hold()
        client.hall.broadcast("a", 1)
        await client.listen("a")
        await client.release()
        assert client.heard == []

    async def test_a_name_is_subscribed_to_without_a_seam_while_others_change(self, client: Held) -> None:
        await client.arrive("a")
        await client.hold()
        client.hall.broadcast("a", 1)
        client.hall.broadcast("b", 2)
        await client.listen("a", "b")
        client.hall.broadcast("a", 3)
        client.hall.broadcast("b", 4)
        await client.release()
        assert client.heard == [1, 3, 4]

    async def test_what_is_sent_to_it_by_itself_needs_no_subscription(self, client: Held) -> None:
        await client.arrive("a")
        await client.hold()
        client.conn.send("a", 1)
        await client.listen()
        client.conn.send("a", 2)
        await client.release()
        assert client.heard == [1, 2]


class TestUnsubscribing:
    async def test_sent_and_then_unsubscribed_it_still_gets_the_event(self, client: Held) -> None:
        await client.arrive("a")
        await client.hold()
        client.hall.broadcast("a", 1)
        await client.listen()
        await client.release()
        assert client.heard == [1]

    async def test_unsubscribed_and_then_sent_it_does_not_get_the_event(self, client: Held) -> None:
        await client.arrive("a")
        await client.hold()
        await client.listen()
        client.hall.broadcast("a", 1)
        await client.release()
        assert client.heard == []

    async def test_what_was_sent_between_is_not_made_up_for_by_subscribing_again(self, client: Held) -> None:
        await client.arrive("a")
        await client.hold()
        client.hall.broadcast("a", 1)
        await client.listen()
        client.hall.broadcast("a", 2)
        await client.listen("a")
        client.hall.broadcast("a", 3)
        await client.release()
        assert client.heard == [1, 3]


class TestOverflow:
    """What the ring has let go is missing only to those to whom it had been sent."""

    async def test_what_was_for_it_is_missing_even_if_it_would_not_be_for_it_now(
        self, forgotten: Held
    ) -> None:
        await forgotten.arrive("a", level=1)
        await forgotten.hold()
        forgotten.hall.broadcast("a", "lost")
        forgotten.conn.state.level = 0
        for n in range(8):
            forgotten.hall.broadcast("b", n)
        await forgotten.listen()
        await forgotten.release()
        [gap] = forgotten.heard
        assert isinstance(gap, Gap) and gap.reason == "ring_overflow"

    async def test_what_was_not_for_it_is_not_missing_even_if_it_would_be_for_it_now(
        self, forgotten: Held
    ) -> None:
        await forgotten.arrive("a", level=1)
        await forgotten.hold()
        for n in range(8):
            broadcast_except_level(forgotten.hall, 1, n)
            send_to_level(forgotten.hall, 0, n)
            forgotten.hall.broadcast("b", n)
        forgotten.conn.state.level = 0
        await forgotten.listen("a", "b")
        forgotten.hall.broadcast("b", "for it")
        await forgotten.release()
        assert forgotten.heard == ["for it"]


@pytest.mark.parametrize("actor", [ShortHall, StrictHall])
async def test_what_was_sent_after_it_was_disconnected_is_not_missing(
    encoding: Encoding, actor: type[Hall]
) -> None:
    async with running(actor) as router:
        with Held(router, encoding, goes_away=False) as held:
            await held.arrive("a")
            await held.hold()
            held.hall.broadcast("b", "for others")
            held.conn.disconnect("enough")
            hall = held.hall
            await eventually(lambda: not hall.conns)
            for n in range(8):
                hall.broadcast("a", n)
            assert await held.read_to_its_end() == (CloseCode.DISCONNECTED, "enough")
            assert held.heard == []


async def test_what_was_sent_before_it_was_disconnected_and_is_gone_is_missing(encoding: Encoding) -> None:
    async with running(ShortHall) as router:
        with Held(router, encoding, goes_away=False) as held:
            await held.arrive("a")
            await held.hold()
            held.hall.broadcast("a", "lost")
            held.conn.disconnect("enough")
            hall = held.hall
            await eventually(lambda: not hall.conns)
            for n in range(8):
                hall.broadcast("a", n)
            assert await held.read_to_its_end() == (CloseCode.DISCONNECTED, "enough")
            [gap] = held.heard
            assert isinstance(gap, Gap) and gap.reason == "ring_overflow"


async def test_whoever_takes_the_place_of_one_who_left_gets_nothing_of_his(encoding: Encoding) -> None:
    async with running(Hall) as router:
        first, second = (Held(router, encoding, goes_away=True) for _ in range(2))
        with first, second:
            await first.arrive("a")
            hall, conn = first.hall, first.conn
            conn.send("a", "sent to the first")
            first.leave()
            conn.send("a", "sent to the first, too late")
            await second.arrive("a")
            hall.broadcast("a", "sent to the second")
            await second.read()
            assert second.heard == ["sent to the second"]
