"""Spaces of models: inline choices, mutators, and the decisions that select one model.

The stack, lowest first::

    domain < choice < fixed < decided < value_choice < layer_choice, repeat
    domain < mutator < construct < serialize < space
"""

from __future__ import annotations

from graphnas.mutators.domain import Categorical, Decision, Decisions, Domain
from graphnas.mutators.fixed import fixed_arch
from graphnas.mutators.layer_choice import LayerChoice
from graphnas.mutators.mutator import Mutator, Sampler, replay
from graphnas.mutators.repeat import Repeat
from graphnas.mutators.space import ModelSpace
from graphnas.mutators.value_choice import ValueChoice

__all__ = [
    "Categorical",
    "Decision",
    "Decisions",
    "Domain",
    "LayerChoice",
    "ModelSpace",
    "Mutator",
    "Repeat",
    "Sampler",
    "ValueChoice",
    "fixed_arch",
    "replay",
]
