"""Decisions and the domains that say which of them are allowed.

A *decision* is one JSON value under a label, `Decisions` is a dictionary of them in the order of their application,
and a *domain* says which values a label may take. Strategies see these two and nothing else: no module, no graph.

What belongs here: the protocol, the one-of-several domain, and the checks of decisions against domains. `subset` and
`numeric` have the other domains. What does not: anything that knows torch or the graph.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Protocol, TypeAlias, runtime_checkable

from graphnas.errors import DecisionError

Decision: TypeAlias = Any
"""One decided value: a JSON scalar, or a list of JSON scalars."""

Decisions: TypeAlias = dict[str, Decision]
"""Label to value, in the order of application. Labels that start with `MUTATOR_MARK` belong to a mutator."""

MUTATOR_MARK = "@"
"""First character of the label of every choice that a mutator makes; no inline choice may begin with it."""


@runtime_checkable
class Domain(Protocol):
    """What one label may be set to."""

    @property
    def label(self) -> str:
        """The label that this domain belongs to."""

    @property
    def size(self) -> int | None:
        """Number of values, or None where there are infinitely many."""

    @property
    def default(self) -> Decision:
        """The value that a dry run takes."""

    def contains(self, value: Decision) -> bool:
        """Tell whether `value` is allowed as it stands."""

    def normalize(self, value: Decision) -> Decision:
        """Return the one spelling of `value` that histories keep.

        Raises:
            DecisionError: The value is not allowed; the message names the label and what is.
        """

    def sample(self, rng: random.Random) -> Decision:
        """Draw a value uniformly."""

    def at(self, index: int) -> Decision:
        """Return the value at a place of the domain's order, from 0 to `size - 1`.

        Raises:
            IndexError: There is no such place; an infinite domain has none at all.
        """

    def index(self, value: Decision) -> int:
        """Return the place of a value in the domain's order.

        Raises:
            DecisionError: The value is not allowed, or the domain is infinite.
        """

    def grid(self, steps: int) -> Sequence[Decision]:
        """Return every value of a finite domain, lazily; of an infinite one `steps` values, evenly spread."""

    def neighbours(self, value: Decision) -> tuple[Decision, ...]:
        """Return the values that are one step away from `value`, in the order of the domain."""

    @property
    def encoded_size(self) -> int:
        """Length of what `encode` returns."""

    def encode(self, value: Decision) -> tuple[float, ...]:
        """Return numbers from 0 to 1 for a value, such that values that are alike have numbers that are."""

    def decode(self, numbers: Sequence[float]) -> Decision:
        """Return the value whose `encode` is nearest; `decode(encode(v))` is `normalize(v)`.

        Raises:
            DecisionError: There are too many or too few numbers, or one is not finite.
        """

    def describe(self) -> str:
        """Return what is allowed, for the end of a sentence: `one of 16, 32`."""

    def to_json(self) -> dict[str, Any]:
        """Return a description from which a store can show the domain again."""


@dataclass(frozen=True)
class Categorical:
    """One value out of a finite list.

    Values of different types are different: `True` is not `1`, and `1` is not `1.0`.

    >>> import random
    >>> width = Categorical("width", (16, 32))
    >>> width.sample(random.Random(0)) in (16, 32)
    True
    >>> width.normalize(64)
    Traceback (most recent call last):
    ...
    graphnas.errors.DecisionError: decision 'width': 64 is not allowed; choose one of 16, 32
    """

    label: str
    values: tuple[Decision, ...]
    _places: dict[Any, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_places", places(self.label, self.values))

    @property
    def size(self) -> int:
        return len(self.values)

    @property
    def default(self) -> Decision:
        return self.values[0]

    def contains(self, value: Decision) -> bool:
        return exact(value) in self._places

    def normalize(self, value: Decision) -> Decision:
        return self.values[self.index(value)]

    def sample(self, rng: random.Random) -> Decision:
        return self.values[rng.randrange(len(self.values))]

    def at(self, index: int) -> Decision:
        return self.values[checked_place(self, index)]

    def index(self, value: Decision) -> int:
        place = self._places.get(exact(value))
        if place is None and type(value) is int and value >= 0:
            # The documented list form of a layer choice: 0 stands for the candidate named '0'.
            place = self._places.get(exact(str(value)))
        if place is None:
            raise not_allowed(self, value)
        return place

    def grid(self, steps: int) -> Sequence[Decision]:
        return self.values

    def neighbours(self, value: Decision) -> tuple[Decision, ...]:
        place = self.index(value)
        return tuple(v for index, v in enumerate(self.values) if index != place)

    @property
    def encoded_size(self) -> int:
        return len(self.values)

    def encode(self, value: Decision) -> tuple[float, ...]:
        place = self.index(value)
        return tuple(float(index == place) for index in range(len(self.values)))

    def decode(self, numbers: Sequence[float]) -> Decision:
        found = checked_numbers(self, numbers)
        return self.values[found.index(max(found))]

    def describe(self) -> str:
        return f"one of {', '.join(map(repr, self.values))}"

    def to_json(self) -> dict[str, Any]:
        return {"type": "categorical", "label": self.label, "values": list(self.values)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Categorical:
        """Return the domain that `to_json` described."""
        return cls(data["label"], tuple(data["values"]))


def places(label: str, values: Sequence[Decision]) -> dict[Any, int]:
    """Return the place of each candidate by its `exact` form.

    Raises:
        DecisionError: There is none, or one is given twice.
    """
    found: dict[Any, int] = {}
    for place, value in enumerate(values):
        if found.setdefault(exact(value), place) != place:
            raise DecisionError(
                f"decision {label!r}: candidate {value!r} is given twice; remove one of them",
                label=label,
                allowed=tuple(values),
            )
    if not found:
        raise DecisionError(f"decision {label!r}: a choice needs at least one candidate", label=label)
    return found


def exact(value: Any) -> Any:
    """Return what is equal, and hashed alike, for decisions of the same type and value: `True` is not `1`."""
    return (list, *map(exact, value)) if isinstance(value, (list, tuple)) else (type(value), _hashable(value))


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


def not_allowed(domain: Domain, value: Decision, why: str = "is not allowed") -> DecisionError:
    """Return the error for a value outside its domain."""
    return DecisionError(
        f"decision {domain.label!r}: {value!r} {why}; choose {domain.describe()}",
        label=domain.label,
        allowed=getattr(domain, "values", ()),
    )


def checked_place(domain: Domain, index: int) -> int:
    """Return `index` if the domain has such a place.

    Raises:
        IndexError: It has not.
    """
    if not 0 <= index < (domain.size or 0):
        raise IndexError(f"domain {domain.label!r} has {domain.size} values, none at place {index}")
    return index


def checked_numbers(domain: Domain, numbers: Sequence[float]) -> list[float]:
    """Return an encoding as a list of floats.

    Raises:
        DecisionError: It is too long or too short, or has a number that is not finite.
    """
    found = [float(number) for number in numbers]
    if len(found) != domain.encoded_size or not all(map(math.isfinite, found)):
        raise DecisionError(
            f"decision {domain.label!r}: expected {domain.encoded_size} finite numbers as its encoding, got {found}",
            label=domain.label,
        )
    return found


def check_decisions(domains: Mapping[str, Domain], decisions: Mapping[str, Decision]) -> Decisions:
    """Return `decisions` in the order and spelling of `domains`.

    Raises:
        DecisionError: A label is unknown, one is missing, or a value lies outside its domain. Each has its own message.
    """
    for label in decisions:
        if label not in domains:
            raise unknown_label(label, tuple(domains))
    for label, domain in domains.items():
        if label not in decisions:
            raise missing_label(domain, tuple(decisions))
    return {label: domain.normalize(decisions[label]) for label, domain in domains.items()}


def unknown_label(label: str, known: tuple[str, ...]) -> DecisionError:
    """Return the error for a decision that no choice asks for."""
    return DecisionError(
        f"unknown label {label!r}{_suggestion(label, known)}; the labels of this space are: {_listed(known)}",
        label=label,
        allowed=known,
    )


def missing_label(domain: Domain, given: tuple[str, ...]) -> DecisionError:
    """Return the error for a choice that no decision was given for."""
    return DecisionError(
        f"label {domain.label!r} is missing{_suggestion(domain.label, given)}; "
        f"add it with {domain.describe()}. Decisions were given for: {_listed(given)}",
        label=domain.label,
        allowed=getattr(domain, "values", ()),
    )


def _suggestion(label: str, names: tuple[str, ...]) -> str:
    near = get_close_matches(label, names, n=1)
    return f" (is it {near[0]!r}?)" if near else ""


def _listed(labels: tuple[str, ...]) -> str:
    return ", ".join(repr(label) for label in labels) if labels else "none at all"
