"""Evaluators, under the short name by which users know them: `graphnas.evaluator.FunctionalEvaluator(train)`."""

from graphnas.experiment.evaluators import Evaluator, FunctionalEvaluator

__all__ = ["Evaluator", "FunctionalEvaluator"]
