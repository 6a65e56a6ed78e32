"""The graph engine: deciding by rewrites gives what construction and trace give, or is not done."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphnas.codegen import to_module
from graphnas.errors import MutationError
from graphnas.ir.decide import OpenModel
from graphnas.ir.model import Model
from graphnas.ir.module import ModuleSpec
from graphnas.ir.record import model_wrapper
from graphnas.ir.trace import trace
from graphnas.ir.verify import verified
from graphnas.mutators import Decisions, LayerChoice, ModelSpace, Repeat, ValueChoice
from graphnas.mutators.choices.fixed import Fixation

IMAGE = (torch.zeros(2, 4, 6, 6),)


def block(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True))


class Scaled(nn.Module):
    """A candidate with a parameter, an optional argument and two modes."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4, 1, 1))
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor, factor: float = 2.0) -> Tensor:
        if self.training:
            x = self.drop(x)
        return x * self.scale * factor


@model_wrapper
class Nested(nn.Module):
    """Choices in choices, in repeats, in containers, called twice and initialised from outside."""

    def __init__(self) -> None:
        super().__init__()
        inner = LayerChoice({"tanh": nn.Tanh(), "block": block()}, label="inner")
        self.outer = LayerChoice([nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), inner), nn.Identity()], label="outer")
        self.body = Repeat(lambda index: LayerChoice([block(), Scaled()], label=f"body{index}"), (0, 2), label="depth")
        self.twice = LayerChoice([nn.ReLU(), Scaled()], label="twice")
        self.layers = nn.ModuleList([LayerChoice([nn.GELU(), nn.Conv2d(4, 4, 1)], label="listed"), nn.Tanh()])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.body(self.outer(x)))
        for layer in self.layers:
            x = layer(x)
        out: Tensor = self.twice(x)
        return out


@model_wrapper
class Related(nn.Module):
    """Candidates that share a module with each other, and a parameter with the rest."""

    def __init__(self) -> None:
        super().__init__()
        conv = nn.Conv2d(4, 4, 1)
        self.choice = LayerChoice([nn.Sequential(conv, nn.ReLU()), nn.Sequential(conv, nn.Tanh())], label="choice")
        self.head = nn.Conv2d(4, 4, 1)
        candidates = [nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)]
        for candidate in candidates:
            candidate.weight = self.head.weight
        self.tied = LayerChoice(candidates, label="tied")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.tied(self.head(self.choice(x)))
        return out


@model_wrapper
class Shared(nn.Module):
    """A candidate that shares a module with the rest."""

    def __init__(self) -> None:
        super().__init__()
        conv = nn.Conv2d(4, 4, 1)
        self.choice = LayerChoice([nn.Sequential(conv, nn.ReLU()), nn.Sequential(conv, nn.Tanh())], label="choice")
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(self.choice(x))
        return out


@model_wrapper
class Mixed(nn.Module):
    """A value that goes through the constructor, beside structure."""

    def __init__(self) -> None:
        super().__init__()
        width: Any = ValueChoice([4, 8], label="width")
        self.stem = nn.Conv2d(4, width, 1)
        self.act = LayerChoice([nn.ReLU(), nn.GELU()], label="act")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.stem(x))
        return out


@model_wrapper
class Looking(nn.Module):
    """A constructor that looks at what was chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice([nn.Conv2d(4, 4, 1), nn.Identity()], label="op")
        self.norm = nn.Identity() if isinstance(self.op, nn.Identity) else nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.op(x))
        return out


@model_wrapper
class Iterating(nn.Module):
    """A forward that goes through the blocks itself."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Repeat(lambda _: block(), (1, 3), label="depth")

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.body:
            x = layer(x)
        return x


@model_wrapper
class Branching(nn.Module):
    """A forward that goes another way for other shapes, and candidates that give them."""

    def __init__(self) -> None:
        super().__init__()
        self.op = LayerChoice([nn.Conv2d(4, 4, 1), nn.Conv2d(4, 8, 1)], label="op")
        self.wide = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.op(x)
        if x.shape[1] > 4:
            x = self.wide(x)
        return x


