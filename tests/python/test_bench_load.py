"""The load that comes with the package, against a server that lies: it finds every lie, and names it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from ringcast.bench import fanout
from ringcast.bench.failures import Disturbed, Failed
from ringcast.bench.rig import Load, complete, disorder, faultless

CONNECT = {"actor": "feed", "subscriptions": ["tick"]}
CONNECTED = ["connected", {"stream": 1, "epoch": "E", "offset": 0, "session": "token"}]


@contextmanager
def telling(tell: Callable[[ServerConnection], None]) -> Iterator[SimpleNamespace]:
    """A server that answers a connect message, and then says what it likes."""

    def handle(socket: ServerConnection) -> None:
        socket.recv()
        say(socket, CONNECTED)
        tell(socket)
        for _ in socket:  # until the client is gone
            pass

    with serve(handle, "127.0.0.1", 0, subprotocols=["ringcast.v1.json"], compression=None) as server:  # type: ignore[list-item]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield SimpleNamespace(port=server.socket.getsockname()[1])
        finally:
            server.shutdown()
            thread.join()


def say(socket: ServerConnection, message: Any) -> None:
    socket.send(json.dumps(message, separators=(",", ":")))


def heard(offsets: list[int], *before: Any) -> dict[str, Any]:
    """Have a server send events with these offsets; return what the load counted up to the highest."""

    def tell(socket: ServerConnection) -> None:
        for message in before:
            say(socket, message)
        for offset in offsets:
            say(socket, ["event", 1, offset, "tick", [offset, 0, "x"]])
        say(socket, ["event", 1, 9, "tick", [9, 0, "x"]])

    with telling(tell) as server, Load(None) as load:
        load.open("g", 1, server, CONNECT, whole=True, next=[1])
        figures: dict[str, Any] = load.receive("g", "tick", 9)["figures"]
        return figures


def found(figures: dict[str, Any]) -> tuple[int, int, int]:
    counts = disorder([figures])
    return counts["gaps"], counts["duplicates"], counts["disorder"]


def test_events_that_come_once_and_in_order_count() -> None:
    figures = heard([1, 2, 3, 4, 5, 6, 7, 8])
    assert found(figures) == (0, 0, 0)
    assert complete(figures)["events"] == 9


@pytest.mark.parametrize(
    ("offsets", "counts"),
    [
        pytest.param([1, 2, 4, 5, 6, 7, 8], (1, 0, 0), id="one is missing"),
        pytest.param([1, 5, 6, 7, 8], (3, 0, 0), id="three are missing"),
        pytest.param([1, 2, 3, 3, 4, 5, 6, 7, 8], (0, 1, 0), id="one comes again"),
        pytest.param([1, 2, 1, 2, 3, 4, 5, 6, 7, 8], (0, 2, 0), id="two come again"),
        pytest.param([1, 3, 2, 4, 5, 6, 7, 8], (0, 0, 1), id="two have changed places"),
        pytest.param([1, 4, 2, 3, 2, 5, 7, 8], (1, 1, 2), id="everything at once"),
    ],
)
def test_a_lie_is_found_and_the_figures_do_not_count(
    offsets: list[int], counts: tuple[int, int, int]
) -> None:
    figures = heard(offsets)
    assert found(figures) == counts
    with pytest.raises(Failed, match=r"{} gaps, {} duplicates, {} disorder".format(*counts)):
        faultless(figures)


def test_a_gap_that_the_server_tells_of_is_no_lie_but_not_all_events_either() -> None:
    figures = heard([4, 5, 6, 7, 8], ["gap", {"reason": "ring_overflow", "first": 1, "last": 3}])
    assert found(faultless(figures)) == (1, 0, 0)
    with pytest.raises(Failed, match="the server told of 1 gaps with 3 events"):
        complete(figures)


def test_an_event_for_nobody_does_not_count() -> None:
    figures = heard([1, 2, 3, 4, 5, 6, 7, 8], ["event", 1, 1, "other", [1, 0, "x"]])
    with pytest.raises(Failed, match="1 foreign"):
        faultless(figures)


def test_a_load_that_is_closed_for_being_slow_was_disturbed() -> None:
    # It is closed while the load still opens it, or behind that.
    with (
        telling(lambda socket: socket.close(4502)) as server,
        Load(None) as load,
        pytest.raises(Disturbed, match="the load fell behind"),
    ):
        load.open("g", 1, server, CONNECT)
        load.receive("g", "tick", 1)


def test_a_failure_is_a_sentence() -> None:
    with (
        telling(lambda socket: socket.close(1009)) as server,
        Load(None) as load,
        pytest.raises(Failed) as failure,
    ):
        load.open("g", 1, server, CONNECT)
        load.receive("g", "tick", 1)
    assert "1 closed with 1009" in str(failure.value)
    assert "{" not in str(failure.value)


def test_percentiles_of_several_actors_are_those_of_all_events() -> None:
    hour_ns = 3_600_000_000_000
    actors = iter([(2, 0), (98 * 5, time.monotonic_ns() + hour_ns)])

    def tell(socket: ServerConnection) -> None:
        # Two events of the one are late, and of the other, which sends many, none is.
        count, sent_ns = next(actors)
        for offset in range(1, count + 1):
            say(socket, ["event", 1, offset, "tick", [offset, sent_ns, "x"]])

    with telling(tell) as server, Load(None) as load:
        for key, last in (("one", 2), ("other", 98 * 5)):
            load.open(key, 1, server, CONNECT, whole=True, next=[1])
            load.receive(key, "tick", last)
        side: Any = SimpleNamespace(shares={"one": 1, "other": 1})
        assert load.figures("one")["latency_ms"]["p99"] > 1
        assert fanout._late(load, side)["p99_us"] < 1
