"""One line of the table: what was measured, what it is held against in the same run, and the ratio."""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """One line of the table, as text."""

    what: str
    measured: str
    peer: str
    ratio: str


def against(what: str, ours_s: float, peer_s: float, name: str) -> Line:
    """Return the line of a time and of the time of a peer."""
    return Line(what, f"{1e3 * ours_s:.2f} ms", f"{1e3 * peer_s:.2f} ms {name}", f"{ours_s / peer_s:.2f}")


def within(what: str, ours: float, bound: float, unit: str) -> Line:
    """Return the line of something that has a bound."""
    return Line(what, f"{ours:.2f} {unit}", f"{bound:g} {unit}, the bound", f"{ours / bound:.2f}")


def at_least(what: str, ours: float, bound: float, unit: str) -> Line:
    """Return the line of a rate that is to reach a bound."""
    return Line(what, f"{ours:,.0f} {unit}", f"{bound:,.0f} {unit}, to be reached", f"{ours / bound:.2f}")
