"""Inline choices: what is written into the constructor of a model where something is to be decided.

The stack, lowest first::

    choice, numbers, origin < fixed, expression < decided < when < value_choice, mutable < again < edits
    < parameter_choice, layer_choice, input_choice, repeat, placeholder < activation, cell < nasbench101
"""

from __future__ import annotations

from graphnas.mutators.choices.activation import AutoActivation
from graphnas.mutators.choices.cell import Cell, NasBench201Cell
from graphnas.mutators.choices.fixed import fixed_arch
from graphnas.mutators.choices.input_choice import ChosenInputs, InputChoice
from graphnas.mutators.choices.layer_choice import LayerChoice
from graphnas.mutators.choices.mutable import Mutable
from graphnas.mutators.choices.nasbench101 import NasBench101Cell
from graphnas.mutators.choices.numbers import int_range, loguniform, uniform
from graphnas.mutators.choices.origin import original_state_dict_hooks
from graphnas.mutators.choices.parameter_choice import ModelParameterChoice
from graphnas.mutators.choices.placeholder import Placeholder
from graphnas.mutators.choices.repeat import Repeat
from graphnas.mutators.choices.value_choice import ValueChoice

__all__ = [
    "AutoActivation",
    "Cell",
    "ChosenInputs",
    "InputChoice",
    "LayerChoice",
    "ModelParameterChoice",
    "Mutable",
    "NasBench101Cell",
    "NasBench201Cell",
    "Placeholder",
    "Repeat",
    "ValueChoice",
    "fixed_arch",
    "int_range",
    "loguniform",
    "original_state_dict_hooks",
    "uniform",
]
