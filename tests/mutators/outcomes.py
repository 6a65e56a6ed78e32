"""What tests of mutators ask of a child: that it is sound, can be written as source, runs and can be trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

import graphnas
from graphnas.ir.verify import verify


def model_of(net: nn.Module, *inputs: Any) -> graphnas.Model:
    return graphnas.trace(net, inputs)


def runs(child: graphnas.Model, *inputs: Any) -> nn.Module:
    """Return the generated module of a child, having run it forward and backward, and in eval mode on one sample."""
    verify(child)
    module = graphnas.to_module(child)
    out = first_tensor(module(*inputs))
    out.sum().backward()  # type: ignore[no-untyped-call]  # torch has no annotation there
    assert torch.isfinite(out).all()
    with torch.no_grad():
        module.eval()(*(item[:1] if isinstance(item, Tensor) else item for item in inputs))
    return module


def first_tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    return first_tensor(next(iter(value.values())) if isinstance(value, Mapping) else value[0])


def types(model: graphnas.Model) -> list[str]:
    """Return the types of all sites, in order."""
    return [site.type for site in model.sites]
