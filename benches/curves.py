"""Plots as SVG written by hand, with logarithmic axes: cost against size, and how far each target is met.

What is plotted is `report.py`'s business.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

__all__ = ["Plot", "drawn", "drawn_rows"]

_WIDTH: Final = 640
_HEIGHT: Final = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 20, 40, 50
_ROW_HEIGHT: Final = 20
_ROW_LEFT: Final = 220
_CHARACTER: Final = 7.5
"""The width of a digit is less than this."""
_COLOURS: Final = ("#1b6ca8", "#c0562b", "#3d8b40", "#7a4fa3")


@dataclass(frozen=True, slots=True)
class Plot:
    """What a plot shows. All values are above 0."""

    title: str
    across: str
    up: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    """By name: the points, from left to right."""


def drawn(plot: Plot) -> str:
    """Return the plot as an SVG document."""
    points = [point for line in plot.lines.values() for point in line]
    across = _Axis([x for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    up = _Axis([y for _, y in points], _HEIGHT - _BOTTOM, _TOP)
    parts = [
        *_head(plot.title, _HEIGHT),
        *_grid(across, up),
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 12}" text-anchor="middle">'
        f"{escape(plot.across)}</text>",
        f'<text transform="translate(16 {(_TOP + _HEIGHT - _BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(plot.up)}</text>",
        *_lines(plot, across, up),
        "</svg>\n",
    ]
    return "\n".join(parts)


def drawn_rows(title: str, values: Mapping[str, float]) -> str:
    """Return a plot with a row for each value. All are above 0; those above 1 are right of a line."""
    height = _TOP + _ROW_HEIGHT * len(values) + _BOTTOM
    across = _Axis([1.0, *values.values()], _ROW_LEFT, _WIDTH - _RIGHT)
    one, foot = across.at(1), height - _BOTTOM
    parts = [*_head(title, height), *_ticks(across, foot)]
    for number, (name, value) in enumerate(values.items()):
        x, y = across.at(value), _TOP + _ROW_HEIGHT * number + _ROW_HEIGHT // 2
        colour = _COLOURS[0] if value >= 1 else _COLOURS[1]
        parts += [
            f'<text x="{_ROW_LEFT - 8}" y="{y + 4}" text-anchor="end">{escape(name)}</text>',
            f'<line x1="{one}" y1="{y}" x2="{x}" y2="{y}" stroke="{colour}" stroke-width="2"/>',
            f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"><title>{value:.2f}</title></circle>',
        ]
    parts += [f'<line x1="{one}" y1="{_TOP}" x2="{one}" y2="{foot}" stroke="#333"/>', "</svg>\n"]
    return "\n".join(parts)


def _head(title: str, height: int) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12" role="img"><title>{escape(title)}</title>',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">{escape(title)}</text>',
    ]


class _Axis:
    """From the logarithm of a value to a place."""

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)
        self._begin, self._end = begin, end

    def at(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(self._begin + share * (self._end - self._begin), 1)

    @property
    def decades(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def _grid(across: _Axis, up: _Axis) -> Iterator[str]:
    yield from _ticks(across, _HEIGHT - _BOTTOM)
    for value in up.decades:
        y = up.at(value)
        yield f'<line x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}" stroke="#ddd"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{value:,g}</text>'


def _ticks(across: _Axis, foot: int) -> Iterator[str]:
    for value in across.decades:
        x = across.at(value)
        yield f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{foot}" stroke="#ddd"/>'
        label = f"{value:,g}"
        # In the middle below its line, but within the picture.
        half = len(label) * _CHARACTER / 2
        middle = min(max(x, half), _WIDTH - half)
        yield f'<text x="{middle:g}" y="{foot + 18}" text-anchor="middle">{label}</text>'


def _lines(plot: Plot, across: _Axis, up: _Axis) -> Iterator[str]:
    for number, (name, points) in enumerate(plot.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [(across.at(x), up.at(y)) for x, y in points]
        path = " ".join(f"{x},{y}" for x, y in places)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places)
        yield (
            f'<text x="{_WIDTH - _RIGHT - 8}" y="{_TOP + 16 + 16 * number}" text-anchor="end" '
            f'fill="{colour}">{escape(name)}</text>'
        )
