from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

import graphnas
from graphnas.errors import EvaluationError
from graphnas.experiment.evaluators import FunctionalEvaluator

from . import samples
from .samples import GridSpace


def judge(build_model: Callable[[], nn.Linear], lr: float) -> None:
    trial = graphnas.current_trial()
    assert trial.directory.is_dir()
    graphnas.report_final_result({"default": lr, "width": build_model().in_features})


def test_one_model_is_judged_here_and_now() -> None:
    assert graphnas.debug_mutated_model(GridSpace(), FunctionalEvaluator(samples.weights)) == 1.0
    evaluator = FunctionalEvaluator(judge, lr=graphnas.ValueChoice([0.25, 0.5]))
    assert graphnas.debug_mutated_model(GridSpace(), evaluator) == {"default": 0.25, "width": 1.0}


def test_what_the_evaluator_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError, match="nothing to divide by"):
        graphnas.debug_mutated_model(GridSpace(), FunctionalEvaluator(samples.broken))
    nothing: Any = FunctionalEvaluator(lambda build: None)
    with pytest.raises(EvaluationError, match="expected a number"):
        graphnas.debug_mutated_model(GridSpace(), nothing)
