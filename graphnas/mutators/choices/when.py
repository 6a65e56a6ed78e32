"""Conditions that are expressions of choices: `when=depth > 2`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from graphnas.errors import DecisionError
from graphnas.mutators.choices.decided import Decided
from graphnas.mutators.choices.expression import Expression
from graphnas.mutators.condition import Condition, as_condition
from graphnas.mutators.domain import Decision

When: TypeAlias = Condition | Expression | Decided | Mapping[str, Any]
"""What `when=` takes: an expression of choices that is true or false, decided or not, or values by label."""


class Holds:
    """The condition that an expression is true.

    Two are equal if they read the same: all that an expression is shows in its text.
    """

    def __init__(self, expression: Expression) -> None:
        self.expression = expression

    @property
    def labels(self) -> tuple[str, ...]:
        return self.expression.labels

    def holds(self, decisions: Mapping[str, Decision]) -> bool:
        return bool(self.expression.evaluate({label: decisions[label] for label in self.labels}))

    def describe(self) -> str:
        return self.expression.describe()

    def to_json(self) -> Any:
        return repr(self.expression)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Holds) and repr(self.expression) == repr(other.expression)

    def __hash__(self) -> int:
        return hash(repr(self.expression))


def condition_of(when: When | None, label: str) -> Condition | None:
    """Return what `when=` of the choice of that label says, None for always.

    Raises:
        DecisionError: It is neither an expression of choices that is true or false, nor a mapping of labels to values.
    """
    if isinstance(when, Decided):
        when = when.expression
    if not isinstance(when, Expression):
        return as_condition(when)
    if type(when.dry_run()) is not bool:
        raise DecisionError(
            f"choice {label!r}: when={when!r} is {when.dry_run()!r}, neither true nor false; compare it, as in "
            "`depth > 2`",
            label=label,
        )
    return Holds(when)
