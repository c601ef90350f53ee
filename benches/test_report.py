"""The page is made of the answers: what was not measured is told to be so, and the rest stays as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from made_pages import OLD, PAGE, beside, fanout, made, of_commits, part, report
from report import PAGES, SECTIONS, main
from targets import CURVE_LABELS


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


@pytest.mark.parametrize(("few", "met"), [(4.1, "yes"), (3.9, "no")])
def test_calls_meet_their_target_with_few_and_with_many_on_their_way(
    tmp_path: Path, few: float, met: str
) -> None:
    figures = {"actions_per_s": 1000, "p50_us": 1.0, "p99_us": 1.0, "server_us_per_action": 1.0}
    report = {
        **fanout(1e6),
        "median": {f"ringcast, {count} at a time": figures for count in (32, 128)},
        "compared": {
            "rate_to_rivetkit": {"32": few, "128": 5.0},
            "rate_to_rivetkit_apart": {"32": 2.5, "128": 3.0},
        },
    }
    page = made(tmp_path, rivetkit={"calls": report}, P9={"actions": {**fanout(1e6), "compared": {}}})
    told = f"{few} times with 32 and 5.0 times with 128 on their way at a time"
    assert f"| {told}; with its client on a core of its own 2.5 and 3.0 | {met} |" in page
    assert "| 32 | ringcast | 1,000 |" in part("rivetkit", page)
    assert "P9 ringcast, 32" not in page  # how busy the load was: of `ringcast bench actions` alone


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
