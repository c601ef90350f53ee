"""`docs/events.md`: its snippets run, its tables are what the code does, its errors are those it shows."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pydantic
import pytest
from typing_extensions import TypedDict

import programs
from ringcast import errors
from ringcast.errors import InvalidEvent, RingcastError
from ringcast.schema.declared import EventSpec, Parameter
from ringcast.schema.definition import define
from ringcast.wire.naming import RESERVED_EVENTS

PAGE = (programs.PROJECT / "docs" / "events.md").read_text()


def run(program: str, names: dict[str, Any]) -> None:
    """Run it as if it were a file of its own."""
    exec(compile(program, "events.md", "exec", dont_inherit=True), names)


def run_snippets() -> dict[str, Any]:
    """Run all of them in their order, as one program."""
    # Under the name of a module, as dataclasses look up their annotations.
    names: dict[str, Any] = {"__name__": __name__}
    for snippet in re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        run(snippet, names)
    return names


def rows(*columns: str) -> list[list[str]]:
    """Return the cells of the table with these columns."""
    [_, rest] = PAGE.split("| " + " | ".join(columns) + " |\n")
    lines = rest.split("\n\n", 1)[0].splitlines()[1:]
    found = [
        [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines
    ]
    assert found and all(len(row) == len(columns) for row in found)
    return found


class Role(Enum):
    ADMIN = "admin"


class Note(TypedDict):
    text: str


class Profile(pydantic.BaseModel):
    name: str


NAMES = run_snippets()
# What the cells of the tables use besides.
NAMES |= {
    "Role": Role,
    "Note": Note,
    "Profile": Profile,
    "Decimal": Decimal,
    "date": date,
    "Sequence": Sequence,
    "deque": deque,
    "Literal": Literal,
}


def evaluated(cell: str) -> Any:
    return eval(cell.strip("`"), NAMES)


@pytest.mark.parametrize(("declared", "given", "fits"), rows("declared", "given", "fits"))
def test_what_fits(declared: str, given: str, fits: str) -> None:
    spec = EventSpec("Room", "said", (Parameter("data", evaluated(declared)),))
    value = evaluated(given)
    if fits.partition(":")[0] == "yes":
        spec.check((value,))
    else:
        assert fits.partition(":")[0] == "no"
        with pytest.raises(InvalidEvent):
            spec.check((value,))


def test_each_form_declares_what_the_table_says() -> None:
    forms = [cell.strip("`") for cell, _ in rows("in the class", "declares")]
    counts = []
    for form in forms:
        names: dict[str, Any] = {"__name__": __name__, "Type": int, "Actor": NAMES["Actor"]}
        run(f"class Room(Actor):\n    class Events:\n        {form}\n", names)
        events = define(names["Room"]).events
        assert events is not None
        counts.append([len(spec.parameters) for spec in events.values()])
    assert counts == [[1], [0], [2]]


def test_subclasses_have_the_events_that_the_page_says() -> None:
    [listed] = re.findall(r"^`LoudRoom` has (.*)\.$", PAGE, re.MULTILINE)
    assert list(define(NAMES["LoudRoom"]).events or ()) == re.findall(r"`(\w+)`", listed)


def test_reserved_names_are_those_of_the_code() -> None:
    [listed] = re.findall(r"the life of a connection\n\((.*?)\)", PAGE)
    assert set(re.findall(r"`(\w+)`", listed)) == RESERVED_EVENTS


def test_the_errors_and_their_codes_are_those_of_the_code() -> None:
    for _, cls, code, _ in rows("what is wrong", "error", "code", "where"):
        assert getattr(errors, cls.strip("`")).code == code.strip("`")


def checks_of(actor: str) -> Any:
    return define(NAMES[actor]).event_checks(True)


MISTAKES: list[Callable[[], object]] = [
    lambda: checks_of("NewsRoom")["newArticle"]((NAMES["Article"]("1", "text", "gold"),)),
    lambda: checks_of("Map")["moved"](("ann", 1.5)),
    lambda: checks_of("NewsRoom")["newArtcle"],
]


def test_the_texts_are_those_that_the_page_shows() -> None:
    [shown] = re.findall(r"^```text\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    told = []
    for mistake in MISTAKES:
        with pytest.raises(RingcastError) as caught:
            mistake()
        told.append(caught.value.message)
    assert told == shown.splitlines()


def test_the_switch_is_the_one_of_the_page() -> None:
    config = NAMES["registry"].config
    assert not config.validate_events
    assert not define(NAMES["Ticker"]).validate_events
    assert define(NAMES["Ticker"]).event_checks(True) == {"price": None}
