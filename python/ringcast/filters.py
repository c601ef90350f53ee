"""Filters over the fields of connection state: how they are written, explained and compiled. Pure.

Which fields of an actor's connections can be filtered is the work of `schema/filterable.py`, and what the
core knows of a connection that of `schema/attributes.py`. It is the core that evaluates filters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from difflib import get_close_matches
from typing import Any, Final

from .errors import InvalidFilter
from .schema.attributes import LEFT_OUT, MAX_FIELD_CHARS, array, narrow, pack, plain

__all__ = ["Attribute", "Comparison", "Filter", "attribute", "where"]

MAX_DEPTH: Final = 32
"""How deep a filter may be nested. A comparison by itself is one deep."""
MAX_NODES: Final = 1024
"""How many comparisons, and what combines them, a filter may have."""
MAX_BYTES: Final = 64 * 1024
"""How long the compiled form may be."""

_DECIMAL_BITS: Final = 256
"""Longer ints are shown in base 16, which Python reads and writes however long they are."""
_SHOWN_CHARS: Final = 80
_BRACKETS: Final = (
    "compare fields, and put brackets around each comparison, as in (attribute('level') >= 3) & …"
)


def where(*filters: Filter, **comparisons: Any) -> Filter:
    """Return the filter that matches where all of these do; without any, it matches every connection.

    A keyword is the name of a field, with an operator behind two underscores unless the field shall be equal:
    ``where(role="admin", level__ge=3, team__in=("a", "b"), tags__has="vip")``. The operators are eq, ne, lt,
    le, gt, ge, in, not_in, has (a set has the str), prefix (a str begins with it), is and is_not (for None).
    `filters` are further ones, and expressions of `attribute`. Raises `InvalidFilter`.
    """
    parts = [_required(part) for part in filters]
    for name, value in comparisons.items():
        field, _, operator = name.rpartition("__")
        if not field:
            # There are none, or the name begins with them.
            field, operator = name, "eq"
        compare = _OPERATORS.get(operator)
        if compare is None:
            raise _unknown_operator(name, operator)
        parts.append(compare(Attribute(field), value))
    return _combined("and", parts)


def attribute(name: str) -> Attribute:
    """Name a field of connection state to compare it: ``attribute("level") >= 3``. Raises `InvalidFilter`."""
    return Attribute(name)


class Attribute:
    """A field of connection state in an expression: compared with a value, it gives a `Filter`."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not 0 < len(name) <= MAX_FIELD_CHARS:
            raise InvalidFilter(
                f"the name of a field is a str of 1 to {MAX_FIELD_CHARS} characters, not {_shown(name)}"
            )
        self._name = str.__str__(name)

    def __eq__(self, value: object) -> Filter:  # type: ignore[override]  # an expression, not an answer
        return self._compared("eq", value)

    def __ne__(self, value: object) -> Filter:  # type: ignore[override]
        return ~self._compared("eq", value)

    def __lt__(self, value: object) -> Filter:
        return self._compared("lt", value)

    def __le__(self, value: object) -> Filter:
        return self._compared("le", value)

    def __gt__(self, value: object) -> Filter:
        return self._compared("gt", value)

    def __ge__(self, value: object) -> Filter:
        return self._compared("ge", value)

    # What compares to a filter is no key of a dict.
    __hash__ = None  # type: ignore[assignment]

    def in_(self, values: Iterable[object]) -> Filter:
        """Match where the field equals one of `values`."""
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            raise InvalidFilter(
                f"{self!r} is compared with a list, tuple or set of values, not {_shown(values)}"
            )
        found: dict[bytes, Any] = {}
        for value in map(self._value, values):
            found.setdefault(pack(_canonical(value)), value)
        if isinstance(values, Set):
            # A set has no order: equal ones shall look the same.
            found = dict(sorted(found.items()))
        return Comparison(self._name, "in", tuple(found.values()))

    def not_in(self, values: Iterable[object]) -> Filter:
        """Match where the field equals none of `values`."""
        return ~self.in_(values)

    def has(self, text: str) -> Filter:
        """Match where the field is a set that contains `text`."""
        return self._compared_with_text("has", text)

    def startswith(self, text: str) -> Filter:
        """Match where the field is a str that begins with `text`."""
        return self._compared_with_text("prefix", text)

    def is_(self, value: None) -> Filter:
        """Match where the field is None, or missing."""
        if value is not None:
            raise InvalidFilter(f"{self!r}.is_() takes None; compare with == {_shown(value)}")
        return self._compared("eq", None)

    def is_not(self, value: None) -> Filter:
        """Match where the field is there and is not None."""
        return ~self.is_(value)

    def __bool__(self) -> bool:
        raise InvalidFilter(f"{self!r} is neither true nor false here: compare it, as in {self!r} == True")

    def __contains__(self, value: object) -> bool:
        raise InvalidFilter(f"`in` cannot be part of a filter: write {self!r}.has({_shown(value)})")

    def _unbracketed(self, _other: object) -> Filter:
        raise InvalidFilter(f"{self!r} is no filter by itself: {_BRACKETS}")

    # What Python makes of `attribute("a") == 1 & attribute("b") == 2`.
    __and__ = __rand__ = __or__ = __ror__ = _unbracketed

    def __repr__(self) -> str:
        return f"attribute({self._name!r})"

    def _compared(self, operator: str, value: object) -> Filter:
        value = self._value(value)
        if value is None and operator != "eq":
            raise InvalidFilter(f"{self!r}: nothing is ordered with None")
        return Comparison(self._name, operator, value)

    def _compared_with_text(self, operator: str, text: object) -> Filter:
        text = self._value(text)
        if not isinstance(text, str):
            raise InvalidFilter(f"{self!r}: {operator} takes a str, not {_shown(text)}")
        return Comparison(self._name, operator, text)

    def _value(self, value: object) -> Any:
        known = plain(value)
        if known is not LEFT_OUT and not isinstance(known, list):
            return known
        hint = ""
        if isinstance(value, Set | list | tuple):
            hint = "; write .has() for a str in a set, .in_() for one of several values"
        raise InvalidFilter(
            f"{self!r} is compared with None, a bool, int, float, str or enum member, "
            f"not with {_shown(value)}{hint}"
        )


