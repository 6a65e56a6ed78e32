"""Search strategies: they are asked for decisions and told metrics, and know nothing else.

`base` states the contract, `lattice` numbers the points of finite spaces, `asked` knows which were asked for, `checks`
looks at arguments; every other module is one family of algorithms.
"""

from __future__ import annotations

from graphnas.experiment.strategies.base import WAIT, Answer, Observation, Proposal, Strategy, Wait
from graphnas.experiment.strategies.chain import Chain, Deduplication, Filter, Part, Retry
from graphnas.experiment.strategies.covariance import CMAES
from graphnas.experiment.strategies.evolution import RegularizedEvolution
from graphnas.experiment.strategies.grid import GridSearch
from graphnas.experiment.strategies.halving import ASHA, Hyperband
from graphnas.experiment.strategies.local import LocalSearch
from graphnas.experiment.strategies.model_based import GP, TPE, TPEStrategy
from graphnas.experiment.strategies.nsga2 import NSGA2
from graphnas.experiment.strategies.policy import PolicyBasedRL
from graphnas.experiment.strategies.random import Random
from graphnas.experiment.strategies.stopping import HalvingStop, MedianStop

__all__ = [
    "ASHA",
    "CMAES",
    "GP",
    "NSGA2",
    "TPE",
    "WAIT",
    "Answer",
    "Chain",
    "Deduplication",
    "Filter",
    "GridSearch",
    "HalvingStop",
    "Hyperband",
    "LocalSearch",
    "MedianStop",
    "Observation",
    "Part",
    "PolicyBasedRL",
    "Proposal",
    "Random",
    "RegularizedEvolution",
    "Retry",
    "Strategy",
    "TPEStrategy",
    "Wait",
]
