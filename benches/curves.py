"""Plots of cost against size, as SVG written by hand: both axes logarithmic, a line for each side.

What is plotted is `report.py`'s business.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

__all__ = ["Plot", "drawn"]

_WIDTH: Final = 640
_HEIGHT: Final = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 20, 40, 50
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
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12" role="img"><title>{escape(plot.title)}</title>',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">{escape(plot.title)}</text>',
        *_grid(across, up),
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 12}" text-anchor="middle">'
        f"{escape(plot.across)}</text>",
        f'<text transform="translate(16 {(_TOP + _HEIGHT - _BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(plot.up)}</text>",
        *_lines(plot, across, up),
        "</svg>\n",
    ]
    return "\n".join(parts)


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
    stroke = 'stroke="#ddd"'
    for value in across.decades:
        x = across.at(value)
        yield f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{_HEIGHT - _BOTTOM}" {stroke}/>'
        yield f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{value:,g}</text>'
    for value in up.decades:
        y = up.at(value)
        yield f'<line x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}" {stroke}/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{value:,g}</text>'


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