class Filter:
    """Matches some connections of an actor, by their state. Immutable, hashable; combine with ``& | ~``.

    Two are equal if their compiled forms are: the order in which they were combined makes no difference.
    `repr` gives an expression, and that the filter again.
    """

    __slots__ = ("_compiled", "_depth", "_nodes")

    def __init__(self, depth: int, nodes: int) -> None:
        if depth > MAX_DEPTH:
            raise InvalidFilter(f"a filter is nested at most {MAX_DEPTH} deep")
        if nodes > MAX_NODES:
            raise InvalidFilter(f"a filter has at most {MAX_NODES} comparisons, `&`, `|` and `~`; use .in_()")
        self._depth = depth
        self._nodes = nodes
        self._compiled: bytes | None = None

    @property
    def compiled(self) -> bytes:
        """The form that the core reads, made once. Raises `InvalidFilter` if it is too long."""
        if self._compiled is None:
            compiled = self._compile()
            if len(compiled) > MAX_BYTES:
                raise InvalidFilter(f"a filter has at most {MAX_BYTES} bytes, this one {len(compiled)}")
            self._compiled = compiled
        return self._compiled

    def comparisons(self) -> Iterator[Comparison]:
        """Give the comparisons that it is made of."""
        raise NotImplementedError

    def __and__(self, other: Filter) -> Filter:
        return _combined("and", [self, _required(other)])

    def __or__(self, other: Filter) -> Filter:
        return _combined("or", [self, _required(other)])

    # Only for what is no filter: `attribute("a") == 1 & filter` begins with `1 & filter`.
    def __rand__(self, other: object) -> Filter:
        return _required(other)

    __ror__ = __rand__

    def __invert__(self) -> Filter:
        return Negation(self)

    def __eq__(self, other: object) -> bool:
        return self.compiled == other.compiled if isinstance(other, Filter) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.compiled)

    def __bool__(self) -> bool:
        raise InvalidFilter(
            "a filter is neither true nor false here: combine filters with &, | and ~ "
            "instead of and, or and not, and write 1 < x < 5 as (x > 1) & (x < 5)"
        )

    @property
    def _needs_brackets(self) -> bool:
        """Whether its `repr` is put in brackets to be combined."""
        return False

    def _compile(self) -> bytes:
        raise NotImplementedError

    def _negated(self) -> str:
        return f"~({self!r})" if self._needs_brackets else f"~{self!r}"


class Comparison(Filter):
    """One field compared with one value, or with several."""

    __slots__ = ("_field", "_operator", "_value")

    def __init__(self, field: str, operator: str, value: Any) -> None:
        super().__init__(1, 1)
        self._field = field
        self._operator = operator
        self._value = value

    @property
    def field(self) -> str:
        """The name of the field."""
        return self._field

    @property
    def operator(self) -> str:
        """As in the compiled form: eq, lt, le, gt, ge, in, has or prefix."""
        return self._operator

    @property
    def value(self) -> Any:
        """None, a bool, int, float or str; for `in` a tuple of them."""
        return self._value

    def comparisons(self) -> Iterator[Comparison]:
        yield self

    def alternatives(self) -> Iterator[Comparison]:
        """Give the comparisons with a single value that it stands for."""
        if self._operator != "in":
            yield self
            return
        for value in self._value:
            yield Comparison(self._field, "eq", value)

    def _compile(self) -> bytes:
        if self._operator != "in":
            return pack((self._operator, self._field, _canonical(self._value)))
        if len(self._value) == 1:
            return pack(("eq", self._field, _canonical(self._value[0])))
        return pack(("in", self._field, sorted(map(_canonical, self._value), key=pack)))

    @property
    def _needs_brackets(self) -> bool:
        return self._operator in _SIGNS and self._value is not None

    def __repr__(self) -> str:
        return self._shown("==", "is_", "in_")

    def _negated(self) -> str:
        if self._operator in ("eq", "in"):
            return self._shown("!=", "is_not", "not_in")
        return super()._negated()

    def _shown(self, equal: str, is_none: str, one_of: str) -> str:
        subject = repr(Attribute(self._field))
        match self._operator:
            case "eq" if self._value is None:
                return f"{subject}.{is_none}(None)"
            case "eq":
                return f"{subject} {equal} {_literal(self._value)}"
            case "in":
                values = ", ".join(map(_literal, self._value)) + ("," if len(self._value) == 1 else "")
                return f"{subject}.{one_of}(({values}))"
            case "has":
                return f"{subject}.has({self._value!r})"
            case "prefix":
                return f"{subject}.startswith({self._value!r})"
        return f"{subject} {_SIGNS[self._operator]} {_literal(self._value)}"


