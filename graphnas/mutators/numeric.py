"""Domains of numbers: whole ones in steps, and any number between two bounds.

A continuous domain keeps 12 significant digits, of the greatest number it has or (on a logarithmic scale) of the value
itself. So a value has one spelling, whichever way it was computed, and comes back from its encoding as it was.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from graphnas.errors import DecisionError
from graphnas.mutators.domain import Decision, checked_numbers, checked_place, not_allowed

_DIGITS = 12
_STEPS = 10
"""A step of a continuous domain is this part of its range."""


@dataclass(frozen=True)
class IntRange:
    """A whole number from `low` to `high`, both included, in steps.

    >>> width = IntRange("width", 8, 32, 8)
    >>> list(width.grid(1)), width.neighbours(16), width.encode(16)
    ([8, 16, 24, 32], (8, 24), (0.3333333333333333,))
    """

    label: str
    low: int
    high: int
    step: int = 1

    def __post_init__(self) -> None:
        if not all(type(number) is int for number in (self.low, self.high, self.step)):
            raise DecisionError(
                f"decision {self.label!r}: low, high and step must be whole numbers, got {self.low!r}, {self.high!r}, "
                f"{self.step!r}; use uniform for others",
                label=self.label,
            )
        if self.step < 1 or self.low > self.high or (self.high - self.low) % self.step:
            reached = self.low + (self.high - self.low) // self.step * self.step if self.step > 0 else self.high
            hint = f", as in {reached}" if reached >= self.low and reached != self.high else ""
            raise DecisionError(
                f"decision {self.label!r}: high must be low plus a number of steps{hint}; got low {self.low}, "
                f"high {self.high}, step {self.step}",
                label=self.label,
            )

    @property
    def values(self) -> range:
        """All of them."""
        return range(self.low, self.high + 1, self.step)

    @property
    def size(self) -> int:
        return len(self.values)

    @property
    def default(self) -> int:
        return self.low

    def contains(self, value: Decision) -> bool:
        return type(value) is int and value in self.values

    def normalize(self, value: Decision) -> int:
        if type(value) is not int or value not in self.values:
            raise not_allowed(self, value)
        return value

    def sample(self, rng: random.Random) -> int:
        return self.values[rng.randrange(self.size)]

    def at(self, index: int) -> int:
        return self.values[checked_place(self, index)]

    def index(self, value: Decision) -> int:
        return self.values.index(self.normalize(value))

    def grid(self, steps: int) -> Sequence[int]:
        return self.values

    def neighbours(self, value: Decision) -> tuple[int, ...]:
        place = self.index(value)
        return tuple(self.values[near] for near in (place - 1, place + 1) if 0 <= near < self.size)

    @property
    def encoded_size(self) -> int:
        return 1

    def encode(self, value: Decision) -> tuple[float, ...]:
        return (self.index(value) / max(self.size - 1, 1),)

    def decode(self, numbers: Sequence[float]) -> int:
        (number,) = checked_numbers(self, numbers)
        return self.values[round(min(max(number, 0.0), 1.0) * (self.size - 1))]

    def describe(self) -> str:
        steps = f" in steps of {self.step}" if self.step > 1 else ""
        return f"a whole number from {self.low} to {self.high}{steps}"

    def to_json(self) -> dict[str, Any]:
        return {"type": "int_range", "label": self.label, "low": self.low, "high": self.high, "step": self.step}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> IntRange:
        """Return the domain that `to_json` described."""
        return cls(data["label"], data["low"], data["high"], data["step"])


@dataclass(frozen=True)
class Uniform:
    """Any number from `low` to `high`, both included.

    >>> rate = Uniform("rate", 0.0, 0.5)
    >>> rate.size is None, rate.grid(3), rate.neighbours(0.2)
    (True, (0.0, 0.25, 0.5), (0.15, 0.25))
    """

    label: str
    low: float
    high: float

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, _number(self.label, getattr(self, name)))
        if not self.low < self.high:
            raise DecisionError(
                f"decision {self.label!r}: low must be less than high, got {self.low!r} and {self.high!r}",
                label=self.label,
            )

    @property
    def size(self) -> None:
        return None

    @property
    def default(self) -> float:
        return self.low

    def contains(self, value: Decision) -> bool:
        return type(value) is float and self.low <= value <= self.high

    def normalize(self, value: Decision) -> float:
        if type(value) not in (int, float) or not self.low <= value <= self.high:
            raise not_allowed(self, value)
        return self._spelled(float(value))

    def sample(self, rng: random.Random) -> float:
        return self._number(rng.random())

    def at(self, index: int) -> NoReturn:
        raise IndexError(f"domain {self.label!r}: {self.describe()} cannot be numbered, so nothing is at place {index}")

    def index(self, value: Decision) -> NoReturn:
        raise DecisionError(f"decision {self.label!r}: {self.describe()} cannot be numbered", label=self.label)

    def grid(self, steps: int) -> Sequence[float]:
        return tuple(dict.fromkeys(self._number(step / max(steps - 1, 1)) for step in range(steps)))

    def neighbours(self, value: Decision) -> tuple[float, ...]:
        """Return the values a tenth of the range away to either side, or the bound where that is nearer."""
        here = self.normalize(value)
        place = self._place(here)
        near = (self._number(place - 1 / _STEPS), self._number(place + 1 / _STEPS))
        return tuple(number for number in near if number != here)

    @property
    def encoded_size(self) -> int:
        return 1

    def encode(self, value: Decision) -> tuple[float, ...]:
        return (self._place(self.normalize(value)),)

    def decode(self, numbers: Sequence[float]) -> float:
        (number,) = checked_numbers(self, numbers)
        return self._number(number)

    def describe(self) -> str:
        return f"a number from {self.low!r} to {self.high!r}"

    def to_json(self) -> dict[str, Any]:
        return {"type": "uniform", "label": self.label, "low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Uniform:
        """Return the domain that `to_json` described."""
        return cls(data["label"], data["low"], data["high"])

    def _number(self, place: float) -> float:
        place = min(max(place, 0.0), 1.0)
        return self._spelled(self.low + (self.high - self.low) * place)

    def _place(self, number: float) -> float:
        return (number - self.low) / (self.high - self.low)

    def _spelled(self, number: float) -> float:
        digits = _DIGITS - math.ceil(math.log10(max(abs(self.low), abs(self.high))))
        return min(max(round(number, digits), self.low), self.high)


@dataclass(frozen=True)
class LogUniform(Uniform):
    """Any number from `low` to `high`, both included and positive, such that every factor is as likely.

    >>> LogUniform("lr", 1e-4, 1e-1).grid(4)
    (0.0001, 0.001, 0.01, 0.1)
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise DecisionError(
                f"decision {self.label!r}: on a logarithmic scale low must be greater than 0, got {self.low!r}",
                label=self.label,
            )

    def describe(self) -> str:
        return f"{super().describe()} on a logarithmic scale"

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "type": "loguniform"}

    def _number(self, place: float) -> float:
        low, high = math.log(self.low), math.log(self.high)
        return self._spelled(math.exp(low + (high - low) * min(max(place, 0.0), 1.0)))

    def _place(self, number: float) -> float:
        low, high = math.log(self.low), math.log(self.high)
        return (math.log(number) - low) / (high - low)

    def _spelled(self, number: float) -> float:
        return min(max(float(f"{number:.{_DIGITS}g}"), self.low), self.high)


def _number(label: str, value: object) -> float:
    if type(value) in (int, float) and math.isfinite(value):  # type: ignore[arg-type]  # the line asks for it
        return float(value)  # type: ignore[arg-type]
    raise DecisionError(f"decision {label!r}: a bound must be a finite number, got {value!r}", label=label)
