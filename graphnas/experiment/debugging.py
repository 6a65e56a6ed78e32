"""Trying an evaluator on one model, before a search."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from graphnas.experiment import description as describing
from graphnas.experiment.engines import of_model
from graphnas.experiment.evaluators import Evaluator
from graphnas.experiment.joint import with_choices_of
from graphnas.experiment.trial import Metric, TrialContext, active_trial, check_metric, seed_generators
from graphnas.mutators.decision_space import DecisionSpace


def debug_mutated_model(base_model: Any, evaluator: Evaluator, applied_mutators: Any = None) -> Metric:
    """Return the metric of one model, that of the default decisions, judged here and now.

    Nothing is caught and nothing is kept, so a debugger stops where the evaluator fails. The generators of random
    numbers are seeded as for a trial with the seed 0.

    Args:
        base_model: As for `RetiariiExperiment`.
        evaluator: What is tried.
        applied_mutators: As for `RetiariiExperiment`.

    Raises:
        ConfigError: The arguments make no space.
        EvaluationError: The evaluator gives no metric.
    """
    model_space = describing.pick_model_space(base_model, applied_mutators)
    space = with_choices_of(model_space, evaluator.choices())
    decisions = space.validate(DecisionSpace.of(space.domains).default())
    with tempfile.TemporaryDirectory(prefix="graphnas-") as folder:
        context = TrialContext(number=0, seed=0, device="cpu", directory=Path(folder), decisions=decisions)
        with active_trial(context):
            seed_generators(0)
            returned = evaluator.evaluate(lambda: model_space.instantiate(of_model(decisions)))
    if context._final is not None:
        return context._final
    return check_metric(returned, "the evaluator's return value")
