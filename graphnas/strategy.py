"""Strategies, under the short name by which users know them: `graphnas.strategy.Random(seed=0)`."""

from graphnas.experiment.strategies import *  # noqa: F403  # the same names, all of them listed there
from graphnas.experiment.strategies import __all__ as __all__
