"""The page is made of the answers: what was not measured is told to be so, and the rest stays as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from report import PAGES, SECTIONS, main
from targets import CURVE_LABELS

PAGE = "# Figures\n\n" + "".join(
    f"<!-- made by benches/report.py: {name} -->\nold\n<!-- end -->\n\nwritten by hand\n"
    for name in ("targets", "short", *SECTIONS)
)
OLD = "from before answers said it"


def made(tmp_path: Path, peers: list[dict[str, Any]] | None = None, **targets: dict[str, Any]) -> str:
    """Return the page that is made of these reports by target and label, and those of peers."""
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text(PAGE)
    results.mkdir(exist_ok=True)
    if peers is not None:
        (results / "peers.json").write_text(json.dumps({"peers": {}, "questions": peers}))
    for target, reports in targets.items():
        (results / f"{target}.json").write_text(json.dumps({"target": target, "reports": reports}))
    return report(page, results)


def report(page: Path, results: Path) -> str:
    """Have the page made, and return it."""
    done = CliRunner().invoke(main, ["--results", str(results), "--page", str(page)])
    assert done.exit_code == 0, done.output
    return page.read_text()


def test_a_section_has_the_table_of_its_target(tmp_path: Path) -> None:
    median = {"ringcast": {"bytes_per_connection": 7000}, "bare picows": {"bytes_per_connection": 9000}}
    page = made(tmp_path, P6={"2000": {**fanout(1e6), "median": median}})
    assert part("memory", page).endswith("| 2,000 | 7,000 | 9,000 | 0.78 |\n")
    assert part("replay", page) == "Not measured.\n"


@pytest.mark.parametrize(
    "page",
    [
        PAGE.replace("py: tls -->", "py: replay -->"),
        PAGE.replace("<!-- end -->", "", 1),
        PAGE + "<!-- made by benches/report.py: more -->\n<!-- end -->\n",
    ],
    ids=["one is there twice", "one has no end", "one is unknown"],
)
def test_a_page_without_its_parts_is_left_as_it_is(tmp_path: Path, page: str) -> None:
    (tmp_path / "page.md").write_text(page)
    done = CliRunner().invoke(main, ["--results", str(tmp_path), "--page", str(tmp_path / "page.md")])
    assert done.exit_code == 1
    assert "the pages have the parts" in done.output
    assert (tmp_path / "page.md").read_text() == page


def test_several_pages_share_the_parts(tmp_path: Path) -> None:
    head, short, tail = PAGE.partition("<!-- made by benches/report.py: short -->\nold\n<!-- end -->\n")
    pages = [tmp_path / "performance.md", tmp_path / "README.md"]
    for page, text in zip(pages, (head + tail, short), strict=True):
        page.write_text(text)
    options = [option for page in pages for option in ("--page", str(page))]
    done = CliRunner().invoke(main, ["--results", str(tmp_path), *options])
    assert done.exit_code == 0, done.output
    assert "old" not in pages[0].read_text()
    assert pages[1].read_text() == short.replace("old", "Not measured.")


def test_the_pages_are_what_is_made_of_the_answers_that_are_kept(tmp_path: Path) -> None:
    """`make bench-report` makes them so."""
    pages = [tmp_path / page.name for page in PAGES]
    for page, kept in zip(pages, PAGES, strict=True):
        page.write_text(kept.read_text())
    options = [option for page in pages for option in ("--page", str(page))]
    assert CliRunner().invoke(main, options).exit_code == 0
    plots = {path.name: path.read_text() for path in (tmp_path / "plots").iterdir()}
    assert [page.read_text() for page in pages] == [page.read_text() for page in PAGES]
    kept_plots = {path.name: path.read_text() for path in (PAGES[0].parent / "plots").iterdir()}
    assert plots == {name: kept_plots[name] for name in plots}


def part(name: str, page: str) -> str:
    """Return what the page has between the two comments of this name."""
    return page.partition(f"<!-- made by benches/report.py: {name} -->\n")[2].partition("<!-- end -->\n")[0]


def of_commits(tmp_path: Path, **commits: str | None) -> str:
    """Return what is made of answers of these commits; those of `OLD` do not say any."""
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text(PAGE)
    results.mkdir()
    for name, commit in commits.items():
        content = {"questions": []} if name.startswith("peers") else {"target": name, "reports": {}}
        of = {} if commit == OLD else {"commit": commit}
        (results / f"{name.replace('_', '-')}.json").write_text(json.dumps(of | content))
    return part("targets", report(page, results))


def fanout(deliveries_per_s: float, limit_per_s: float = 1e6, ns: float = 100.0) -> dict[str, Any]:
    own = {
        "deliveries_per_s": deliveries_per_s,
        "p50_us": 1000.0,
        "p99_us": 2000.0,
        "server_cpu_s": 1.0,
        "seconds": 2.0,
        "receiver_cpu_share": 0.5,
    }
    return {
        "machine": {
            "processor": "a processor",
            "cores": 2,
            "system": "Linux 6",
            "python": "3.11.7",
            "ringcast": "0.1.0",
            "load_average": 0.1,
        },
        "cores": {"server": 0, "load": 1, "remark": None},
        "options": {"messages": 4000},
        "runs": {"ringcast": [own]},
        "limit_per_s": limit_per_s,
        "median": {"ringcast": own},
        "compared": {
            "rate_to_limit": deliveries_per_s / limit_per_s,
            "server_ns_per_delivery": ns,
            "limit_ns_per_delivery": 1000.0,
        },
    }


def test_what_was_not_measured_is_told_to_be_so_and_the_rest_is_left_alone(tmp_path: Path) -> None:
    page = made(tmp_path, P2={"bursts": {"failed": "it fell over"}})
    assert page.count("not measured") == 12
    assert [part(name, page) for name in SECTIONS] == ["Not measured.\n"] * len(SECTIONS)
    assert page.count("written by hand") == 2 + len(SECTIONS)
    assert "old" not in page
    assert page.startswith("# Figures\n")
    assert page.endswith("\n\nwritten by hand\n")


def test_the_page_begins_with_the_commit_that_all_of_it_was_asked_of(tmp_path: Path) -> None:
    about = of_commits(tmp_path, P1="abc1234", P10="abc1234", peers_flood="abc1234")
    assert about.startswith("All asked of commit `abc1234`.\n\n")


def test_answers_of_several_commits_are_told_apart(tmp_path: Path) -> None:
    about = of_commits(tmp_path, P1="abc1234", P10="abc1234", P2="abc1234", P3="def5678", peers_one=None)
    assert about.startswith(
        "Asked of several commits: P1, P2, P10 of commit `abc1234`; P3 of commit `def5678`; "
        "peers-one of a commit that is not known.\n\n"
    )


@pytest.mark.parametrize("commit", [None, OLD])
def test_answers_that_do_not_say_their_commit_are_read(tmp_path: Path, commit: str | None) -> None:
    assert of_commits(tmp_path, P1=commit).startswith("All asked of a commit that is not known.\n\n")


def test_a_commit_with_changes_is_told_to_have_some(tmp_path: Path) -> None:
    assert of_commits(tmp_path, P1="abc1234+", P2="abc1234+").startswith(
        "All asked of commit `abc1234+`.\nA `+` stands for changes since that commit.\n\n"
    )


def beside(question: str, figure: str, own: float, **others: float | None) -> dict[str, Any]:
    """Return what was answered about peers; None is of one that failed."""
    counted = {name: value for name, value in others.items() if value is not None}
    pick = max if figure.endswith("_per_s") else min
    best = pick(counted, key=lambda name: counted[name])
    return {
        **fanout(own),
        "question": question,
        "median": {
            "ringcast": {figure: own},
            **{
                name: {"failed": "it lost events"} if each is None else {figure: each}
                for name, each in others.items()
            },
        },
        "compared": {
            "to": {name: own / each for name, each in counted.items()},
            "best": best,
            "to_best": own / counted[best],
        },
    }


def test_a_target_is_met_or_not_by_what_was_found(tmp_path: Path) -> None:
    bursts = beside("bursts", "deliveries_per_s", 3e6, socketify=1e6, ws=None)
    for number, (rate, verdict) in enumerate({8.6e5: "0.86 | yes", 8.4e5: "0.84 | no"}.items()):
        place = tmp_path / str(number)
        place.mkdir()
        assert f"3.0 times socketify's; {verdict} |" in made(place, [bursts], P2={"bursts": fanout(rate)})


def test_how_far_each_target_is_met_is_a_row_of_a_plot(tmp_path: Path) -> None:
    bursts = beside("bursts", "deliveries_per_s", 6e6, socketify=1e6)
    page = made(tmp_path, [bursts], P2={"bursts": fanout(4.25e5)})
    assert page.count("(plots/targets.svg)") == 1
    plot = ElementTree.parse(tmp_path / "plots" / "targets.svg")
    space = "{http://www.w3.org/2000/svg}"
    assert [each.findtext(f"{space}title") for each in plot.iter(f"{space}circle")] == ["2.00", "0.50"]
    texts = [each.text for each in plot.iter(f"{space}text")]
    assert {"P2 rate to socketify's", "P2 rate to the limit's"} <= set(texts)


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


def test_the_load_is_told_beside_the_limit_too(tmp_path: Path) -> None:
    report = fanout(1e6)
    report["median"]["limit"] = {"receiver_cpu_share": 0.95}
    page = made(tmp_path, P1={"flood": report}, P11={"payload: 32": report, "payload: 128": report})
    assert "| P1 flood | 1,000,000 | 1,000,000\\* | 1.00 | 1.00 | 2.00 | 0.50 | 0.50 | 0.95\\* |" in page
    assert "| 128 | 4,000 | 1,000,000 | 1,000,000\\* | 100 | 1,000 | 2.00 | 0.50 | 0.95\\* |" in page
    assert page.count("\\* The load used more than 0.9 of its core") == 2


def test_the_load_is_told_where_there_is_no_flood(tmp_path: Path) -> None:
    sides: dict[str, tuple[str, str, dict[str, Any]]] = {
        "P9": ("actions", "one", {"actions_per_s": 1000, "round_trip_ms": {"count": 2000}}),
        "P10": ("latency", "ringcast", {"deliveries_per_s": 500, "latency_ms": {"count": 2000}}),
        "P12": ("connect", "bare picows", {"connects_per_s": 400}),
    }
    reports = {
        target: {
            label: {
                **fanout(1e6),
                "options": {"connections": 3200},
                "median": {side: {**figures, "receiver_cpu_s": 1.0}},
                "compared": {},
            }
        }
        for target, (label, side, figures) in sides.items()
    }
    page = made(tmp_path, None, **reports)
    assert "| P9 one | 0.50 |\n| P10 ringcast | 0.25 |\n| P12 bare picows | 0.12 |\n" in page


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


def calls(tmp_path: Path, wall: dict[str, float]) -> str:
    """Return P4's row, of benchmarks with these microseconds an event by the clock on the wall."""
    cpu = {"test_encode[json]": 0.2, "test_broadcast[attached-10]": 0.8, "test_broadcast[attached-9000]": 1.0}
    benchmarks = [
        {
            "name": name,
            "stats": {"median": us * 400 / 1e6},
            "extra_info": {"events": 400, **({"wall_s": wall[name] * 400 / 1e6} if name in wall else {})},
        }
        for name, us in cpu.items()
    ]
    page, results = tmp_path / "page.md", tmp_path / "results"
    page.write_text(PAGE)
    results.mkdir()
    (results / "P4.json").write_text(json.dumps({"benchmarks": benchmarks}))
    [row] = re.findall(r"^\| P4 \|.*$", report(page, results), re.MULTILINE)
    return str(row)


