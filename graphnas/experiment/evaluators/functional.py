"""An evaluator that is a function."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from graphnas.errors import ConfigError
from graphnas.experiment.evaluators.base import EVALUATOR_MARK, Evaluator
from graphnas.experiment.evaluators.reference import reference_to, resolve
from graphnas.experiment.trial import decisions_of_trial
from graphnas.mutators.choices.choice import Collector
from graphnas.mutators.choices.value_choice import evaluated, inner_choices, named


class FunctionalEvaluator(Evaluator):
    """Judge a model by calling `function(build_model, **kwargs)`.

    `build_model` takes no arguments and returns a freshly built `nn.Module` at each call. The function returns the
    metric, or calls `report_final_result` with it; then what it returns does not count.

    A function of an importable module or of the running script is kept in the store by name, and keyword arguments as
    JSON. With a lambda, a closure or other arguments everything works, but `resume` must be given the evaluator again.

    Keyword arguments may be value choices, or hold them: `FunctionalEvaluator(judge, lr=ValueChoice([1e-3, 1e-2]))`.
    They are searched with those of the model, and the function gets the decided values. A choice without a label has
    that of the argument. In decisions, labels of an evaluator begin with `@evaluator/`. Outside of a trial, such
    arguments have their defaults.

    Args:
        function: What judges a model.
        **kwargs: Handed to the function at each call.

    Raises:
        ConfigError: `function` cannot be called.
    """

    def __init__(self, function: Callable[..., Any], **kwargs: Any) -> None:
        if not callable(function):
            raise ConfigError(
                f"evaluator: FunctionalEvaluator expected a function, got {function!r}; pass it without calling it",
                field="evaluator",
            )
        self.function = function
        self.kwargs = {name: named(value, name) for name, value in kwargs.items()}
        self.choices()  # so that labels that clash are found here

    def evaluate(self, build_model: Callable[[], Any]) -> Any:
        values: dict[str, Any] = {}
        domains = self.choices().domains
        if domains:
            decisions = decisions_of_trial()
            for label, domain in domains.items():
                values[label] = decisions.get(f"{EVALUATOR_MARK}{label}", domain.default)
        return self.function(build_model, **{name: evaluated(value, values) for name, value in self.kwargs.items()})

    def choices(self) -> Collector:
        collector = Collector()
        for choice in inner_choices(list(self.kwargs.values())):
            collector.declare(choice.domain, "value", choice.when)
        return collector

    def arguments(self) -> dict[str, Any] | None:
        reference = reference_to(self.function)
        try:
            same = json.loads(json.dumps(self.kwargs, allow_nan=False)) == self.kwargs
        except (TypeError, ValueError):
            return None
        return {"function": reference, "kwargs": self.kwargs} if reference is not None and same else None

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> FunctionalEvaluator:
        return cls(resolve(arguments["function"]), **arguments["kwargs"])

    def __repr__(self) -> str:
        given = "".join(f", {name}={value!r}" for name, value in self.kwargs.items())
        return f"FunctionalEvaluator({getattr(self.function, '__qualname__', self.function)}{given})"
