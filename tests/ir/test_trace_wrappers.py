"""What a trace makes of modules that `weight_norm` and its relatives were applied to."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, spectral_norm, weight_norm

from graphnas.codegen import to_module, to_source
from graphnas.errors import TraceError
from graphnas.ir.json_form import from_json, to_json
from graphnas.ir.literal import Construction, FrozenDict
from graphnas.ir.model import Model
from graphnas.ir.module import Definition, ModuleSpec
from graphnas.ir.parser import parse_model
from graphnas.ir.record import recording
from graphnas.ir.text import format_model
from graphnas.ir.trace import trace

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")


class Doubled(nn.Linear):
    """A class of a user's own."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * 2


class Symmetric(nn.Module):
    """A parametrisation of a user's own."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).transpose(-1, -2)


def traced(module: nn.Module) -> tuple[nn.Module, Model]:
    net = nn.Sequential(module)
    model = trace(net, torch.randn(2, 6))
    assert model == parse_model(format_model(model)) == from_json(to_json(model))
    built = to_module(model)
    built.load_state_dict(net.state_dict())
    assert list(built.state_dict()) == list(net.state_dict())
    x = torch.randn(3, 6)
    for training in (False, True):
        assert torch.equal(net.train(training)(x), built.train(training)(x))
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in built.state_dict().items())
    return net, model


WRAPPED = [
    (parametrizations.weight_norm, {}, "torch.nn.utils.parametrizations:weight_norm", {}),
    (parametrizations.weight_norm, {"dim": None}, "torch.nn.utils.parametrizations:weight_norm", {"dim": None}),
    (parametrizations.spectral_norm, {"eps": 1e-6}, "torch.nn.utils.parametrizations:spectral_norm", {"eps": 1e-6}),
    (
        parametrizations.orthogonal,
        {"orthogonal_map": "cayley", "use_trivialization": False},
        "torch.nn.utils.parametrizations:orthogonal",
        {"orthogonal_map": "cayley", "use_trivialization": False},
    ),
    (weight_norm, {"dim": 1}, "torch.nn.utils:weight_norm", {"dim": 1}),
    (spectral_norm, {"n_power_iterations": 2}, "torch.nn.utils:spectral_norm", {"n_power_iterations": 2}),
]


@pytest.mark.parametrize(("wrap", "given", "path", "kept"), WRAPPED)
def test_a_wrapped_leaf_stays_one(wrap, given, path, kept) -> None:  # type: ignore[no-untyped-def]  # they differ
    _, model = traced(wrap(nn.Linear(6, 6), **given))
    leaf = model["0"]
    assert isinstance(leaf, ModuleSpec)
    assert leaf.target == "torch.nn:Linear"
    assert leaf.wrappers == (Construction(path, (), FrozenDict(kept)),)


def test_another_name_and_several_tensors() -> None:
    module = parametrizations.weight_norm(nn.Bilinear(6, 6, 6))
    module = parametrizations.weight_norm(module, name="bias", dim=0)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x, x)  # type: ignore[no-any-return]  # modules return anything

    model = trace(Net(), torch.randn(2, 6))
    leaf = model["inner"]
    assert isinstance(leaf, ModuleSpec)
    assert [dict(item.kwargs) for item in leaf.wrappers] == [{}, {"name": "bias"}]
    assert "weight_norm(weight_norm(nn.Bilinear(6, 6, out_features=6)), name=" in to_source(model)


@pytest.mark.parametrize("wrap", [parametrizations.weight_norm, weight_norm, spectral_norm])
def test_wrapped_modules_of_a_user_are_traced_into(wrap) -> None:  # type: ignore[no-untyped-def]  # as above
    with recording():
        module = wrap(Doubled(6, 6))
    _, model = traced(module)
    definition = model["0"]
    assert isinstance(definition, Definition)
    assert definition.class_name == "Doubled"
    assert "weight" not in definition.buffers


def test_parametrisations_of_a_user_are_traced_into() -> None:
    linear = nn.Linear(6, 6)
    parametrize.register_parametrization(linear, "weight", Symmetric())
    net, model = traced(linear)
    assert "0.parametrizations.weight.original" in net.state_dict()
    assert isinstance(model["0"], Definition)
    assert "class Symmetric(nn.Module)" in to_source(model)


def test_other_hooks_are_refused() -> None:
    net = nn.Sequential(nn.Linear(6, 6))
    net[0].register_forward_pre_hook(lambda module, args: None)
    with pytest.raises(TraceError, match="Linear at '0' has forward hooks"):
        trace(net, torch.randn(2, 6))
