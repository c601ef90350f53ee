"""Clients that keep a server waiting, on purpose: it gives them up in the time that it has set.

Each attack comes twice; what the server holds is compared between the ends of both. Meanwhile others get
every event.
"""

from __future__ import annotations

from conformance.raw_client import TEXT, frame

from .attackers import Attackers, until_closed
from .conftest import Siege

ACTION = b"POST /actors/room/actions/echo HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
EVENTS = b"POST /actors/room/events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
GET = b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n"
EACH = 5
"""Clients of each kind."""

SLOW: list[tuple[bytes, bytes]] = [
    (b"", b""),
    (b"", b"G"),
    (b"GET /connect HTTP/1.1\r\nx: ", b"y"),
    (b"GET /connect HTTP/1.1\r\nhost: a\r\n", b""),
    (b"GET /connect?", b"a"),
    (GET, b"x"),
    (ACTION + b"content-length: 1000\r\n\r\n{", b" "),
    (ACTION + b"content-length: 1000\r\n\r\n", b""),
    (ACTION + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n", b""),
    (ACTION + b"transfer-encoding: chunked\r\n\r\nfffffff", b"f"),
    (ACTION + b"transfer-encoding: chunked\r\n\r\n1;", b"x"),
    (EVENTS + b"content-length: 1000\r\n\r\n{", b" "),
]
"""What a client begins with, and what it goes on with, byte by byte."""


async def test_requests_that_do_not_end(hasty_siege: Siege) -> None:
    def attack(attackers: Attackers) -> None:
        for first, byte in SLOW:
            for each in attackers.many(EACH, attackers.open):
                each.send(first)
                each.goes_on = byte
        for each in attackers.many(2 * EACH, attackers.open):
            each.upgrade()
        for each in attackers.all[-EACH:]:
            each.send(frame(TEXT, b"x" * 1000)[:7])
            each.goes_on = b"x"
        until_closed(attackers.all)

    hit = await hasty_siege.withstand(attack)
    # Each once, but three kinds may be refused for what they go on with.
    everybody = (len(SLOW) + 2) * EACH
    assert everybody - 3 * EACH <= hit["connect_timeout_s"] <= everybody


async def test_clients_of_which_nothing_is_heard(impatient_siege: Siege) -> None:
    """They have lost their network, as far as a server can see: they answer no ping, and most do not read."""

    def attack(attackers: Attackers) -> None:
        body = b'{"subscriptions":["said"]}'
        for _ in range(EACH):
            attackers.connected("said")
            attackers.connected("said", encoding="msgpack")
            attackers.open().send(EVENTS + b"content-length: %d\r\n\r\n" % len(body) + body)
            attackers.open().send(
                b"GET /actors/room/events?key=attacked&subscribe=said HTTP/1.1\r\nhost: a\r\n\r\n"
            )
            # More answers than anybody keeps for them.
            asking = attackers.connected()
            asking.goes_on = frame(TEXT, asking.encode(["call", 1, "echo", ["x" * 30_000]]))
            attackers.open().goes_on = GET * 100
        for each in attackers.all:
            each.send_until_full(each.goes_on)
        reading = attackers.connected()
        # More than the ring and the buffers of their sockets take.
        reading.send_message(reading.new_call("say", 60, 400)[1])
        assert reading.answers(1) == {"reply": 1}
        # Who has nothing to read: they get their pings.
        until_closed([reading, *(attackers.connected(encoding=each) for each in ("json", "msgpack"))])

    hit = await impatient_siege.withstand(attack, lets_go=True)
    assert hit["dead_peer_timeout_s"] >= 3