class Negation(Filter):
    """What another filter does not match."""

    __slots__ = ("_part",)

    def __init__(self, part: Filter) -> None:
        super().__init__(part._depth + 1, part._nodes + 1)
        self._part = part

    def comparisons(self) -> Iterator[Comparison]:
        return self._part.comparisons()

    def __invert__(self) -> Filter:
        return self._part

    def _compile(self) -> bytes:
        return array([pack("not"), self._part.compiled])

    @property
    def _needs_brackets(self) -> bool:
        # Only x != 3: all others begin with ~ or end with a call.
        part = self._part
        return isinstance(part, Comparison) and part.operator == "eq" and part.value is not None

    def __repr__(self) -> str:
        return self._part._negated()


class Junction(Filter):
    """Filters combined by `and` or `or`: none of a kind within the same kind, none twice."""

    __slots__ = ("_operator", "_parts")

    def __init__(self, operator: str, parts: tuple[Filter, ...]) -> None:
        super().__init__(
            1 + max((part._depth for part in parts), default=0), 1 + sum(part._nodes for part in parts)
        )
        self._operator = operator
        self._parts = parts

    def comparisons(self) -> Iterator[Comparison]:
        for part in self._parts:
            yield from part.comparisons()

    def _compile(self) -> bytes:
        return array([pack(self._operator), array(sorted(part.compiled for part in self._parts))])

    @property
    def _needs_brackets(self) -> bool:
        return bool(self._parts)

    def __repr__(self) -> str:
        if not self._parts:
            return "where()"
        sign = " & " if self._operator == "and" else " | "
        return sign.join(f"({part!r})" if part._needs_brackets else repr(part) for part in self._parts)


def _combined(operator: str, filters: Iterable[Filter]) -> Filter:
    parts: list[Filter] = []
    for each in filters:
        parts += each._parts if isinstance(each, Junction) and each._operator == operator else (each,)
    distinct = tuple(dict.fromkeys(parts))
    return distinct[0] if len(distinct) == 1 else Junction(operator, distinct)


def _required(value: object) -> Filter:
    if not isinstance(value, Filter):
        raise InvalidFilter(f"{_shown(value)} is no filter: {_BRACKETS}")
    return value


def _canonical(value: Any) -> Any:
    """Return what is packed for this and all equal values: of numbers an int of 64 bits, or else a float."""
    if not isinstance(value, int | float):
        return value
    if isinstance(value, float) and not value.is_integer():
        # There is more than one NaN.
        return math.nan if math.isnan(value) else value
    if -(2**63) <= value < 2**64:
        return int(value)
    try:
        return float(value) if float(value) == value else narrow(value)
    except OverflowError:
        return narrow(value)


def _literal(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, int) and value.bit_length() > _DECIMAL_BITS:
        return hex(value)
    return repr(value)


def _shown(value: object) -> str:
    """Return a value for people, and not all of a long one."""
    text = _literal(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _unknown_operator(name: str, operator: str) -> InvalidFilter:
    known = sorted(_OPERATORS)
    meant = [_ELSEWHERE[operator]] if operator in _ELSEWHERE else get_close_matches(operator, known, n=1)
    hint = f" (did you mean {meant[0]!r}?)" if meant else ""
    return InvalidFilter(
        f"where({name}=…): there is no operator {operator!r}{hint}; there are {', '.join(known)}. "
        f"A field of this name is attribute({name!r})"
    )


_SIGNS: Final = {"eq": "==", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}

_OPERATORS: Final[Mapping[str, Callable[[Attribute, Any], Filter]]] = {
    "eq": Attribute.__eq__,
    "ne": Attribute.__ne__,
    "lt": Attribute.__lt__,
    "le": Attribute.__le__,
    "gt": Attribute.__gt__,
    "ge": Attribute.__ge__,
    "in": Attribute.in_,
    "not_in": Attribute.not_in,
    "has": Attribute.has,
    "prefix": Attribute.startswith,
    "is": Attribute.is_,
    "is_not": Attribute.is_not,
}
"""What a keyword of `where` may end with, behind two underscores."""

_ELSEWHERE: Final = {
    "gte": "ge",
    "lte": "le",
    "exact": "eq",
    "isnull": "is",
    "startswith": "prefix",
    "contains": "has",
}
"""How other libraries call them."""
