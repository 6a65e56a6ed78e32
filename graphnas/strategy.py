"""Strategies, under the short name by which users know them: `graphnas.strategy.Random(seed=0)`."""

from graphnas.experiment.strategies import (
    WAIT,
    Answer,
    GridSearch,
    LocalSearch,
    Observation,
    Proposal,
    Random,
    RegularizedEvolution,
    Strategy,
)

__all__ = [
    "WAIT",
    "Answer",
    "GridSearch",
    "LocalSearch",
    "Observation",
    "Proposal",
    "Random",
    "RegularizedEvolution",
    "Strategy",
]
