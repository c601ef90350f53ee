"""Tables of single questions: what is in their rows, and what is left open where an answer has nothing."""

from __future__ import annotations

from typing import Any

import pytest
from relayed import relayed
from sections import memory, replay, round_trips, sleepers


def test_an_idle_connection_is_told_beside_a_bare_server_by_the_number_of_connections() -> None:
    def report(own: float, bare: float) -> dict[str, Any]:
        sides = {"ringcast": own, "bare picows": bare}
        return {"median": {side: {"bytes_per_connection": size} for side, size in sides.items()}}

    rows = list(memory({"10000": report(7000.4, 14_000), "2000": report(6000, 4000)}))
    assert rows[2:] == ["| 2,000 | 6,000 | 4,000 | 1.50 |", "| 10,000 | 7,000 | 14,000 | 0.50 |"]


def came_back(others_latency_ms: dict[str, Any], rate: float) -> dict[str, Any]:
    return {
        "deliveries_per_s": rate,
        "clients_per_s": rate / 1000,
        "server_cpu_s": rate / 1e7,
        "server_cpu_share": rate / 4e6,
        "load_cpu_share": rate / 8e6,
        "others_latency_ms": others_latency_ms,
    }


def crowd(meanwhile: list[dict[str, float] | None]) -> dict[str, Any]:
    """Return the reports about a crowd whose first run is its median."""
    before = {"p50": 1.0, "p99": 2.0}
    runs = [
        came_back({"before": before, "meanwhile": each}, rate)
        for each, rate in zip(meanwhile, (2e6, 1e6, 4e6), strict=True)
    ]
    report = {"options": {"connections": 500}, "runs": {"replay": runs}, "median": {"replay": runs[0]}}
    return {"replay": report}


def test_a_crowd_that_comes_back_is_told_with_the_range_of_its_runs() -> None:
    late: list[dict[str, float] | None] = [{"p50": 3.0, "p99": 30.0}, None, {"p50": 4.0, "p99": 9.0}]
    rows = list(replay(crowd(late)))
    assert rows[0] == "|  | median of 3 | lowest to highest |"
    assert rows[2:] == [
        "| missed events a second, in millions | 2.00 | 1.00 to 4.00 |",
        "| clients a second that have caught up | 2,000 | 1,000 to 4,000 |",
        "| processor time of the server for a client, ms | 0.40 | 0.20 to 0.80 |",
        "| share of its core: server | 0.50 | 0.25 to 1.00 |",
        "| share of its core: load | 0.25 | 0.12 to 0.50 |",
        "| latency of an event to the others, before: p50, ms | 1.0 | 1.0 to 1.0 |",
        "| latency of an event to the others, before: p99, ms | 2.0 | 2.0 to 2.0 |",
        "| latency of an event to the others, meanwhile: p50, ms | 3.0 | 3.0 to 4.0 |",
        "| latency of an event to the others, meanwhile: p99, ms | 30.0 | 9.0 to 30.0 |",
    ]


@pytest.mark.parametrize("nothing", [None, {"p50": None, "p99": None}])
def test_a_crowd_that_is_back_before_the_others_got_an_event_has_no_latency(nothing: Any) -> None:
    rows = list(replay(crowd([nothing] * 3)))
    assert rows[-2:] == [
        "| latency of an event to the others, meanwhile: p50, ms |  |  |",
        "| latency of an event to the others, meanwhile: p99, ms |  |  |",
    ]


