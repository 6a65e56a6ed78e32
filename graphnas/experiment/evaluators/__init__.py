"""Evaluators: what gives a model its metric.

`base` states the contract, `reference` names code by text; every other module is one kind of evaluator.
"""

from __future__ import annotations

from graphnas.experiment.evaluators.base import Evaluator, evaluator_from_json
from graphnas.experiment.evaluators.functional import FunctionalEvaluator

__all__ = ["Evaluator", "FunctionalEvaluator", "evaluator_from_json"]
