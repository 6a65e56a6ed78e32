"""Mutators that people need most: what a convolution is, kinds of layers, blocks, connections, widths, depths.

What belongs here: edits of one place each, built on `graphnas.mutators.sited` and `graphnas.mutators.patterns`. What
does not: how places are decided, and how mutators are combined (`graphnas.mutators.compose`).
"""

from __future__ import annotations

from graphnas.mutators.library.blocks import DropBlock, DuplicateBlock, InsertModule, RemoveOperation
from graphnas.mutators.library.depth import Deepen
from graphnas.mutators.library.heads import ChangeHeads
from graphnas.mutators.library.kinds import ChangeActivation, ChangeNormalisation
from graphnas.mutators.library.modules import (
    ChangeGroups,
    ChangeKernel,
    ChangeStride,
    FactorizeLinear,
    SeparateConvolution,
)
from graphnas.mutators.library.width import ChangeWidth, Narrow, Widen
from graphnas.mutators.library.wiring import AddSkip, RemoveSkip, RewireInput

__all__ = [
    "AddSkip",
    "ChangeActivation",
    "ChangeGroups",
    "ChangeHeads",
    "ChangeKernel",
    "ChangeNormalisation",
    "ChangeStride",
    "ChangeWidth",
    "Deepen",
    "DropBlock",
    "DuplicateBlock",
    "FactorizeLinear",
    "InsertModule",
    "Narrow",
    "RemoveOperation",
    "RemoveSkip",
    "RewireInput",
    "SeparateConvolution",
    "Widen",
]
