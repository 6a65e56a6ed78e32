"""Search strategies: they are asked for decisions and told metrics, and know nothing else.

`base` states the contract, `lattice` numbers the points of finite spaces, `asked` knows which were asked for, `checks`
looks at arguments; every other module is one family of algorithms.
"""

from __future__ import annotations

from graphnas.experiment.strategies.base import WAIT, Answer, Observation, Proposal, Strategy, Wait
from graphnas.experiment.strategies.evolution import RegularizedEvolution
from graphnas.experiment.strategies.grid import GridSearch
from graphnas.experiment.strategies.local import LocalSearch
from graphnas.experiment.strategies.random import Random

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
    "Wait",
]
