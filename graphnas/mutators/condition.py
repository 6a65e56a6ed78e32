"""Conditions: when a choice comes up, as data that can be shown, stored and asked about any decisions.

A choice whose condition does not hold is *inactive*: it takes its default, and is not among the decisions. So is one
whose condition reads an inactive choice.

What belongs here: what a condition is, and the one that is written as a mapping. Conditions that are expressions of
choices (`depth > 2`) are built where choices are, in `choices`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from graphnas.errors import DecisionError
from graphnas.mutators.domain import Decision, Domain, exact, unknown_label


@runtime_checkable
class Condition(Protocol):
    """Something that is true or false of decisions. Two conditions that say the same are equal."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the choices that it reads, each once."""

    def holds(self, decisions: Mapping[str, Decision]) -> bool:
        """Tell whether it is true; there is a decision, as its domain spells it, for each of `labels`."""

    def describe(self) -> str:
        """Return it as a person would write it: `depth > 2`."""

    def to_json(self) -> Any:
        """Return a description from which a store can tell whether it is the same."""


@dataclass(frozen=True)
class Match:
    """The condition of a mapping: every label has one of its values.

    Attributes:
        allowed: Label, and the values that it may have, for each label.

    >>> condition = Match.of({"op": "conv", "depth": [2, 3]})
    >>> condition.holds({"op": "conv", "depth": 3}), condition.holds({"op": "pool", "depth": 3})
    (True, False)
    >>> condition.describe()
    "op is 'conv' and depth is 2 or 3"
    """

    allowed: tuple[tuple[str, tuple[Decision, ...]], ...]

    @classmethod
    def of(cls, mapping: Mapping[str, Any]) -> Match:
        """Return the condition of `{label: value}` or `{label: [value, ...]}`; a list is a list of values.

        Raises:
            DecisionError: There is no label, or no value for one.
        """
        allowed = tuple(
            (label, tuple(values) if isinstance(values, (list, tuple, set, frozenset, range)) else (values,))
            for label, values in mapping.items()
        )
        if not allowed or not all(isinstance(label, str) and values for label, values in allowed):
            raise DecisionError(
                f"when={mapping!r}: expected labels of other choices, each with a value or a list of values"
            )
        return cls(allowed)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(label for label, _ in self.allowed)

    def holds(self, decisions: Mapping[str, Decision]) -> bool:
        return all(exact(decisions[label]) in map(exact, values) for label, values in self.allowed)

    def describe(self) -> str:
        return " and ".join(f"{label} is {' or '.join(map(repr, values))}" for label, values in self.allowed)

    def to_json(self) -> Any:
        return {label: list(values) for label, values in self.allowed}


When: TypeAlias = Condition | Mapping[str, Any]
"""What `when=` takes: an expression of choices, or a mapping of labels to a value or a list of values."""


def as_condition(when: object) -> Condition | None:
    """Return what `when=` says as a condition; None stays None.

    Raises:
        DecisionError: It is neither a mapping nor an expression of choices.
    """
    if when is None or isinstance(when, Condition):
        return when
    if isinstance(when, Mapping):
        return Match.of(when)
    hint = "; a function cannot be shown or stored" if callable(when) else ""
    raise DecisionError(
        f"when={when!r:.100}: expected an expression of choices, as in `depth > 2`, or a mapping of labels to values, "
        f"as in {{'op': 'conv'}}{hint}"
    )


def checked_condition(label: str, condition: Condition, domains: Mapping[str, Domain]) -> Condition:
    """Return the condition of a choice with its values as the domains spell them.

    Raises:
        DecisionError: It reads a choice that there is not, or a value that this cannot have.
    """
    for read in condition.labels:
        if read not in domains:
            raise DecisionError(
                f"choice {label!r}: its condition `{condition.describe()}` reads a choice that there is not: "
                f"{unknown_label(read, tuple(domains))}",
                label=label,
                allowed=tuple(domains),
            )
    if not isinstance(condition, Match):
        return condition
    try:
        return Match(tuple((read, tuple(map(domains[read].normalize, values))) for read, values in condition.allowed))
    except DecisionError as error:
        raise DecisionError(
            f"choice {label!r}: its condition `{condition.describe()}` can never hold: {error}", label=label
        ) from error


def inactive_label(label: str, condition: Condition) -> DecisionError:
    """Return the error for a decision on a choice that does not come up under the others."""
    return DecisionError(
        f"label {label!r} is decided, but comes up only when {condition.describe()}; leave it out", label=label
    )


def is_active(condition: Condition | None, decisions: Mapping[str, Decision]) -> bool:
    """Tell whether a choice comes up, given the decisions of the choices that do and are made before it."""
    if condition is None:
        return True
    return all(label in decisions for label in condition.labels) and condition.holds(decisions)
