"""Spaces of models: inline choices, mutators, and the decisions that select one model.

The stack, lowest first::

    model_constraint; domain < subset, numeric, condition, constraint < walk < decision_space < encoding, table
    < choices < mutator < chain, construct, supermodel < inline < points, serialize < space
    mutator < sited, canonical, recorded, in_place < patterns < library; mutator < compose
    widths < inherit < library

`widths` stands beside these: it knows graphs and open edits, and nothing of spaces. `graphnas.mutator` has the library,
and the ways to combine its mutators, under short names.
"""

from __future__ import annotations

from graphnas.mutators.choices import (
    AutoActivation,
    Cell,
    ChosenInputs,
    InputChoice,
    LayerChoice,
    ModelParameterChoice,
    Mutable,
    NasBench101Cell,
    NasBench201Cell,
    Placeholder,
    Repeat,
    ValueChoice,
    fixed_arch,
    int_range,
    loguniform,
    original_state_dict_hooks,
    uniform,
)
from graphnas.mutators.domain import Categorical, Decision, Decisions, Domain
from graphnas.mutators.model_constraint import CostLimit, ModelConstraint
from graphnas.mutators.mutator import Mutator, Sampler, replay
from graphnas.mutators.numeric import IntRange, LogUniform, Uniform
from graphnas.mutators.space import ModelSpace
from graphnas.mutators.subset import Subset
from graphnas.mutators.widths import WidthChange, set_width

__all__ = [
    "AutoActivation",
    "Categorical",
    "Cell",
    "ChosenInputs",
    "CostLimit",
    "Decision",
    "Decisions",
    "Domain",
    "InputChoice",
    "IntRange",
    "LayerChoice",
    "LogUniform",
    "ModelConstraint",
    "ModelParameterChoice",
    "ModelSpace",
    "Mutable",
    "Mutator",
    "NasBench101Cell",
    "NasBench201Cell",
    "Placeholder",
    "Repeat",
    "Sampler",
    "Subset",
    "Uniform",
    "ValueChoice",
    "WidthChange",
    "fixed_arch",
    "int_range",
    "loguniform",
    "original_state_dict_hooks",
    "replay",
    "set_width",
    "uniform",
]
