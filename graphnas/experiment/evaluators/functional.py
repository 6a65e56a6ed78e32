"""An evaluator that is a function."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from graphnas.errors import ConfigError
from graphnas.experiment.evaluators.base import Evaluator
from graphnas.experiment.evaluators.reference import reference_to, resolve


class FunctionalEvaluator(Evaluator):
    """Judge a model by calling `function(build_model, **kwargs)`.

    `build_model` takes no arguments and returns a freshly built `nn.Module` at each call. The function returns the
    metric, or calls `report_final_result` with it; then what it returns does not count.

    A function of an importable module or of the running script is kept in the store by name, and keyword arguments as
    JSON. With a lambda, a closure or other arguments everything works, but `resume` must be given the evaluator again.

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
        self.kwargs = kwargs

    def evaluate(self, build_model: Callable[[], Any]) -> Any:
        return self.function(build_model, **self.kwargs)

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
