"""Mutators, under the short name by which users know them: `graphnas.mutator.ChangeKernel((3, 5))`."""

from graphnas.mutators.compose import AllOf, AtMost, OneOf
from graphnas.mutators.library import (
    AddSkip,
    ChangeActivation,
    ChangeGroups,
    ChangeKernel,
    ChangeNormalisation,
    ChangeStride,
    DropBlock,
    DuplicateBlock,
    FactorizeLinear,
    InsertModule,
    RemoveOperation,
    RemoveSkip,
    RewireInput,
    SeparateConvolution,
)
from graphnas.mutators.patterns import Match, Replace
from graphnas.mutators.sited import SiteMutator

__all__ = [
    "AddSkip",
    "AllOf",
    "AtMost",
    "ChangeActivation",
    "ChangeGroups",
    "ChangeKernel",
    "ChangeNormalisation",
    "ChangeStride",
    "DropBlock",
    "DuplicateBlock",
    "FactorizeLinear",
    "InsertModule",
    "Match",
    "OneOf",
    "RemoveOperation",
    "RemoveSkip",
    "Replace",
    "RewireInput",
    "SeparateConvolution",
    "SiteMutator",
]
