"""The networks of NDS (arXiv 1905.13214) with everything about them to be decided, and their spaces.

Their parameters are those of the published records.
"""

from __future__ import annotations

import torch

from graphnas.benchmarks.nds.cells import CellNetwork
from graphnas.benchmarks.nds.designs import CELL_DESIGNS, DESIGNED, check_proposer
from graphnas.benchmarks.nds.stages import StagedNetwork
from graphnas.mutators import ModelSpace

__all__ = ["CellNetwork", "StagedNetwork", "space"]


def space(proposer: str) -> ModelSpace:
    """Return the design space of a proposer, for CIFAR-10.

    Raises:
        BenchmarkError: There is no such proposer.
    """
    check_proposer(proposer, DESIGNED)
    with torch.device("meta"):  # a space keeps how its model is constructed, not the weights
        network = CellNetwork(proposer) if proposer in CELL_DESIGNS else StagedNetwork(proposer)
    return ModelSpace(network, example_inputs=torch.zeros(1, 3, 32, 32))