def test_sleepers_are_held_against_both_runs_without_them() -> None:
    variants = {"reading": 2e7, "absent": 2.5e7, "disconnect": 1e7, "skip": 3e7}
    medians = {
        name: {
            "others_events_per_s": rate,
            "memory_growth_bytes": 3e6,
            "retained_bytes": 2e6,
            "ring_bytes": 8e6,
            "server_cpu_share": 1.0,
            "load_cpu_share": 0.5,
        }
        for name, rate in variants.items()
    }
    compared = {
        name: {"rate_to_all_reading": variants[name] / 2e7, "rate_to_sleepers_absent": variants[name] / 2.5e7}
        for name in ("disconnect", "skip")
    }
    options = {"clients": 1000, "every": 10}
    rows = list(sleepers({"sleepers": {"options": options, "median": medians, "compared": compared}}))
    assert rows[0].startswith("| the 100 sleepers | events a second to the 900 others, in millions |")
    assert rows[2:] == [
        "| read like the others | 20.0 | 1 |  | 3.0 | 2.0 | 1.00 | 0.50 |",
        "| are not connected | 25.0 |  | 1 | 3.0 | 2.0 | 1.00 | 0.50 |",
        '| sleep, `slow_reader="disconnect"` | 10.0 | 0.50 | 0.40 | 3.0 | 2.0 | 1.00 | 0.50 |',
        '| sleep, `slow_reader="skip"` | 30.0 | 1.50 | 1.20 | 3.0 | 2.0 | 1.00 | 0.50 |',
        "",
        "The actor's ring may hold 8.0 MB.",
    ]


def test_connections_without_a_plain_socket_are_held_against_one_with() -> None:
    def result(rate: float, us: float, per_write: float | None) -> dict[str, float | None]:
        return {
            "deliveries_per_s": rate,
            "server_us": us,
            "server_share": 0.9,
            "receiver_share": 0.6,
            "deliveries_per_write": per_write,
        }

    median = {"plain": result(2e6, 0.2, None), "TLS": result(1e6, 0.5, 12.34)}
    report = {
        "options": {"connections": 1000, "events": 2000, "burst": 10, "event_bytes": 128},
        "runs": {"plain": [{}, {}, {}], "TLS": [{}, {}, {}]},
        "median": median,
    }
    rows = list(relayed({"flood": report}))
    assert rows[0] == (
        "1,000 connections, 2,000 events of 128 bytes, 10 in each turn of the event loop; medians of 3."
    )
    assert rows[4:] == [
        "| plain | 2,000,000 | 1.00 | 0.200 | 1.00 |  | 0.90 | 0.60 |",
        "| TLS | 1,000,000 | 0.50 | 0.500 | 2.50 | 12.3 | 0.90 | 0.60 |",
    ]


def test_calls_are_held_against_rivetkits_with_as_many_on_their_way() -> None:
    def result(rate: float, busy: float | None = None, **us: float) -> dict[str, float | None]:
        return {"actions_per_s": rate, "p50_us": 500.0, "p99_us": 1250.0, "receiver_cpu_share": busy, **us}

    median = {
        "ringcast, 32 at a time": result(60_000, 0.1, server_us_per_action=12.3),
        "rivetkit, 32 at a time": result(15_000, both_us_per_action=60.0),
        "rivetkit, client apart, 32 at a time": result(20_000, 0.95, server_us_per_action=45.0),
        "ringcast, 128 at a time": result(75_000, 0.1, server_us_per_action=12.0),
        "rivetkit, 128 at a time": result(15_000, both_us_per_action=60.0),
    }
    assert list(round_trips({"calls": {"median": median}}))[2:] == [
        "| 32 | ringcast | 60,000 |  | 0.50 / 1.25 | 12.3 |  | 0.10 |",
        "| 32 | rivetkit | 15,000 | 4.0 | 0.50 / 1.25 |  | 60.0 |  |",
        "| 32 | rivetkit, client apart | 20,000 | 3.0 | 0.50 / 1.25 | 45.0 |  | 0.95\\* |",
        "| 128 | ringcast | 75,000 |  | 0.50 / 1.25 | 12.0 |  | 0.10 |",
        "| 128 | rivetkit | 15,000 | 5.0 | 0.50 / 1.25 |  | 60.0 |  |",
        "\n\\* The load used more than 0.9 of its core: the rate may be its own.",
    ]
