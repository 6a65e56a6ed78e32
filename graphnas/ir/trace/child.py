"""From a module that somebody built to the child that an edit adds to a model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from graphnas.errors import TraceError
from graphnas.ir.abstract import TensorMeta, mapped, value_of
from graphnas.ir.module import Child
from graphnas.ir.record import is_basic_unit
from graphnas.ir.trace.api import trace
from graphnas.ir.trace.leaf import is_torch_leaf, spec_of
from graphnas.ir.types import Type


def child_of(module: nn.Module, inputs: Sequence[Type] = (), path: str = "") -> Child:
    """Return a module as a leaf, or traced as a definition; weights are left behind.

    Args:
        module: The module.
        inputs: Types of what it will be called with; a leaf needs none.
        path: Where it is to stand, for messages.

    Raises:
        TraceError: It cannot be traced, or the call of its constructor cannot be found out.

    >>> child_of(nn.Linear(8, 4)).type
    'Linear'
    """
    if is_torch_leaf(module) or is_basic_unit(type(module)):
        return spec_of(module, path)
    if not inputs:
        raise TraceError(f"{type(module).__name__} has to be traced, and it is not known what it is called with")
    device = next((item.device for item in (*module.parameters(), *module.buffers())), torch.device("cpu"))

    def tensor(value: object) -> object:
        if not isinstance(value, TensorMeta):
            return value
        return torch.zeros(value.shape, dtype=value.dtype, device=device)  # zeros are valid as indices, too

    return trace(module, tuple(mapped(value_of(type), tensor) for type in inputs)).root
