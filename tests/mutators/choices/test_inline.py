"""Inline choices, open and decided, and the spaces that they make."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from graphnas.errors import ConfigError, DecisionError, MutationError
from graphnas.ir.record import model_wrapper, recording
from graphnas.mutators import LayerChoice, ModelSpace, Mutator, Repeat, ValueChoice, fixed_arch


@model_wrapper
class Net(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        width: Any = ValueChoice([8, 16], label="width")
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.block = LayerChoice([nn.ReLU(), nn.Sequential(nn.Conv2d(width, width, 1), nn.Tanh())], label="block")
        self.tail = Repeat(lambda index: LayerChoice({"a": nn.ReLU(), "b": nn.GELU()}), (0, 2), label="depth")
        self.rate = ValueChoice([0.0, 0.5])
        self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.tail(self.block(self.stem(x))).mean((2, 3))
        out: torch.Tensor = self.head(nn.functional.dropout(x, self.rate(), self.training))
        return out


DECISIONS = {"width": 16, "block": "1", "depth": 1, "model_1": "b", "model_2": "a", "model_3": 0.5}
INPUTS = (torch.zeros(2, 3, 4, 4),)


class Swap(Mutator):
    def __init__(self, target: str = "ReLU", label: str | None = None) -> None:
        self.target = target  # without super().__init__, which must not matter

    def mutate(self, model: Any) -> None:
        if self.choice([False, True], label="edit"):
            model.update_module("stem", kernel_size=self.choice([5, 7], label="kernel"), padding="same")


class Broken(Mutator):
    def mutate(self, model: Any) -> None:
        raise ZeroDivisionError("oops")


class Misfit(Mutator):
    def mutate(self, model: Any) -> None:
        model.update_module("stem", out_channels=self.choice([5]))


def test_open_model_runs_first_candidates_and_numbers_labels() -> None:
    space = ModelSpace(Net())
    assert list(space.domains) == ["width", "block", "model_1", "model_2", "depth", "model_3"]
    assert space.size() == 2 * 2 * 3 * 2 * 2 * 2
    assert Net()(INPUTS[0]).shape == (2, 10)
    assert Net().stem.out_channels == 8


def test_fixed_arch_leaves_no_trace_of_choices(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    path.write_text(json.dumps({**DECISIONS, "@swap/edit": True}))
    with fixed_arch(path, verbose=False):
        net = Net()
    assert net.stem.out_channels == 16
    assert isinstance(net.tail, nn.Sequential)
    assert isinstance(net.tail[0], nn.GELU)
    assert len(net.tail) == 1
    assert "block.0.weight" in net.state_dict()
    assert net(INPUTS[0]).shape == (2, 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 12}, "decision 'width': 12 is not allowed; choose one of 8, 16"),
        ({"block": -1}, "decision 'block': -1 is not allowed"),
        ({"width": None}, "'width': None is not allowed"),
        ({"wdth": 8}, "unknown label 'wdth'.*'width'"),
    ],
)
def test_decisions_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DecisionError, match=message), fixed_arch({**DECISIONS, **change}):
        Net()
    with pytest.raises(DecisionError, match=message):
        ModelSpace(Net()).instantiate({**DECISIONS, **change})


def test_a_missing_label_is_named_with_what_is_allowed() -> None:
    with pytest.raises(DecisionError, match=r"label 'width' is missing.*one of 8, 16"), fixed_arch({"depth": 1}):
        Net()


def test_open_values_refuse_ordinary_python_and_decided_ones_do_not() -> None:
    open_value = ValueChoice([1, 2], label="v")
    for use in (bool, int, float, range, lambda v: f"{v}", lambda v: 1 in [v], list, len):
        with pytest.raises(DecisionError, match=r"is not decided yet.*fixed_arch"):
            use(open_value)
    with fixed_arch({"v": 2}):
        value: Any = ValueChoice([1, 2], label="v")
    assert type(value()) is int
    assert (value, value(), list(range(value)), f"{value}") == (2, 2, [0, 1], "2")
    assert pickle.loads(pickle.dumps(value))() == 2


def test_conflicts_and_bad_labels() -> None:
    @model_wrapper
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = ValueChoice([1, 2], label="x")
            self.b = ValueChoice([1, 3], label="x")

    with pytest.raises(DecisionError, match="'x' stands for two different choices, one of 1, 2 and one of 1, 3"):
        Twice()
    with pytest.raises(DecisionError, match="must not begin with '@'"):
        ValueChoice([1], label="@x")
    with pytest.raises(ConfigError, match="model_wrapper"):
        ModelSpace(nn.Linear(1, 1))


@pytest.mark.parametrize("seed", range(8))
def test_engines_agree(seed: int) -> None:
    from graphnas.codegen import to_module

    space = ModelSpace(Net(), example_inputs=INPUTS)
    decisions = space.sample(seed)
    model = space.freeze(decisions)
    one, other = space.instantiate(decisions).eval(), to_module(model).eval()
    other.load_state_dict(one.state_dict(), strict=True)
    assert list(one.state_dict()) == list(other.state_dict())
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(one(x), other(x))
    assert space.decisions_of(model) == decisions
    assert space.replay(model.history).fingerprint == model.fingerprint


def test_mutators_on_top_of_choices() -> None:
    import cloudpickle

    space = ModelSpace(Net(), [Swap(label="swap")], INPUTS)
    assert "@swap/edit" in space.domains
    assert space.size() is None
    decisions = {**DECISIONS, "@swap/edit": True, "@swap/kernel": 7}
    model = space.freeze(decisions)
    assert model["stem"].kwargs["kernel_size"] == 7  # type: ignore[union-attr]  # a leaf
    assert space.validate(decisions) == space.decisions_of(model)
    with pytest.raises(DecisionError, match=r"'@swap/kernel' is missing.*one of 5, 7"):
        space.freeze({**DECISIONS, "@swap/edit": True})
    with pytest.raises(DecisionError, match="unknown label '@swap/foo'"):
        space.freeze({**decisions, "@swap/foo": 1})
    for copy in (
        cloudpickle.loads(cloudpickle.dumps(space)),
        ModelSpace.from_json(json.loads(json.dumps(space.to_json()))),
    ):
        assert copy.freeze(decisions).fingerprint == model.fingerprint


def test_mutators_that_fail_are_named() -> None:
    with pytest.raises(MutationError, match=r"mutator 'Broken'.*ZeroDivisionError: oops"):
        ModelSpace(Net(), [Broken()], INPUTS).freeze(DECISIONS)
    with pytest.raises(MutationError, match="share the label 'Swap'"):
        ModelSpace(Net(), [Swap(), Swap()])
    with pytest.raises(ConfigError, match="example_inputs"):
        ModelSpace(Net()).freeze(DECISIONS)


def test_an_open_choice_that_nobody_sees_through_is_refused() -> None:
    width: Any = ValueChoice([8, 16], label="width")
    for argument in (width, width * 2):
        with pytest.raises(DecisionError, match=r"nn.Linear was given .*width.*graphnas.model_wrapper"):
            nn.Linear(4, argument)
    with pytest.raises(DecisionError, match=r"nn.Conv2d was given .*graphnas.recording"):
        nn.Conv2d(3, 8, kernel_size=width)
    with recording():
        assert nn.Linear(4, width).out_features == 8