def test_a_broadcast_is_judged_by_processor_time_and_the_clock_on_the_wall_is_told(tmp_path: Path) -> None:
    wall = {
        "test_encode[json]": 0.3,
        "test_broadcast[attached-10]": 1.5,
        "test_broadcast[attached-9000]": 9.3,
    }
    assert calls(tmp_path, wall).endswith(
        "| 0.6 and 0.8 µs above encoding, at 10 and 9,000 (1.25); "
        "by the clock on the wall 1.2 and 9.0 µs | yes |"
    )


def test_a_broadcast_without_the_clock_on_the_wall_is_told_by_processor_time(tmp_path: Path) -> None:
    assert calls(tmp_path, {}).endswith("| 0.6 and 0.8 µs above encoding, at 10 and 9,000 (1.25) | yes |")


def test_filters_are_told_by_broadcast_and_beside_the_limit(tmp_path: Path) -> None:
    reports = {
        f"{name}, {how}: {size}": {
            **fanout(1e6, ns=ns),
            "options": {"connections": size, "messages": size + 1},
        }
        for name, how, ns in (
            ("matching", "kept", 200),
            ("matching", "anew", 300),
            ("connections", "kept", 1),
        )
        for size in (9, 90)
    }
    page = made(tmp_path, None, **{"P5-curves": reports})
    assert "A broadcast with a filter: connections that match, of 9,000" in page
    assert "| 90 | 91 | 91 | 18.0 | 27.0 | 90.0 | 0.50, 0.50,  |" in page
    assert "of which 90 match" not in page
    plot = ElementTree.parse(tmp_path / "plots" / "filter-matching.svg")
    assert len(plot.findall(".//{http://www.w3.org/2000/svg}circle")) == 6


