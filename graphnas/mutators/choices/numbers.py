"""Candidates that are numbers in a range: `ValueChoice(int_range(16, 64, 16), label="width")`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphnas.mutators.domain import Domain
from graphnas.mutators.numeric import IntRange, LogUniform, Uniform


@dataclass(frozen=True)
class Numbers:
    """A range of numbers without a label; a choice makes a domain of it."""

    kind: Callable[..., Domain]
    bounds: tuple[Any, ...]

    def domain(self, label: str) -> Domain:
        """Return the domain of that label.

        Raises:
            DecisionError: The bounds are not valid.
        """
        return self.kind(label, *self.bounds)


def int_range(low: int, high: int, step: int = 1) -> Numbers:
    """Return whole numbers from `low` to `high`, both included, as candidates of a choice."""
    return Numbers(IntRange, (low, high, step))


def uniform(low: float, high: float) -> Numbers:
    """Return any number from `low` to `high` as candidates of a choice."""
    return Numbers(Uniform, (low, high))


def loguniform(low: float, high: float) -> Numbers:
    """Return any number from `low` to `high`, on a logarithmic scale, as candidates of a choice."""
    return Numbers(LogUniform, (low, high))