@model_wrapper
class Misfit(nn.Module):
    """A candidate that does not fit what comes into it while another one is chosen before it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = LayerChoice([nn.Conv2d(4, 4, 1), nn.Conv2d(4, 8, 1)], label="first")
        self.second = LayerChoice([nn.ReLU(), nn.Conv2d(8, 4, 1)], label="second")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x))
        return out


def retraced(kind: type[nn.Module], decisions: Decisions) -> Model:
    construction = ModelSpace(kind(), example_inputs=IMAGE)._inline.construction
    assert construction is not None
    return verified(trace(construction.run_aside(Fixation(decisions)), IMAGE))


def engine(space: ModelSpace) -> Any:
    return space._inline._engine


@pytest.mark.parametrize("kind", [Nested, Related, Mixed])
def test_a_rewrite_is_the_model_that_construction_and_trace_give(kind: type[nn.Module]) -> None:
    space = ModelSpace(kind(), example_inputs=IMAGE)
    points = list(itertools.islice(space.grid(), 0, None, 9 if kind is Nested else 1))
    for decisions in points * 2:
        model = space.freeze(decisions)
        assert model == retraced(kind, decisions)
        assert space.decisions_of(model) == decisions
    assert engine(space).rewrites


@pytest.mark.parametrize("kind", [Looking, Iterating, Misfit, Shared])
def test_where_code_looks_at_open_choices_nothing_is_rewritten(kind: type[nn.Module]) -> None:
    space = ModelSpace(kind(), example_inputs=IMAGE)
    for decisions in space.grid():
        if kind is Misfit and (decisions["first"], decisions["second"]) not in (("0", "0"), ("1", "1"), ("1", "0")):
            continue
        assert space.freeze(decisions) == retraced(kind, decisions)
    assert not engine(space).rewrites


def test_where_shapes_lead_another_way_only_that_decision_is_traced_anew() -> None:
    space = ModelSpace(Branching(), example_inputs=IMAGE)
    for decisions in space.grid():
        assert space.freeze(decisions) == retraced(Branching, decisions)
    assert engine(space).rewrites


def test_after_its_checks_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    space = ModelSpace(Nested(), example_inputs=IMAGE)
    points = list(space.grid())
    for decisions in points[::9]:
        space.freeze(decisions)
    count = engine(space)._supers.get(str({})).rewrites
    assert count & (count + 1), "the next one would be checked"

    def refuse(*_: object) -> None:
        raise AssertionError("traced")

    monkeypatch.setattr(space._inline, "_trace", refuse)
    monkeypatch.setattr(engine(space), "_trace", refuse)
    assert space.freeze(points[1]).root.children["layers"] is not None


def test_the_initialisation_follows_its_parameters() -> None:
    space = ModelSpace(Nested(), example_inputs=IMAGE)
    model = space.freeze(
        {"inner": "block", "outer": "0", "body0": "0", "body1": "0", "depth": 1, "twice": "0", "listed": "0"}
    )
    reads = [node.operation.target for node in model.root.init.nodes if node.operation.kind == "attribute"]
    assert reads == ["outer.0.weight", "outer.1.0.weight", "body.0.0.weight"]


def test_parts_of_open_choices_cannot_be_used_by_themselves() -> None:
    construction = ModelSpace(Iterating())._inline.construction
    assert construction is not None
    opened = trace(construction.run_aside(Fixation({}, ("value",))), IMAGE)
    with pytest.raises(MutationError, match=r"Iterating uses body\.0, which is a part of an open choice; its open"):
        OpenModel(opened.root)


def test_what_is_no_candidate_is_refused() -> None:
    construction = ModelSpace(Mixed())._inline.construction
    assert construction is not None
    opened = OpenModel(trace(construction.run_aside(Fixation({"width": 4}, ("value",))), IMAGE).root)
    with pytest.raises(MutationError, match="has a choice 'act' with 0, 1, and none '2'"):
        opened.decide({"act": "2"})


@model_wrapper
class Lazy(nn.Module):
    """Layers that take their shapes from the first call, among them a candidate."""

    def __init__(self) -> None:
        super().__init__()
        width: Any = ValueChoice([8, 16], label="width")
        self.stem = nn.LazyConv2d(width, 3, padding=1)
        self.norm = nn.LazyBatchNorm2d()
        self.act = LayerChoice([nn.LazyConv2d(4, 1), nn.ReLU()], label="act")
        self.head = nn.LazyLinear(10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.act(self.norm(self.stem(x))).mean((2, 3)))
        return out


def test_lazy_modules_get_their_shapes_from_the_example_inputs() -> None:
    space = ModelSpace(Lazy(), example_inputs=IMAGE)
    for decisions in space.grid():
        width = decisions["width"]
        model = space.freeze(decisions)
        head = model["head"]
        assert isinstance(head, ModuleSpec)
        assert (head.type, head.args) == ("Linear", (4 if decisions["act"] == "0" else width, 10))
        module, decided = to_module(model).eval(), space.instantiate(decisions).eval()
        decided.load_state_dict(module.state_dict())
        assert int(decided.state_dict()["norm.num_batches_tracked"]) == 0
        x = torch.randn(3, 4, 5, 5)
        assert torch.equal(decided(x), module(x))
