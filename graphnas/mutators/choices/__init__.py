"""Inline choices: what is written into the constructor of a model where something is to be decided.

The stack, lowest first::

    choice, numbers < fixed, expression < decided < when < value_choice, mutable < layer_choice, input_choice, repeat
"""

from __future__ import annotations

from graphnas.mutators.choices.fixed import fixed_arch
from graphnas.mutators.choices.input_choice import ChosenInputs, InputChoice
from graphnas.mutators.choices.layer_choice import LayerChoice
from graphnas.mutators.choices.mutable import Mutable
from graphnas.mutators.choices.numbers import int_range, loguniform, uniform
from graphnas.mutators.choices.repeat import Repeat
from graphnas.mutators.choices.value_choice import ValueChoice

__all__ = [
    "ChosenInputs",
    "InputChoice",
    "LayerChoice",
    "Mutable",
    "Repeat",
    "ValueChoice",
    "fixed_arch",
    "int_range",
    "loguniform",
    "uniform",
]
