"""How tests compare a generated module with the one it was traced from."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import nn

import graphnas
from graphnas.codegen import to_module, to_source


def roundtrip(build: Callable[[], nn.Module], *inputs: Any, **kwargs: Any) -> str:
    """Build and trace a module, check that the generated one computes the same, and return the source.

    Checked: names of the state, strict loading, equal outputs in both modes under the same seed, what is trained, and
    what a forward leaves in the state.
    """
    with graphnas.recording():
        net = build()
    model = graphnas.trace(net, inputs, kwargs)
    source = to_source(model)
    with graphnas.recording():
        generated = to_module(model)
    assert to_source(graphnas.trace(generated, inputs, kwargs)) == source, "generated source is no fixed point"
    assert list(generated.state_dict()) == list(net.state_dict()), source
    generated.load_state_dict(net.state_dict(), strict=True)
    trained = {name: item.requires_grad for name, item in net.named_parameters()}
    assert {name: item.requires_grad for name, item in generated.named_parameters()} == trained, source
    for training in (False, True):
        outputs = []
        for module in (net, generated):
            torch.manual_seed(0)
            outputs.append(module.train(training)(*copies(inputs), **copies(kwargs)))
        assert same(outputs[0], outputs[1]), source
        assert same(dict(net.state_dict()), dict(generated.state_dict())), source
    return source


def same(left: Any, right: Any) -> bool:
    """Tell whether two outputs are equal, bit by bit and class by class."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right) and left.requires_grad == right.requires_grad
    if isinstance(left, (tuple, list)):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def initial_state(build: Callable[[], nn.Module], *inputs: Any) -> bool:
    """Tell whether original and generated module start from the same tensors under the same seed."""
    torch.manual_seed(0)
    with graphnas.recording():
        net = build()
    model = graphnas.trace(net, inputs)
    torch.manual_seed(0)
    generated = to_module(model).state_dict()
    return all(torch.equal(value, generated[name]) for name, value in net.state_dict().items())


def copies(value: Any) -> Any:
    """Return inputs that a forward may change."""
    return deepcopy(value)
