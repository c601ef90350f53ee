"""More connects, pings and subscriptions than anybody needs: limits hold, and it is over when it is over.

Each attack comes twice; what the server holds is compared between the ends of both. Meanwhile others get
every event.
"""

from __future__ import annotations

import itertools
import json
import select
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pytest

from conformance.raw_client import PING, TEXT, frame

from .attackers import FULL_AFTER_MS, Attacker, Attackers
from .conftest import Siege
from .target import MOST_PER_ADDRESS

ROUNDS: Final = 100


async def test_floods_of_connects(siege: Siege) -> None:
    def attack(attackers: Attackers) -> None:
        many = attackers.many(4 * MOST_PER_ADDRESS, attackers.open)
        for each in many:
            each.send(each.request_bytes())
        statuses = Counter(each.read_response().status for each in many)
        assert statuses == {101: MOST_PER_ADDRESS, 429: 3 * MOST_PER_ADDRESS}

    hit = await siege.withstand(attack)
    assert hit["max_connections_per_address"] == 3 * MOST_PER_ADDRESS


async def test_floods_of_upgrades_that_are_refused(siege: Siege) -> None:
    """Also for what is looked at last: none of them may keep a place."""
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"sec_websocket_key": "!" * 24}, 400),
        ({"sec_websocket_key": "MDEyMzQ1Njc4OQ=="}, 400),
        ({"upgrade": ["h2c", "websocket"]}, 400),
        ({"sec_websocket_version": "12"}, 426),
        ({"sec_websocket_protocol": "soap"}, 400),
    ]

    def attack(attackers: Attackers) -> None:
        for changes, status in wrong * MOST_PER_ADDRESS:
            each = attackers.open()
            assert each.upgrade(**changes).status == status, changes
            each.reset()
            # The same behind another request: this goes by uvicorn's parser.
            each = attackers.open()
            each.send(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
            assert each.read_response().status == 200
            assert each.upgrade(**changes).status == status, changes
            each.reset()

    assert not await siege.withstand(attack)


async def test_floods_of_connects_that_end_at_once(siege: Siege) -> None:
    def attack(attackers: Attackers) -> None:
        for number in range(2000):
            each = attackers.open()
            if number % 2:
                each.send(each.request_bytes()[: number % 200])
            each.reset()

    await siege.withstand(attack)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_floods_of_pings(siege: Siege, encoding: str) -> None:
    def attack(attackers: Attackers) -> None:
        for _ in range(5):
            each = attackers.connected(encoding=encoding)
            # It reads none of the answers, until the server reads none of its pings.
            each.send_until_full(frame(PING, b"p" * 125) * 100)

    await siege.withstand(attack)


async def test_thousands_of_subscriptions(siege: Siege) -> None:
    def attack(attackers: Attackers) -> None:
        for client in range(10):
            each = attackers.connected(actor="hall")
            ids = itertools.count(1)
            # Names that nobody else has, taken and given back.
            for times in range(3):
                _ask_all(each, ids, [f"name {client} {times} {n}" for n in range(200)])
            for n in range(1000):
                each.send_message(["subscribe", next(ids), f"other {client} {n}"])
            assert each.answers(1000) == {"reply": 256, "error": 744}
            # The same with filters.
            each = attackers.connected()
            ids = itertools.count(1)
            for times in range(10):
                first = 1000 * client + 100 * times
                _ask_all(each, ids, [["placed", {"x": first + n}] for n in range(60)])

    hit = await siege.withstand(attack)
    assert hit["max_subscriptions"] == 7440


def _ask_all(each: Attacker, ids: Iterator[int], topics: list[Any]) -> None:
    for kind in ("subscribe", "unsubscribe"):
        for topic in topics:
            each.send_message([kind, next(ids), topic])
        assert each.answers(len(topics)) == {"reply": len(topics)}


async def test_connects_with_more_subscriptions_than_there_may_be(siege: Siege) -> None:
    def attack(attackers: Attackers) -> None:
        each = attackers.open()
        each.upgrade()
        body = {"actor": "room", "subscriptions": [f"n{n}" for n in range(3000)]}
        each.send(frame(TEXT, json.dumps(["connect", body]).encode()))
        assert each.read_message()[0] == "error"
        each.expect_close(4001)

    await siege.withstand(attack)


async def test_floods_of_calls(siege: Siege) -> None:
    def attack(attackers: Attackers) -> None:
        each = attackers.connected()
        for begin in range(0, 6000, 500):
            for id in range(begin, begin + 500):
                each.send_message(["call", id + 1, "echo", [id]])
            each.answers(500)

    hit = await siege.withstand(attack)
    assert hit["max_actions_per_s"] > 0


async def test_floods_of_pipelined_requests(siege: Siege) -> None:
    def attack(attackers: Attackers) -> None:
        for _ in range(10):
            each = attackers.open()
            each.send_until_refused(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n" * 5000)
            # Those before them are answered or not; more than that is not even looked at.
            assert each.rest().count(b"HTTP/1.1 200") < 1000
        few = attackers.open()
        few.send(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n" * 60)
        assert [few.read_response().status for _ in range(60)] == [200] * 60

    await siege.withstand(attack)


async def test_floods_of_messages_that_are_posted_and_not_waited_for(siege: Siege) -> None:
    """By a client that has stopped to read: of what it posts, only so much may wait."""

    def attack(attackers: Attackers) -> None:
        stream = attackers.open()
        stream.send(_post("/actors/room/events", {"key": ["attacked"]}))
        session = stream.next_event()[1]["session"]
        ids = itertools.count(1)

        def post() -> Attacker:
            call = ["call", next(ids), "echo", ["x" * 60_000]]
            each = attackers.open()
            each.send(_post("/session/messages", call, f"ringcast-session: {session}"))
            return each

        def post_until_refused() -> list[Attacker]:
            """Return those that wait: a megabyte, or some more that the server has not come to yet."""
            waiting: list[Attacker] = []
            while True:
                each = post()
                if not _is_readable(each):
                    waiting.append(each)
                    assert len(waiting) < MOST_PER_ADDRESS // 2
                    continue
                answer = each.read_response()
                each.reset()
                if answer.status == 429:
                    assert answer.headers["retry-after"] == "1"
                    return waiting
                assert answer.status == 204

        waiting = post_until_refused()
        for _ in range(ROUNDS):
            for _ in range(9):
                post().reset()
            # No more at a time than that: what is measured is what stays.
            waiting += post_until_refused()
        # Whoever has hung up waits no more: there is room for as many again.
        for each in waiting:
            each.reset()
        while not (waiting := post_until_refused()):
            pass

    hit = await siege.withstand(attack)
    assert hit["max_pending_messages"] > ROUNDS


def _post(target: str, body: Any, *headers: str) -> bytes:
    content = json.dumps(body).encode()
    lines = [f"POST {target} HTTP/1.1", "host: a", "content-type: application/json", *headers]
    return "\r\n".join([*lines, f"content-length: {len(content)}", "", ""]).encode() + content


def _is_readable(each: Attacker) -> bool:
    readable = select.poll()
    readable.register(each.sock, select.POLLIN)
    return bool(readable.poll(FULL_AFTER_MS))
