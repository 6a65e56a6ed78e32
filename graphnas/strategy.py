"""Strategies, under the short name by which users know them: `graphnas.strategy.Random(seed=0)`."""

from graphnas.experiment.strategies import Random, RegularizedEvolution, Strategy

__all__ = ["Random", "RegularizedEvolution", "Strategy"]
