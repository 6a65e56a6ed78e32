"""What an evaluator is: something that gives a model a metric."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

from graphnas.errors import ExperimentError
from graphnas.experiment.evaluators.reference import reference_to, resolve
from graphnas.mutators.choices.choice import Collector
from graphnas.mutators.domain import MUTATOR_MARK

EVALUATOR_MARK = f"{MUTATOR_MARK}evaluator/"
"""What labels of an evaluator's choices begin with in decisions."""


class Evaluator(abc.ABC):
    """Base of every evaluator; it runs in the workers, so it must be picklable by cloudpickle."""

    @abc.abstractmethod
    def evaluate(self, build_model: Callable[[], Any]) -> Any:
        """Return the metric, or None after it was given to `report_final_result`.

        Args:
            build_model: Returns a freshly built `nn.Module` of the candidate at each call.
        """

    def choices(self) -> Collector:
        """Return the choices among the arguments, which are searched with those of the model."""
        return Collector()

    def arguments(self) -> dict[str, Any] | None:
        """Return, as JSON, what `from_arguments` builds an equal evaluator from; None where there is no such form."""
        return None

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> Evaluator:
        """Return the evaluator that `arguments` described."""
        return cls(**arguments)

    def to_json(self) -> dict[str, Any] | None:
        """Return the reference of the class and its arguments, or None where the evaluator has no such form."""
        arguments, kind = self.arguments(), reference_to(type(self))
        return None if arguments is None or kind is None else {"type": kind, "arguments": arguments}


def evaluator_from_json(data: dict[str, Any]) -> Evaluator:
    """Return the evaluator that `Evaluator.to_json` described. This imports its code.

    Raises:
        ExperimentError: The code is no longer where it was, or is no evaluator.
    """
    kind = resolve(data["type"])
    if not (isinstance(kind, type) and issubclass(kind, Evaluator)):
        raise ExperimentError(f"{data['type']}: expected a class of evaluators, found {kind!r}")
    return kind.from_arguments(data["arguments"])
