"""Constructing what a model was given: arguments of its constructor that hold modules and choices."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from graphnas.ir.record import record_of
from graphnas.mutators.choices.decided import decided
from graphnas.mutators.choices.expression import Expression
from graphnas.mutators.choices.fixed import fixation_of
from graphnas.mutators.choices.mutable import Mutable


def constructed_again(argument: Any) -> Any:
    """Return an argument as it is to be given again.

    Modules that were recorded, and choices, are constructed anew, under the decisions in force; other modules are
    copied. Values of choices are decided, or stay open and are declared.
    """
    if isinstance(argument, nn.Module):
        record = record_of(argument)
        if isinstance(argument, Mutable) and argument.is_open:
            record = argument.arguments
        if record is None:
            return copy.deepcopy(argument)
        return record.cls(*map(constructed_again, record.args), **_again(record.kwargs))
    if isinstance(argument, Expression):
        value = decided(argument)
        return argument if fixation_of("value") is None else value
    if type(argument) in (tuple, list):
        return type(argument)(map(constructed_again, argument))
    return _again(argument) if type(argument) is dict else argument


def _again(named: dict[str, Any]) -> dict[str, Any]:
    return {name: constructed_again(item) for name, item in named.items()}
