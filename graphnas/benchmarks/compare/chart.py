"""The chart of a comparison: mean regret against time on logarithmic axes, as SVG that needs nothing to be shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from graphnas.benchmarks.compare.contest import Comparison
from graphnas.benchmarks.compare.summary import Curve, curves

_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 50, 60
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#f0e442")
"""Told apart by colour-blind readers as well (Okabe and Ito 2008)."""

_STYLE = (
    "text{font:12px sans-serif;fill:#333}.title{font-size:15px}.grid{stroke:#ddd}.axis{stroke:#333;fill:none}"
    ".mean{fill:none;stroke-width:2}.band{stroke:none;opacity:.2}"
)
_LEAST_REGRET = 1e-3


def draw(comparison: Comparison) -> str:
    """Return the chart as SVG: a line for the mean of each strategy, and a band of two standard errors around it.

    The same comparison gives the same text.
    """
    lines = [curve for curve in curves(comparison) if curve.mean]
    across = _Axis.over([at for curve in lines for at in curve.at], _LEFT, _WIDTH - _RIGHT)
    up = _Axis.over([max(value, _LEAST_REGRET) for curve in lines for value in curve.mean], _HEIGHT - _BOTTOM, _TOP)
    what = "simulated seconds" if comparison.budget_s is not None else "trials"
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        _text(_LEFT, 24, comparison.task, kind="title"),
        *_grid(across, up),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 16, what, anchor="middle"),
        f'<g transform="translate(18 {(_TOP + _HEIGHT - _BOTTOM) / 2:.1f}) rotate(-90)">'
        + _text(0, 0, "mean regret, percentage points", anchor="middle")
        + "</g>",
    ]
    for place, curve in enumerate(lines):
        parts.extend(_drawn(curve, _COLOURS[place % len(_COLOURS)], across, up))
        parts.extend(_legend(curve.strategy, _COLOURS[place % len(_COLOURS)], place))
    return "\n".join([*parts, "</svg>", ""])


@dataclass(frozen=True)
class _Axis:
    """A logarithmic axis from `least` to `greatest`, drawn from `start` to `end`."""

    least: float
    greatest: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> _Axis:
        least, greatest = min(values, default=1.0), max(values, default=10.0)
        return cls(least, max(greatest, least * 1.01), start, end)

    def at(self, value: float) -> float:
        share = math.log(max(value, self.least) / self.least) / math.log(self.greatest / self.least)
        return self.start + min(share, 1.0) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round numbers within the axis: 1, 2 and 5 times powers of ten."""
        low, high = math.floor(math.log10(self.least)), math.ceil(math.log10(self.greatest))
        every = [digit * 10.0**power for power in range(low, high + 1) for digit in (1, 2, 5)]
        return [tick for tick in every if self.least <= tick <= self.greatest]


def _grid(across: _Axis, up: _Axis) -> list[str]:
    parts = []
    for tick in across.ticks():
        x = across.at(tick)
        parts.append(f'<path class="grid" d="M{x:.1f} {up.start}V{up.end}"/>')
        parts.append(_text(x, up.start + 18, f"{tick:,g}", anchor="middle"))
    for tick in up.ticks():
        y = up.at(tick)
        parts.append(f'<path class="grid" d="M{across.start} {y:.1f}H{across.end}"/>')
        parts.append(_text(across.start - 8, y + 4, f"{tick:g}", anchor="end"))
    parts.append(f'<path class="axis" d="M{across.start} {up.end}V{up.start}H{across.end}"/>')
    return parts


def _drawn(curve: Curve, colour: str, across: _Axis, up: _Axis) -> list[str]:
    def points(values: Sequence[float]) -> list[str]:
        return [f"{across.at(x):.1f} {up.at(y):.1f}" for x, y in zip(curve.at, values, strict=True)]

    above = points([mean + 2 * error for mean, error in zip(curve.mean, curve.error, strict=True)])
    below = points([mean - 2 * error for mean, error in zip(curve.mean, curve.error, strict=True)])
    band = "L".join([*above, *reversed(below)])
    return [
        f'<path class="band" fill="{colour}" d="M{band}Z"/>',
        f'<path class="mean" stroke="{colour}" d="M{"L".join(points(curve.mean))}"/>',
    ]


def _legend(name: str, colour: str, place: int) -> list[str]:
    y = _TOP + 14 + 18 * place
    x = _WIDTH - _RIGHT - 8
    return [
        f'<path class="mean" stroke="{colour}" d="M{x - 24} {y - 4}H{x}"/>',
        _text(x - 30, y, name, anchor="end"),
    ]


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "label") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
