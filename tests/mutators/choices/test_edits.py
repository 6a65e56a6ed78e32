"""Edits of open layer choices, choices among the arguments of a model, and weights between open and decided models."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from graphnas.errors import DecisionError
from graphnas.ir.record import model_wrapper, recording
from graphnas.mutators import (
    Cell,
    LayerChoice,
    ModelSpace,
    Repeat,
    ValueChoice,
    fixed_arch,
    original_state_dict_hooks,
)


@model_wrapper
class Net(nn.Module):
    def __init__(self, *parts: Any) -> None:
        super().__init__()
        candidates = {"a": nn.Linear(2, 2), "b": nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)), "c": nn.Identity()}
        self.op = LayerChoice(candidates, prior=[0.5, 0.25, 0.25], label="op")
        self.parts = nn.ModuleList(parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.op(x)
        for part in self.parts:
            x = part(x)
        return x


X = torch.zeros(1, 2)


def test_a_space_has_the_candidates_that_are_left() -> None:
    net: Any = Net()
    with recording():
        bias_free = nn.Linear(2, 2, bias=False)
    net.op["a"] = bias_free
    del net.op["b"]
    assert (net.op.names, net.op.prior, len(net.op)) == (("a", "c"), (2 / 3, 1 / 3), 2)
    assert net.op[0] is bias_free
    assert torch.equal(net(X), X)
    for space in (ModelSpace(net, example_inputs=(X,)), pickle.loads(pickle.dumps(ModelSpace(net, (), (X,))))):
        assert list(space.domains["op"].grid(2)) == ["a", "c"]
        one: Any = space.instantiate({"op": "a"})
        assert one.op.bias is None
        assert one.op is not bias_free
        assert list(space.freeze({"op": "a"}).root.children) == ["op", "parts"]
        with pytest.raises(DecisionError, match="'b' is not allowed; choose one of 'a', 'c'"):
            space.instantiate({"op": "b"})
        assert space.to_json() is None
    assert ModelSpace(Net()).size() == 3


def test_slices_and_places() -> None:
    net: Any = Net()
    assert net.op[1:] == [net.op["b"], net.op["c"]]
    net.op[1:] = [nn.ReLU(), nn.Tanh()]
    assert [type(module).__name__ for module in net.op] == ["Linear", "ReLU", "Tanh"]
    del net.op[:2]
    assert (net.op.names, net.op.prior) == (("c",), (1.0,))
    assert isinstance(net.op[-1], nn.Tanh)
    assert isinstance(copy.deepcopy(net).op[0], nn.Tanh)
    assert ModelSpace(net).default() == {"op": "c"}


@pytest.mark.parametrize(
    ("edit", "kind", "message"),
    [
        (lambda op: op.__setitem__("d", nn.ReLU()), KeyError, "has no candidate 'd'; there are a, b, c"),
        (lambda op: op.__setitem__(0, 3), DecisionError, "candidate 'a' must be a torch.nn.Module, got 3"),
        (
            lambda op: op.__setitem__(slice(2), [nn.ReLU()]),
            DecisionError,
            r"2 candidates \(a, b\) cannot be replaced by 1",
        ),
        (lambda op: op.__delitem__(slice(None)), DecisionError, "at least one candidate"),
        (lambda op: op.__delitem__(7), IndexError, "out of range"),
    ],
)
def test_edits_that_are_refused_change_nothing(edit: Any, kind: type[Exception], message: str) -> None:
    net: Any = Net()
    before = list(net.op)
    with pytest.raises(kind, match=message):
        edit(net.op)
    assert list(net.op) == before
    assert net.op.prior == (0.5, 0.25, 0.25)
    sure: Any = LayerChoice([nn.ReLU(), nn.GELU()], prior=[1.0, 0.0], label="sure")
    with pytest.raises(DecisionError, match="only candidates of probability 0 are left"):
        del sure[0]


def test_edits_while_constructing_and_of_copies() -> None:
    with recording(), pytest.raises(DecisionError, match="cannot be edited while the model is constructed"):
        del LayerChoice([nn.ReLU(), nn.GELU()], label="op")[0]

    @model_wrapper
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = Repeat(nn.Sequential(LayerChoice([nn.ReLU(), nn.GELU()], label="act")), (1, 2), label="depth")
            self.other = LayerChoice([nn.ReLU(), nn.GELU()], label="act")

    net: Any = Twice()
    del net.body[0][0][0]
    with pytest.raises(DecisionError, match="'act' stands in the model in 2 copies, which were edited differently"):
        ModelSpace(net)
    del net.body[1][0][0]
    with pytest.raises(DecisionError, match="'act' stands for two different choices, one of '1' and one of '0', '1'"):
        ModelSpace(net).size()
    del net.other[0]
    assert ModelSpace(net).size() == 2


def test_choices_among_the_arguments_of_a_model() -> None:
    def part() -> Any:
        return LayerChoice([nn.ReLU(), nn.Tanh()], label="act")

    with recording():
        inside = nn.Sequential(nn.Linear(2, ValueChoice([2, 3], label="width")), part())
    space = ModelSpace(Net(part(), inside, nn.ReLU()))
    assert list(space.domains) == ["act", "width", "op"]
    decided: Any = space.instantiate({"act": "1", "width": 3, "op": "c"})
    assert isinstance(decided.parts[0], nn.Tanh)
    assert (decided.parts[1][0].out_features, type(decided.parts[1][1])) == (3, nn.Tanh)
    hidden = ModelSpace(Net(nn.Sequential(part())))
    with pytest.raises(DecisionError, match=r"LayerChoice at 'parts.0.0' stays open under every decision"):
        hidden.instantiate({"op": "c"})
    edited = part()
    del edited[0]
    with pytest.raises(DecisionError, match="was edited, but constructed outside of the model"):
        ModelSpace(Net(edited))


@model_wrapper
class Deep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        inner = LayerChoice({"x": nn.Linear(2, 2), "y": nn.Conv1d(2, 2, 1)}, label="inner")
        self.op = LayerChoice([nn.BatchNorm1d(2), inner], label="op")
        self.body = Repeat(
            lambda index: LayerChoice([nn.Linear(2, 2), nn.ReLU()], label=f"b{index}"), (0, 2), label="n"
        )
        self.cell = Cell({"fc": lambda *_: nn.Linear(2, 2), "id": nn.Identity()}, 2, label="cell")
        self.head = nn.Linear(2, 1)
        self.again = self.head
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("cache", torch.ones(1), persistent=False)


def decided(**changes: Any) -> Any:
    cell = {"cell/input_1_0": 0, "cell/op_1_0": "fc", "cell/input_2_0": 1, "cell/op_2_0": "id"}
    with fixed_arch({"inner": "x", "op": "1", "b0": "0", "b1": "0", "n": 1, **cell, **changes}, verbose=False):
        return Deep()


def test_weights_of_an_open_model_are_loaded_and_saved_by_its_names() -> None:
    supernet = Deep()
    nn.init.constant_(supernet.get_buffer("seen"), 7.0)
    for net in (decided(), copy.deepcopy(decided()), pickle.loads(pickle.dumps(decided()))):
        with original_state_dict_hooks(net):
            net.load_state_dict(supernet.state_dict())
            saved = net.state_dict()
        assert "op.1.x.weight" in saved
        assert "body.0.0.weight" in saved
        assert "cell.ops.0.0.fc.weight" in saved
        open_state = supernet.state_dict()
        assert all(torch.equal(tensor, open_state[name]) for name, tensor in saved.items())
        assert "op.weight" in net.state_dict()  # as before, outside of the block
        assert torch.equal(net.op.weight, supernet.op[1]["x"].weight)
        assert "op.1.x" in saved._metadata
        other = Deep()
        missing = other.load_state_dict(saved, strict=False)
        assert not missing.unexpected_keys
        assert torch.equal(other.state_dict()["op.1.x.weight"], saved["op.1.x.weight"])


def test_open_models_are_pickled_and_copied() -> None:
    net = Deep()
    for again in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert list(again.state_dict()) == list(net.state_dict())
        assert repr(again) == repr(net)
        assert again.op.is_open


def test_what_an_open_model_lacks_is_an_error() -> None:
    net = decided(op="0", n=0)
    state = Deep().state_dict()
    with original_state_dict_hooks(net):
        net.load_state_dict(state)
        with pytest.raises(RuntimeError, match=r'Missing key.*"op.weight"'):
            net.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith("op.0")})
        with pytest.raises(RuntimeError, match=r'Unexpected key.*"tail.weight"'):
            net.load_state_dict({**state, "tail.weight": torch.zeros(1)})
    inside = nn.Sequential(net)
    with original_state_dict_hooks(net):
        assert "0.op.0.weight" in inside.state_dict()
        inside.load_state_dict({f"0.{name}": tensor for name, tensor in state.items()})
