"""A place in a model that a mutator fills."""

from __future__ import annotations

from typing import Any

from torch import nn

from graphnas.errors import DecisionError
from graphnas.ir.literal import FrozenDict, freeze
from graphnas.ir.module import ModuleSpec
from graphnas.ir.record import basic_unit


@basic_unit
class Placeholder(nn.Identity):
    """A module to be put in later: `Placeholder("block", channels=64)`, which passes its input on until then.

    In the graph it is an `nn.Identity` of that label whose arguments are the label and the information, so mutators
    find it by `edit.find(label="block")`, read what they need from the arguments, and put a module in its place by
    `edit.set_module`. One that is left is written as the `nn.Identity` that it is.

    Args:
        label: Its name for mutators. Several places may share it.
        **related_info: What a mutator may want to know: None, bool, int, float, str, or tuples, lists and dictionaries
            of these.

    Raises:
        DecisionError: The label is no text or is empty, or a piece of information is nothing that a graph can hold.
    """

    def __init__(self, label: str, **related_info: Any) -> None:
        super().__init__()
        if not isinstance(label, str) or not label:
            raise DecisionError(f"Placeholder: label must be a text that is not empty, got {label!r}")
        for name, value in related_info.items():
            try:
                freeze(value)
            except TypeError as error:
                raise DecisionError(f"Placeholder {label!r}: {name}={value!r:.100} cannot be kept: {error}") from error
        self.label = label
        self.related_info = related_info

    def __graphnas_leaf__(self) -> ModuleSpec:
        """Return what it is in the graph."""
        info = FrozenDict((name, freeze(value)) for name, value in self.related_info.items())
        return ModuleSpec("torch.nn:Identity", (self.label,), info, label=self.label)

    def extra_repr(self) -> str:
        """Return label and information, for `repr`."""
        return ", ".join([repr(self.label), *(f"{name}={value!r}" for name, value in self.related_info.items())])
