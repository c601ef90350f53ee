"""`docs/operations.md` held against the code: its tables of settings, metrics and fields."""

from __future__ import annotations

from pathlib import Path

from ringcast.cli.settings import setting_table
from ringcast.operations.logs import FIELDS
from ringcast.operations.settings import SETTINGS
from ringcast.server.metrics import METRICS

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def part(begin: str) -> str:
    """Return what stands between a mark and the next end."""
    assert PAGE.count(begin) == 1, begin
    return PAGE.split(begin)[1].split("<!-- end -->")[0].strip()


def test_every_setting_is_listed_as_the_code_has_it() -> None:
    # When this fails: put what `ringcast settings --table` prints into the page.
    assert part("<!-- made by `ringcast settings --table`: begin -->") == setting_table()


def test_every_metric_is_listed_as_the_code_has_it() -> None:
    rows = ["| metric | kind | labels | says |", "| --- | --- | --- | --- |"]
    for name, described in METRICS.items():
        shown = f"{name}_total" if described.kind == "counter" else name
        labels = ", ".join(f"`{label}`" for label in described.labels)
        rows.append(f"| `{shown}` | {described.kind} | {labels} | {described.text} |")
    assert part("<!-- metrics: begin -->") == "\n".join(rows)


def test_every_field_of_the_log_is_listed() -> None:
    rows = ["| field | says |", "| --- | --- |"]
    rows += [f"| `{name}` | {text} |" for name, text in FIELDS.items()]
    assert part("<!-- fields: begin -->") == "\n".join(rows)


def test_settings_that_the_page_speaks_of_are_there() -> None:
    for name in (
        "drain_delay_s",
        "shutdown_timeout_s",
        "close_timeout_s",
        "metrics_port",
        "session_window_s",
    ):
        assert name in SETTINGS and f"`{name}`" in PAGE, name
