"""What the page says of other servers: the table, who is ahead, and why cells are empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_pages import beside, fanout, made, part


def test_a_target_about_peers_is_not_measured_without_them(tmp_path: Path) -> None:
    assert "| at least 3 times, at least 0.85 | not measured |  |" in made(
        tmp_path, P2={"bursts": fanout(9e5)}
    )


def test_peers_are_in_a_table_and_those_that_are_ahead_are_named(tmp_path: Path) -> None:
    page = made(
        tmp_path,
        [
            beside("memory", "bytes_per_connection", 7250, ws=8100, picows=7000),
            beside("connects", "connects_per_s", 4000, ws=5000, picows=3000),
            beside("bursts", "deliveries_per_s", 3e6, socketify=1e6, ws=None),
        ],
    )
    assert "|  | bursts of 30, deliveries/s | bytes of 2,000 | connects/s |" in page
    assert "| ringcast | 3,000,000 | 7,250 | 4,000 |" in page
    assert "| ws | failed | 8,100 | 5,000 |" in page
    assert "| socketify | 1,000,000 |  |  |" in page
    assert "- bytes of 2,000: `picows` 1.04\n- connects/s: `ws` 0.80\n" in page
    assert page.count("\n- ") == 2


def floods(p50_us: float | None, p99_us: float | None, **more: float) -> dict[str, float | None]:
    return {"deliveries_per_s": 1e6, "p50_us": p50_us, "p99_us": p99_us, **more}


def test_peers_that_are_ahead_in_the_latency_of_a_flood_are_named_with_all_ratios(tmp_path: Path) -> None:
    median = {
        "ringcast": floods(17_000, 44_000),
        "picows": floods(3400, 4400),
        "ws": floods(8500, 88_000),
        "socket.io": {"failed": "it lost events"},
    }
    bursts = {**beside("bursts", "deliveries_per_s", 1e6, ws=1e6), "median": median}
    page = made(tmp_path, [bursts])
    assert "- bursts of 30, p50: `picows` 5.00, `ws` 2.00\n- bursts of 30, p99: `picows` 10.00\n" in page
    assert page.count("\n- ") == 2
    assert "| picows | 1,000,000 | 3.40 / 4.40 |" in page


@pytest.mark.parametrize("nothing", [None, 0.0])
def test_a_latency_that_was_not_recorded_is_left_open_and_not_ahead(
    tmp_path: Path, nothing: float | None
) -> None:
    median = {"ringcast": floods(17_000, 44_000), "python-socketio": floods(nothing, nothing)}
    flood = {**beside("flood", "deliveries_per_s", 1e6, ws=1e6), "median": median}
    page = made(tmp_path, [flood])
    assert "| python-socketio | 1,000,000 |  |" in page
    assert "No peer is ahead in any of these." in page


def test_the_load_is_told_for_each_peer_and_a_rate_that_may_be_its_own_is_marked(tmp_path: Path) -> None:
    median = {
        "ringcast": floods(1, 1, receiver_cpu_share=0.5),
        "picows": floods(1, 1, receiver_cpu_share=0.9),
        "ws": floods(1, 1, receiver_cpu_share=0.93),
    }
    flood = {**beside("flood", "deliveries_per_s", 1e6, ws=1e6), "median": median}
    page = made(tmp_path, [flood])
    head = "| load, of its core | flood |\n| --- | ---: |\n"
    assert f"{head}| ringcast | 0.50 |\n| picows | 0.90 |\n| ws | 0.93\\* |\n" in page
    assert "| picows | 1,000,000 | 0.00" in page
    assert "| ws | 1,000,000\\* | 0.00" in page
    assert page.count("\\* The load used more than 0.9 of its core") == 1


def test_why_cells_of_peers_are_empty_is_told(tmp_path: Path) -> None:
    median = {"ringcast": floods(17_000, 44_000), "picows": floods(None, None), "ws": floods(1, 1)}
    flood = {**beside("flood", "deliveries_per_s", 1e6, ws=1e6), "median": median}
    one = beside("one", "until_last_us", 79_000, picows=63_000, **{"socket.io": None})
    assert (
        "Cells without a figure: did not answer in `one`: socket.io; not asked in `flood`: socket.io; "
        "not asked in `one`: ws; too few events to have one recorded in `flood`: picows.\n"
    ) in made(tmp_path, [flood, one])


def test_nothing_is_told_of_empty_cells_where_there_are_none(tmp_path: Path) -> None:
    page = made(tmp_path, [beside("connects", "connects_per_s", 4000, ws=5000)])
    assert "Cells without a figure" not in page


def test_the_short_table_has_the_fastest_first_and_the_latency(tmp_path: Path) -> None:
    def report(question: str, **figures: dict[str, Any]) -> dict[str, Any]:
        return {**beside(question, "p99_us", 1, ws=1), "median": figures}

    rates = {"picows": 176_400.0, "ringcast": 24.17e6, "socket.io": 999_900.0}
    page = made(
        tmp_path,
        [
            report("flood", **{side: {"deliveries_per_s": rate} for side, rate in rates.items()}),
            report("bursts", ringcast={"deliveries_per_s": 2e6}, picows={"failed": "it lost events"}),
            report("latency", ringcast=floods(2982, 8225), picows=floods(2979, 1_234_567)),
        ],
    )
    assert part("short", page).splitlines() == [
        "|  | flood | bursts | 100 a second: p50, ms | p99, ms |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| Ringcast | 24.2 M | 2.0 M | 3.0 | 8.2 |",
        "| Socket.IO, on Node | 1.0 M |  |  |  |",
        "| picows, a loop over its sockets | 176 k |  | 3.0 | 1,234.6 |",
    ]