def test_a_curve_becomes_a_table_and_a_plot(tmp_path: Path) -> None:
    points = {f"payload: {size}": fanout(1e6, ns=size) for size in (32, 1024, 65_536)}
    page = made(tmp_path, P11=points)
    assert "(plots/payload.svg)" in page
    assert "| 65,536 | 4,000 | 1,000,000 | 1,000,000 | 65,536 | 1,000 | 2.00 |" in page
    plot = ElementTree.parse(tmp_path / "plots" / "payload.svg")
    circles = plot.findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 6
    assert all(
        0 < float(circle.attrib["cx"]) < 640 and 0 < float(circle.attrib["cy"]) < 360 for circle in circles
    )


def test_no_label_of_a_plot_is_cut_off_at_its_edge(tmp_path: Path) -> None:
    made(tmp_path, P11={f"payload: {size}": fanout(1e6) for size in (1, 65_536)})
    plot = ElementTree.parse(tmp_path / "plots" / "payload.svg")
    texts = plot.findall(".//{http://www.w3.org/2000/svg}text[@text-anchor='middle'][@x]")
    labels = {each.text: float(each.attrib["x"]) for each in texts}
    # A digit of this size is about 7 wide.
    assert labels["100,000"] + len("100,000") * 7 / 2 <= 640
    assert labels["1,000"] == pytest.approx(80 + 540 * 3 / 5)


