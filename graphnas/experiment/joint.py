"""A model space together with the choices among the arguments of an evaluator, as one space to search.

Decisions name both; those of the evaluator begin with `@evaluator/`, so `fixed_arch` passes over them. Of a model only
its own matter; an evaluator reads its own from the running trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from graphnas.errors import ConfigError
from graphnas.experiment.engines import Space, of_model
from graphnas.experiment.evaluators.base import EVALUATOR_MARK
from graphnas.mutators.choices.choice import Collector
from graphnas.mutators.condition import Condition
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.domain import Decision, Decisions, Domain


class JointSpace:
    """The space of a model and of an evaluator with choices; a `Space` for strategies and engines.

    Args:
        model: The space of the model.
        choices: The choices of the evaluator. Their conditions may read each other.

    Raises:
        ConfigError: A mutator of the model goes by the label `evaluator`.
    """

    def __init__(self, model: Space, choices: Collector) -> None:
        for label in model.domains:
            if label.startswith(EVALUATOR_MARK):
                raise ConfigError(
                    f"evaluator: choices of the mutator have labels of an evaluator, {label!r}; give the mutator "
                    "another label than 'evaluator'",
                    field="evaluator",
                )
        self.model = model
        own: dict[str, Domain] = {}
        for name, domain in choices.domains.items():
            marked: Any = replace(domain, label=f"{EVALUATOR_MARK}{name}")  # type: ignore[type-var]  # dataclasses all
            own[marked.label] = marked
        conditions = {f"{EVALUATOR_MARK}{name}": _Marked(item) for name, item in choices.conditions.items()}
        self._own = DecisionSpace(own, conditions)

    @cached_property
    def domains(self) -> DecisionSpace:
        """Label to domain, those of the model first."""
        models = DecisionSpace.of(self.model.domains)
        conditions = {**models.conditions, **self._own.conditions}
        return DecisionSpace({**models, **self._own}, conditions, models.constraints)

    def validate(self, decisions: Mapping[str, Any]) -> Decisions:
        """Return the decisions in the order and spelling of the space.

        Raises:
            DecisionError: They do not fit.
        """
        own = {label: value for label, value in decisions.items() if label.startswith(EVALUATOR_MARK)}
        return {**self.model.validate(of_model(decisions)), **self._own.normalize(own)}

    def freeze(self, decisions: Mapping[str, Any]) -> Any:
        """Return the `ir.Model` of the decisions."""
        return self.model.freeze(of_model(decisions))

    def instantiate(self, decisions: Mapping[str, Any]) -> Any:
        """Return a freshly built module of the decisions."""
        return self.model.instantiate(of_model(decisions))

    def to_json(self) -> dict[str, Any] | None:
        """Return the form of the model's space; the evaluator has its own."""
        return self.model.to_json()


@dataclass(frozen=True)
class _Marked:
    """A condition on choices of an evaluator, as decisions name these."""

    condition: Condition

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(f"{EVALUATOR_MARK}{label}" for label in self.condition.labels)

    def holds(self, decisions: Mapping[str, Decision]) -> bool:
        return self.condition.holds({label.removeprefix(EVALUATOR_MARK): value for label, value in decisions.items()})

    def describe(self) -> str:
        return self.condition.describe()

    def to_json(self) -> Any:
        return self.condition.to_json()


def with_choices_of(space: Space, choices: Collector) -> Space:
    """Return a space with the choices of an evaluator, the space itself where it has none."""
    return JointSpace(space, choices) if choices.domains else space
