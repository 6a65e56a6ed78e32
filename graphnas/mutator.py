"""Mutators, under the short name by which users know them: `graphnas.mutator.ChangeKernel((3, 5))`."""

from graphnas.mutators.compose import AllOf, AtMost, OneOf
from graphnas.mutators.library import (
    AddSkip,
    ChangeActivation,
    ChangeGroups,
    ChangeHeads,
    ChangeKernel,
    ChangeNormalisation,
    ChangeStride,
    ChangeWidth,
    Deepen,
    DropBlock,
    DuplicateBlock,
    FactorizeLinear,
    InsertModule,
    Narrow,
    RemoveOperation,
    RemoveSkip,
    RewireInput,
    SeparateConvolution,
    Widen,
)
from graphnas.mutators.patterns import Match, Replace
from graphnas.mutators.sited import SiteMutator

__all__ = [
    "AddSkip",
    "AllOf",
    "AtMost",
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
    "Match",
    "Narrow",
    "OneOf",
    "RemoveOperation",
    "RemoveSkip",
    "Replace",
    "RewireInput",
    "SeparateConvolution",
    "SiteMutator",
    "Widen",
]
