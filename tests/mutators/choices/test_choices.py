"""Layer, input and repeat choices: what they hold while open, what they are once decided, and what they refuse."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from graphnas.errors import DecisionError
from graphnas.ir.context import ContextStack, ModelNamespace, NoContextError, get_current_context
from graphnas.ir.record import model_wrapper
from graphnas.mutators import (
    Categorical,
    ChosenInputs,
    InputChoice,
    LayerChoice,
    ModelSpace,
    Mutable,
    Repeat,
    ValueChoice,
    fixed_arch,
    int_range,
)

A, B, C = torch.ones(1, 2), 2 * torch.ones(1, 2), 3 * torch.ones(1, 2)


def test_input_choice_takes_the_first_while_open_and_the_chosen_once_decided() -> None:
    choice: Any = InputChoice(3, label="in")
    assert torch.equal(choice([A, B, C]), A)
    assert torch.equal(choice(A, B, C), A)
    with fixed_arch({"in": 2}):
        chosen: Any = InputChoice(3, label="in")
    assert isinstance(chosen, ChosenInputs)
    assert chosen.chosen == [2]
    assert torch.equal(chosen([A, B, C]), C)


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        ("sum", A + C),
        ("mean", B),
        ("concat", torch.tensor([[1.0, 1.0, 3.0, 3.0]])),
        (lambda values: values[1] - values[0], B),
    ],
)
def test_reductions(reduction: Any, expected: torch.Tensor) -> None:
    with fixed_arch({"in": [2, 0]}):  # the order of the inputs counts, not that of the decision
        chosen: Any = InputChoice(3, 2, reduction, label="in")
    assert torch.equal(chosen([A, B, C]), expected)
    open_choice = InputChoice(3, 2, reduction, label="in")
    assert torch.equal(open_choice([A, C, B]), expected)


def test_inputs_of_several_kinds_and_by_name() -> None:
    assert ChosenInputs([0, 2], "none")([A, B, C]) == [A, C]
    assert ChosenInputs([], "sum")([A]) is None
    pairs = ChosenInputs([0, 1])([(A, {"x": B}), (B, {"x": C})])
    assert torch.equal(pairs[0], C)
    assert torch.equal(pairs[1]["x"], B + C)
    with fixed_arch({"in": ["up", "down"]}):
        chosen: Any = InputChoice(["up", "side", "down"], 2, label="in")
    assert torch.equal(chosen({"up": A, "side": B, "down": C}), A + C)
    assert torch.equal(chosen([A, B, C]), A + C)
    with fixed_arch({"in": "side"}):
        assert torch.equal(InputChoice(["up", "side"], label="in")([A, B]), B)


@pytest.mark.parametrize(
    ("n_candidates", "n_chosen", "size"), [(4, 1, 4), (4, 2, 6), (3, None, 7), (3, (0, 3), 8), (3, 3, 1), (2, 0, 1)]
)
def test_inputs_are_chosen_without_replacement(n_candidates: int, n_chosen: Any, size: int) -> None:
    @model_wrapper
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pick = InputChoice(n_candidates, n_chosen, label="in")

    assert ModelSpace(Net()).size() == size
    with pytest.raises(DecisionError, match=r"decision 'in': .* is not allowed"), fixed_arch({"in": [0, 0]}):
        Net()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_candidates": 0}, "n_candidates must be a number from 1 or a list of names, got 0"),
        ({"n_candidates": [1, 2]}, "n_candidates must be"),
        ({"n_candidates": 2, "n_chosen": 3}, "of 2 candidates, 3 cannot be chosen"),
        ({"n_candidates": 2, "reduction": "max"}, "reduction must be 'sum', .* got 'max'"),
        ({"n_candidates": 2, "prior": [1.0]}, "prior has 1 entries for 2 candidates"),
        ({"n_candidates": ["a", "a"]}, "'a' is given twice"),
    ],
)
def test_bad_arguments_of_input_choices(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DecisionError, match=message):
        InputChoice(**arguments, label="in")


def test_wrong_number_of_inputs() -> None:
    with pytest.raises(DecisionError, match=r"inputs \[2\] were chosen, but there are 2"):
        ChosenInputs(2)([A, B])


@pytest.mark.parametrize("blocks", [lambda _: nn.Linear(2, 2), nn.Linear(2, 2), [nn.Linear(2, 2) for _ in range(6)]])
def test_repeat_by_an_expression(blocks: Any) -> None:
    half = ValueChoice([1, 0, 3], label="half")
    repeat: Any = Repeat(blocks, half * 2)
    assert (len(repeat), repeat.min_depth, repeat.max_depth, repeat.depths) == (6, 0, 6, (2, 0, 6))
    assert repeat.depth_choice.labels == ("half",)
    assert repeat(A).shape == (1, 2)
    with fixed_arch({"half": 0}):
        assert len(Repeat(blocks, ValueChoice([1, 0, 3], label="half") * 2)) == 0
    with fixed_arch({"half": 3}):
        decided = Repeat(blocks, ValueChoice([1, 0, 3], label="half") * 2)
    assert isinstance(decided, nn.Sequential)
    assert list(decided.state_dict()) == list(repeat.state_dict())


def test_labels_in_blocks_beyond_the_depth_are_known() -> None:
    def block(index: int) -> nn.Module:
        return LayerChoice([nn.ReLU(), nn.GELU()], label=f"block{index}")

    decisions = {"depth": 1, "block0": "1", "block1": "0", "block2": "0"}
    for depth in (lambda: ValueChoice(int_range(1, 3), label="depth"), lambda: (1, 3)):
        with fixed_arch(decisions):
            label = None if depth() != (1, 3) else "depth"
            (only,) = Repeat(block, depth(), label=label)
        assert isinstance(only, nn.GELU)


@pytest.mark.parametrize(
    ("depth", "label", "message"),
    [
        ((3, 1), None, "0 <= least <= greatest, .*got \\(3, 1\\)"),
        ((-1, 1), None, "0 <= least"),
        (-1, None, "a whole number from 0, got -1"),
        (True, None, "depth must be a number"),
        (ValueChoice([1.5], label="d"), None, r"got 1.5 of ValueChoice\(\[1.5\]"),
        (ValueChoice([1], label="d"), "depth", "give them to the ValueChoice"),
    ],
)
def test_bad_depths(depth: Any, label: str | None, message: str) -> None:
    with pytest.raises(DecisionError, match=message):
        Repeat(nn.ReLU(), depth, label=label)


@model_wrapper
class Conditional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice({"conv": nn.Conv1d(2, 2, 1), "pool": nn.AvgPool1d(1)}, label="op")
        self.bias = ValueChoice([0.0, 1.0], label="bias", when={"op": "conv"})
        depth = ValueChoice([1, 2, 3], label="depth")
        self.act = LayerChoice([nn.ReLU(), nn.GELU()], label="act", when=depth > 1)
        self.skip = InputChoice(2, label="skip", when=(depth > 1) & depth.is_(1, 3))
        self.tail = Repeat(lambda _: nn.Tanh(), (0, 1), label="tail", when={"act": 1})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.tail(self.skip([self.act(self.op(x) + self.bias()), x]))
        return out


def test_conditions_decide_which_choices_come_up() -> None:
    points: list[dict[str, Any]] = [
        {"op": "pool", "depth": 1},
        {"op": "conv", "bias": 1.0, "depth": 1},
        {"op": "pool", "depth": 2, "act": "0"},
        {"op": "pool", "depth": 2, "act": "1", "tail": 1},
        {"op": "pool", "depth": 3, "act": "1", "skip": 1, "tail": 0},
    ]
    for point in points:
        with fixed_arch(point):
            net: Any = Conditional()
        assert net.bias() == point.get("bias", 0.0)
        assert isinstance(net.act, nn.GELU) == (point.get("act") == "1")
        assert (net.skip.chosen, len(net.tail)) == ([point.get("skip", 0)], point.get("tail", 0))
    with (
        pytest.raises(DecisionError, match="'act' is decided, but comes up only when depth > 1"),
        fixed_arch({"op": "pool", "depth": 1, "act": "1"}),
    ):
        Conditional()


@pytest.mark.parametrize(
    ("when", "message"),
    [
        (True, "expected an expression of choices"),
        (ValueChoice([1, 2], label="a") + 1, "is 2, neither true nor false; compare it, as in `depth > 2`"),
        ({}, "expected labels"),
    ],
)
def test_bad_conditions(when: Any, message: str) -> None:
    with pytest.raises(DecisionError, match=message):
        ValueChoice([1, 2], label="x", when=when)


def test_own_choices_by_subclassing_mutable() -> None:
    class Activation(Mutable):
        def __init__(self, label: str | None = None) -> None:
            super().__init__()
            self.label = label or ModelNamespace.next_label()

        @classmethod
        def create_fixed_module(cls, label: str | None = None) -> Any:
            domain = Categorical(label or ModelNamespace.next_label(), ("ReLU", "GELU"))
            return getattr(nn, cls.decide(domain))()

    @model_wrapper
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = Activation(), Activation("two")

    net = Net()
    assert (net.one.label, net.two.label) == ("model_1", "two")
    assert list(ModelSpace(net).domains) == ["model_1", "two"]
    assert isinstance(ModelSpace(net).instantiate({"model_1": "GELU", "two": "ReLU"}).one, nn.GELU)
    assert isinstance(copy.deepcopy(net.one), Activation)


def test_contexts_can_be_asked_and_given_by_hand() -> None:
    with pytest.raises(NoContextError, match="no 'fixed' context"):
        get_current_context("fixed")
    with fixed_arch({"act": "1"}):
        assert dict(get_current_context("fixed")) == {"act": "1"}
        LayerChoice([nn.ReLU(), nn.GELU()], label="act")
    with ContextStack("fixed", {"act": "1"}):
        assert isinstance(LayerChoice([nn.ReLU(), nn.GELU()], label="act"), nn.GELU)
    with pytest.raises(NoContextError, match="model_wrapper"):
        ModelNamespace.next_label()
