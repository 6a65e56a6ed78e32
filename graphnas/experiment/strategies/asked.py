"""What was asked for already, and what was not yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphnas.experiment.strategies.base import decisions_key
from graphnas.experiment.strategies.lattice import Lattice
from graphnas.mutators.decision_space import DecisionSpace


class Asked:
    """The points of a space that were asked for, so that none is twice.

    Args:
        space: Where the points come from.
        seed: The order in which `any_left` finds what is left depends on it, if every combination is a point.
    """

    def __init__(self, space: DecisionSpace, seed: int) -> None:
        self._size = space.size
        self._seen: set[str] = set()
        # What was passed once is never left, so over a whole run each point is looked at once.
        self._points: Iterator[dict[str, Any]] = iter(())
        if self._size is not None:
            self._points = iter(Lattice(space, seed)) if space.is_product else space.grid()

    @property
    def is_all(self) -> bool:
        """Whether every point was asked for, as far as their number is known."""
        return self._size is not None and len(self._seen) >= self._size

    def __contains__(self, decisions: object) -> bool:
        return isinstance(decisions, Mapping) and decisions_key(decisions) in self._seen

    def add(self, decisions: Mapping[str, Any]) -> None:
        """Take note that a point was asked for."""
        self._seen.add(decisions_key(decisions))

    def remove(self, decisions: Mapping[str, Any]) -> None:
        """Take note that a point is to count as not asked for."""
        self._seen.discard(decisions_key(decisions))

    def any_left(self) -> dict[str, Any] | None:
        """Return a point that was not asked for; None if there is none, or nobody knows how many points there are."""
        return next((point for point in self._points if point not in self), None)
