"""Cells, activations, parameter choices and placeholders: what they build, and that both engines agree on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from graphnas.codegen import to_module, to_source
from graphnas.errors import DecisionError
from graphnas.ir.context import NoContextError
from graphnas.ir.module import ModuleSpec
from graphnas.ir.record import model_wrapper
from graphnas.ir.trace import trace
from graphnas.mutators import (
    AutoActivation,
    Cell,
    ModelParameterChoice,
    ModelSpace,
    Mutator,
    NasBench101Cell,
    NasBench201Cell,
    Placeholder,
    ValueChoice,
    fixed_arch,
    int_range,
)
from graphnas.mutators.choices.nasbench101 import channels_of, used_edges

X = torch.randn(2, 4, 6, 6)


def conv(width: int, out: int | None = None) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width, out or width, 1), nn.ReLU())


def built(make: Callable[[], nn.Module], decisions: dict[str, Any]) -> Any:
    with fixed_arch(decisions, verbose=False):
        return make()


def engines_agree(make: Callable[[], nn.Module], decisions: dict[str, Any], *inputs: torch.Tensor) -> nn.Module:
    """Check that the graph of the decided model computes what the model does; return the model."""

    @model_wrapper
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = make()

        def forward(self, *inputs: torch.Tensor) -> Any:
            return self.part(*inputs)

    net = built(Net, decisions).eval()
    other = to_module(trace(net, inputs)).eval()
    other.load_state_dict(net.state_dict(), strict=True)
    assert list(other.state_dict()) == list(net.state_dict())
    assert torch.equal(net(*inputs), other(*inputs))
    part: nn.Module = net.part
    return part


def test_cell_sums_operations_and_joins_loose_ends() -> None:
    def make(merge: Any = "loose_end") -> nn.Module:
        ops: dict[str, Any] = {"conv": lambda *_: conv(4), "none": nn.Identity()}
        return Cell(ops, 3, 2, 2, merge, label="cell")

    decisions: dict[str, Any] = {}
    for node, sources in {2: (0, 1), 3: (2, 2), 4: (0, 1)}.items():
        decisions |= {f"cell/input_{node}_{k}": source for k, source in enumerate(sources)}
        decisions |= {f"cell/op_{node}_{k}": "none" for k in range(2)}
    cell: Any = engines_agree(make, decisions, X, X + 1)
    assert cell.output_node_indices == [3, 4]
    assert torch.equal(cell([X, X + 1]), torch.cat([2 * (X + (X + 1)), X + (X + 1)], 1))
    everything: Any = built(lambda: make("all"), decisions)
    assert everything.output_node_indices == [2, 3, 4]
    assert everything(X, X + 1).shape[1] == 12
    open_cell: Any = make()
    assert open_cell(X, X).shape[1] == 12
    kept = built(make, {**decisions, "cell/op_3_1": "conv"}).state_dict()
    assert list(kept) == ["ops.1.1.0.weight", "ops.1.1.0.bias"]
    assert set(kept) < {name.replace("ops.1.1.conv", "ops.1.1") for name in open_cell.state_dict()}


def test_cell_calls_factories_and_processors() -> None:
    calls: list[tuple[int, int, int | None]] = []

    def factory(node: int, k: int, source: int | None) -> list[nn.Module]:
        calls.append((node, k, source))
        return [nn.Identity(), nn.ReLU()]

    def make() -> nn.Module:
        return Cell(
            factory,
            2,
            num_predecessors=2,
            preprocessor=lambda inputs: [item * 2 for item in inputs],
            postprocessor=lambda output, inputs: output.sum(1, keepdim=True) + inputs[1].mean(),
            concat_dim=2,
            label="cell",
        )

    open_cell = make()
    assert calls == [(2, 0, None), (3, 0, None)]
    assert open_cell(X, X).shape == (2, 1, 12, 6)
    decisions = {"cell/input_2_0": 1, "cell/op_2_0": 0, "cell/input_3_0": 2, "cell/op_3_0": "1"}
    calls.clear()
    cell = engines_agree(make, decisions, X, -X)
    assert calls == [(2, 0, 1), (3, 0, 2)]
    assert torch.equal(cell(X, -X), torch.cat([-2 * X, (-2 * X).relu()], 2).sum(1, keepdim=True) + (-2 * X).mean())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_nodes": 0}, "num_nodes must be a whole number from 1, got 0"),
        ({"num_nodes": 1, "merge_op": "some"}, "merge_op must be 'all' or 'loose_end', got 'some'"),
        ({"num_nodes": 1, "op_candidates": nn.ReLU()}, "op_candidates must be a list or dictionary"),
    ],
)
def test_bad_cells(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DecisionError, match=message):
        Cell(**{"op_candidates": [nn.ReLU()], **arguments}, label="cell")
    with pytest.raises(DecisionError, match="expected 2 inputs, got 1; set num_predecessors"):
        Cell([nn.ReLU()], 1, num_predecessors=2, label="cell")(X)


def test_nasbench201_cell() -> None:
    ops = {"conv": lambda a, b: conv(a, b), "none": lambda a, b: nn.Conv2d(a, b, 1, bias=False)}
    decisions = {f"c/{source}_{target}": "conv" for target in range(1, 4) for source in range(target)}

    def make() -> nn.Module:
        return NasBench201Cell(ops, 4, 8, label="c")

    cell: Any = engines_agree(make, decisions, X)
    assert [len(layer) for layer in cell.layers] == [1, 2, 3]
    first = cell.layers[0][0](X)
    second = cell.layers[1][0](X) + cell.layers[1][1](first)
    assert torch.equal(cell(X), cell.layers[2][0](X) + cell.layers[2][1](first) + cell.layers[2][2](second))
    assert make()(X).shape == (2, 8, 6, 6)
    with pytest.raises(DecisionError, match="num_tensors must be a whole number from 2, got 1"):
        NasBench201Cell(ops, 4, 8, 1, label="c")
    with pytest.raises(DecisionError, match=r"functions of \(in, out\) that return a module"):
        NasBench201Cell([nn.ReLU()], 4, 8, label="c")


def cell101(max_num_edges: int = 9) -> nn.Module:
    candidates: dict[str, Any] = {"conv": conv, "pool": lambda _: nn.MaxPool2d(3, 1, 1)}
    module: nn.Module = NasBench101Cell(candidates, 4, 9, conv, max_num_edges=max_num_edges, label="nb")
    return module


def test_nasbench101_cell() -> None:
    decisions: dict[str, Any] = {
        "nb/num_nodes": 6,
        "nb/op1": "conv",
        "nb/op2": "pool",
        "nb/op3": "conv",
        "nb/op4": "pool",
    }
    decisions |= {"nb/input1": [0], "nb/input2": [0, 1], "nb/input3": [1], "nb/input4": [2], "nb/input5": [0, 1, 4]}
    cell: Any = engines_agree(cell101, decisions, X)
    # Node 3 leads nowhere; 1 and 4 share the nine channels of the output, and 2 is as wide as 4, its only user.
    assert cell.sources == {1: (0,), 2: (0, 1), 4: (2,), 5: (0, 1, 4)}
    assert cell.channels == {0: 4, 1: 5, 2: 4, 4: 4, 5: 9}
    one = cell.ops["1"](cell.projections["1"](X))
    two = cell.ops["2"](one[:, :4] + cell.projections["2"](X))
    assert torch.equal(cell(X), torch.cat([one, cell.ops["4"](two)], 1) + cell.projections["5"](X))
    assert cell101()(X).shape == (2, 9, 6, 6)
    with pytest.raises(DecisionError, match="make more edges than the 6 allowed"):
        built(lambda: cell101(6), decisions)
    small = engines_agree(cell101, {"nb/num_nodes": 2, "nb/input1": [0]}, X)
    assert list(small.state_dict()) == ["projections.1.0.weight", "projections.1.0.bias"]


def test_edges_and_channels_of_nasbench101() -> None:
    assert used_edges([[0], [0], [1, 2]]) == [(1, (0,)), (2, (0,)), (3, (1, 2))]
    assert used_edges([[0], [0], [1]]) == [(1, (0,)), (3, (1,))]
    assert channels_of({1: (0,), 2: (1,), 3: (2,)}, 3, 4, 8) == {0: 4, 3: 8, 2: 8, 1: 8}
    with pytest.raises(DecisionError, match="max_num_nodes must be a whole number from 2, got 1"):
        NasBench101Cell([conv], 4, 8, conv, 1, label="nb")


def test_auto_activation_has_the_functions_of_the_paper() -> None:
    activation: Any = AutoActivation(label="act")
    unary, binary = activation.first_unary.names, activation.binaries[0].names
    assert (len(unary), len(binary)) == (22, 10)
    x = torch.rand(2, 3) + 0.1
    assert all(function(x).isfinite().all() for function in activation.first_unary)
    assert all(function(x, x + 1).isfinite().all() for function in activation.binaries[0])

    def make() -> nn.Module:
        return AutoActivation(label="act")

    for index in range(0, 22, 3):
        decisions = {
            "act__unary_0": unary[index],
            "act__unary_1": unary[(index * 7 + 1) % 22],
            "act__binary_0": binary[index % 10],
        }
        assert engines_agree(make, decisions, x)(x).shape == x.shape
    swish = built(make, {"act__unary_0": "identity", "act__binary_0": "gate", "act__unary_1": "scale"})
    assert torch.equal(swish(x), torch.sigmoid(x) * x)
    with pytest.raises(DecisionError, match="unit_num must be a whole number from 1, got 0"):
        AutoActivation(0, label="act")


@model_wrapper
class Computing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width = ModelParameterChoice([16, 32], default=ModelParameterChoice.LAST, label="width")
        self.heads = width // 8
        self.layer = nn.Linear(4, width)
        if width > 16:
            self.extra = nn.Linear(width, width)
        self.scale = ModelParameterChoice(int_range(1, 3), label="scale")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer(x)
        x = self.extra(x) if self.heads > 2 else x
        out: torch.Tensor = x.reshape(x.shape[0], self.heads, 8, -1) * self.scale
        return out


def test_parameter_choices_are_plain_values() -> None:
    net = Computing()
    assert (type(net.heads), net.layer.out_features, net.scale) == (int, 32, 1)
    space = ModelSpace(net, example_inputs=(torch.zeros(2, 4),))
    assert space.default() == {"width": 32, "scale": 1}
    for decisions in ({"width": 16, "scale": 3}, {"width": 32, "scale": 2}):
        one, other = space.instantiate(decisions), to_module(space.freeze(decisions))
        other.load_state_dict(one.state_dict(), strict=True)
        assert ("extra.weight" in other.state_dict()) == (decisions["width"] == 32)
        x = torch.randn(3, 4)
        assert torch.equal(one(x), other(x))


@pytest.mark.parametrize(
    ("default", "expected"), [(ModelParameterChoice.FIRST, 1), (ModelParameterChoice.LAST, 3), (2, 2), (max, 3)]
)
def test_defaults_of_parameter_choices(default: Any, expected: int) -> None:
    @model_wrapper
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value = ModelParameterChoice([1, 2, 3], default=default, label="v")

    assert Net().value == ModelSpace(Net()).default()["v"] == expected
    assert sorted(ModelSpace(Net()).domains["v"].grid(3)) == [1, 2, 3]
    assert built(Net, {"v": 2}).value == 2


def test_parameter_choices_that_are_refused() -> None:
    with pytest.raises(NoContextError, match="model_wrapper"):
        ModelParameterChoice([1, 2], label="v")

    @model_wrapper
    class Net(nn.Module):
        def __init__(self, candidates: Any, default: Any) -> None:
            super().__init__()
            ModelParameterChoice(candidates, default=default, label="v")

    with pytest.raises(DecisionError, match=r"the default 4 is not among the candidates \[1, 2\]"):
        Net([1, 2], 4)
    with pytest.raises(DecisionError, match="the default of a range of numbers is its least one"):
        Net(int_range(1, 2), 2)


@model_wrapper
class Holed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.hole = Placeholder("hole", width=4, kinds=("a", "b"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.hole(self.first(x))
        return out


class Fill(Mutator):
    def mutate(self, model: Any) -> None:
        for site in model.find(label="hole"):
            width = model[site.module_path].kwargs["width"]
            model.set_module(site.module_path, ModuleSpec("torch.nn:Linear", (width, width)))


def test_placeholders_are_found_filled_and_else_identities() -> None:
    x = torch.zeros(2, 4)
    assert torch.equal(Placeholder("hole")(x), x)
    model = trace(Holed(), (x,))
    assert "self.hole = nn.Identity('hole', width=4, kinds=('a', 'b'))" in to_source(model).replace('"', "'")
    assert "hole.weight" in to_module(ModelSpace(Holed(), [Fill()], (x,)).freeze({})).state_dict()
    with pytest.raises(DecisionError, match="label must be a text that is not empty, got ''"):
        Placeholder("")
    with pytest.raises(DecisionError, match=r"info=.* cannot be kept"):
        Placeholder("x", info=object())


def test_choices_as_arguments_of_basic_units_and_of_the_model() -> None:
    @model_wrapper
    class Net(nn.Module):
        def __init__(self, width: Any) -> None:
            super().__init__()
            self.layer = nn.Linear(4, width * 2)

    space = ModelSpace(Net(ValueChoice([2, 3], label="width")))
    net: Any = space.instantiate({"width": 3})
    assert net.layer.out_features == 6
