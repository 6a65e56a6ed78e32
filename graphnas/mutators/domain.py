"""Decisions and the domains that say which of them are allowed.

A *decision* is one JSON value under a label, `Decisions` is a dictionary of them in the order of their application,
and a *domain* says which values a label may take. Strategies see these two and nothing else: no module, no graph.

What belongs here: data and the rules on it. What does not: anything that knows torch or the graph.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
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

    def neighbours(self, value: Decision) -> tuple[Decision, ...]:
        """Return the values other than `value`, in the order of the domain."""

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

    def __post_init__(self) -> None:
        if not self.values:
            raise DecisionError(f"decision {self.label!r}: a choice needs at least one candidate", label=self.label)
        for index, value in enumerate(self.values):
            if _position(self.values[:index], value) is not None:
                raise DecisionError(
                    f"decision {self.label!r}: candidate {value!r} is given twice; remove one of them",
                    label=self.label,
                    allowed=self.values,
                )

    @property
    def size(self) -> int:
        return len(self.values)

    @property
    def default(self) -> Decision:
        return self.values[0]

    def position(self, value: Decision) -> int:
        """Return the index of a value among the candidates.

        Raises:
            DecisionError: The value is not allowed.
        """
        position = _position(self.values, self.normalize(value))
        assert position is not None
        return position

    def contains(self, value: Decision) -> bool:
        return _position(self.values, value) is not None

    def normalize(self, value: Decision) -> Decision:
        position = _position(self.values, value)
        if position is None and type(value) is int:
            # The documented list form of a layer choice: 0 stands for the candidate named '0'.
            position = _position(self.values, str(value)) if value >= 0 else None
        if position is None:
            raise DecisionError(
                f"decision {self.label!r}: {value!r} is not allowed; choose {self.describe()}",
                label=self.label,
                allowed=self.values,
            )
        return self.values[position]

    def sample(self, rng: random.Random) -> Decision:
        return self.values[rng.randrange(len(self.values))]

    def neighbours(self, value: Decision) -> tuple[Decision, ...]:
        position = self.position(value)
        return tuple(v for index, v in enumerate(self.values) if index != position)

    def describe(self) -> str:
        return f"one of {', '.join(map(repr, self.values))}"

    def to_json(self) -> dict[str, Any]:
        return {"type": "categorical", "label": self.label, "values": list(self.values)}


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


def _position(values: tuple[Decision, ...], value: Decision) -> int | None:
    for index, candidate in enumerate(values):
        if type(candidate) is type(value) and candidate == value:
            return index
    return None


def _suggestion(label: str, names: tuple[str, ...]) -> str:
    near = get_close_matches(label, names, n=1)
    return f" (is it {near[0]!r}?)" if near else ""


def _listed(labels: tuple[str, ...]) -> str:
    return ", ".join(repr(label) for label in labels) if labels else "none at all"
