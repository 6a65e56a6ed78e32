"""Inline choices: what is written into the constructor of a model where something is to be decided.

The stack, lowest first::

    choice < fixed < decided < value_choice < layer_choice, repeat
"""

from __future__ import annotations

from graphnas.mutators.choices.fixed import fixed_arch
from graphnas.mutators.choices.layer_choice import LayerChoice
from graphnas.mutators.choices.repeat import Repeat
from graphnas.mutators.choices.value_choice import ValueChoice

__all__ = ["LayerChoice", "Repeat", "ValueChoice", "fixed_arch"]