def test_curves_that_are_not_whole_are_not_measured(tmp_path: Path) -> None:
    def row(points: dict[str, Any]) -> str:
        [found] = re.findall(r"^\| P11 \|.*$", made(tmp_path, P11=points), re.MULTILINE)
        return str(found)

    whole = {label: fanout(1e6, ns=100) for label in CURVE_LABELS}
    assert row(whole).endswith("| yes |")
    for label in CURVE_LABELS:
        assert "not measured" in row({name: report for name, report in whole.items() if name != label})


@pytest.mark.parametrize(
    ("costs", "told", "met"),
    [
        ({32: 100, 128: 101, 1024: 250, 8192: 100, 65_536: 90}, "payload 2.50 (32 to 1,024); ", "no"),
        ({32: 100, 128: 50, 1024: 50, 8192: 80, 65_536: 90}, "payload 1.80 (1,024 to 65,536); ", "no"),
        ({32: 100, 128: 90, 1024: 80, 8192: 70, 65_536: 60}, "payload 0.90 (32 to 128); ", "yes"),
    ],
    ids=["in the middle", "after a fall", "none"],
)
def test_a_curve_is_judged_by_its_largest_growth_between_any_two_sizes(
    tmp_path: Path, costs: dict[int, float], told: str, met: str
) -> None:
    """The limit's costs are the same at each size."""
    points = {label: fanout(1e6, ns=100) for label in CURVE_LABELS}
    # The largest first: the order of the answers does not matter.
    points |= {f"payload: {size}": fanout(1e6, ns=costs[size]) for size in reversed(costs)}
    [row] = re.findall(r"^\| P11 \|.*$", made(tmp_path, P11=points), re.MULTILINE)
    assert told in row
    assert row.endswith(f"| {met} |")


def test_the_growth_of_a_cost_is_held_against_the_limits_between_the_same_sizes(tmp_path: Path) -> None:
    points = {label: fanout(1e6, ns=100) for label in CURVE_LABELS}
    points["actors: 100"]["compared"] |= {"server_ns_per_delivery": 400.0, "limit_ns_per_delivery": 2000.0}
    [row] = re.findall(r"^\| P11 \|.*$", made(tmp_path, P11=points), re.MULTILINE)
    assert re.search(r"actors 2\.00 \((1|10) to 100\)", row)


def clean(**faults: int | None) -> dict[str, Any]:
    """Return a report of two variants with two runs each, and with these faults in the last run."""
    figures = {"gaps": 0, "duplicates": 0, "disorder": 0}
    runs = {"ringcast": [figures, figures], "limit": [figures, {**figures, **faults}]}
    return {**fanout(1e6), "runs": runs}


def test_faults_are_added_up_over_all_runs_that_count_them(tmp_path: Path) -> None:
    bursts = beside("bursts", "deliveries_per_s", 3e6, socketify=1e6)
    page = made(tmp_path, [{**bursts, "runs": clean()["runs"]}], P1={"flood": clean()}, P3={"one": clean()})
    assert (
        "There is no gap, no duplicate and no event out of order in any of the 12 runs that count them.\n\n"
    ) in page
    assert "BEWARE" not in page


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"gaps": 7}, "P1 has 7 gaps"),
        ({"duplicates": 1, "disorder": 2}, "P1 has 1 duplicates; P1 has 2 events out of order"),
    ],
)
def test_a_fault_in_a_run_is_told_loudly(tmp_path: Path, faults: dict[str, int], said: str) -> None:
    page = made(tmp_path, P1={"flood": clean(**faults)})
    assert f"**BEWARE, THESE FIGURES DO NOT COUNT: {said}.**" in page
    assert "There is no gap" not in page


def test_a_fault_that_a_report_alone_has_is_told_as_well(tmp_path: Path) -> None:
    assert "P1 has 7 gaps.**" in made(tmp_path, P1={"flood": {**clean(), "gaps": 7}})


def test_questions_whose_runs_do_not_count_faults_are_named(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "P4.json").write_text(json.dumps({"benchmarks": []}))
    page = made(
        tmp_path, P1={"flood": clean()}, P10={"latency": clean(gaps=None)}, P12={"connect": fanout(1e6)}
    )
    assert "in any of the 7 runs that count them.\nNot all runs count them in P4, P10, P12.\n" in page
