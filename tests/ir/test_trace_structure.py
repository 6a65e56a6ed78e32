"""Nested inputs and outputs, optional and keyword-only arguments, recursion."""

from __future__ import annotations

import math
import re
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import graphnas
from graphnas.codegen import to_module
from graphnas.errors import TraceError
from graphnas.ir.report import Argument
from graphnas.ir.trace import trace
from graphnas.ir.verify import verify
from tests.codegen.roundtrip import roundtrip


@dataclass
class Features:
    x: Tensor
    scale: int = 1
    skip: Any = None


class Point(NamedTuple):
    x: Tensor
    y: Tensor


class Double(nn.Module):
    def forward(self, features: Features) -> Features:
        return Features(features.x * 2, features.scale + 1, [features.x, {"point": Point(features.x, features.x)}])


class Records(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Double(), Double()

    def forward(self, x: Tensor) -> Tensor:
        features = self.second(self.first(Features(x, skip=x)))
        point = features.skip[1]["point"]
        return features.x * features.scale + features.skip[0] - point.y * point[0]  # type: ignore[no-any-return]


class Nested(nn.Module):
    def forward(self, inputs: dict[str, Any], pair: list[Tensor]) -> dict[str, Any]:
        return {"sum": inputs["a"]["b"] + pair[1], "none": None, "rest": [pair[0], (inputs["c"], 3)], "name": "n"}


class TakesRecord(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.twice = Double()

    def forward(self, features: Features, point: Point) -> Tensor:
        return self.twice(features).x + features.skip.x * point.y  # type: ignore[no-any-return]  # modules are not typed


class Options(nn.Module):
    def forward(
        self, x: Tensor, mask: Tensor | None = None, *, scale: Tensor | None = None, mode: str = "plus"
    ) -> Tensor:
        x = x if mask is None else x * mask
        x = x if scale is None else x * scale
        return x if mode == "plus" else -x


class PassesOptions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.options = Options()

    def forward(self, x: Tensor) -> Tensor:
        return self.options(x, scale=x) + self.options(x, x, scale=x + 1, mode="minus")  # type: ignore[no-any-return]


class Variadic(nn.Module):
    def forward(self, *parts: Tensor, **named: Tensor) -> Tensor:
        return torch.cat(parts, 1) + named["a"] * named["b"]


class Recursive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor, depth: int = 2) -> Tensor:
        return self(self.linear(x), depth - 1) if depth else x


def x() -> Tensor:
    return torch.randn(2, 4)


@pytest.mark.parametrize(
    ("net", "inputs"),
    [
        (Records, (x(),)),
        (Nested, ({"a": {"b": x()}, "c": x()}, [x(), x()])),
        (TakesRecord, (Features(x(), 1, Features(x())), Point(x(), x()))),
        (PassesOptions, (x(),)),
        (Recursive, (x(),)),
        (lambda: nn.Sequential(Recursive(), nn.ReLU()), (x(),)),
    ],
    ids=["records", "nested", "record as input", "options", "recursion", "recursion below"],
)
def test_nested_values_and_options_round_trip(net: Any, inputs: tuple[Any, ...]) -> None:
    roundtrip(net, *inputs)
    with graphnas.recording():
        model = trace(net(), inputs)
    verify(model)


def test_variadic_inputs_are_numbered() -> None:
    roundtrip(Variadic, torch.randn(2, 1), torch.randn(2, 3), a=torch.randn(4), b=torch.randn(4))


def test_keyword_only_inputs_stay_so() -> None:
    source = roundtrip(Options, torch.randn(2, 4), scale=torch.randn(4))
    assert "def forward(self, x: Tensor, *, scale: Tensor)" in source


def test_arguments_without_tensors_are_fixed_and_reported() -> None:
    model = trace(Options(), (torch.randn(2, 4), None), {"mode": "minus"})
    assert model.report is not None
    [options] = model.report.classes
    assert options.arguments == (
        Argument("mask", "None", given=True),
        Argument("scale", "None", given=False),
        Argument("mode", "'minus'", given=True),
    )
    with pytest.raises(TypeError, match="unexpected keyword argument 'mode'"):
        to_module(model)(torch.randn(2, 4), mode="plus")


def test_classes_of_outputs_become_plain_containers_and_are_reported() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return OrderedDict(features=Features(x * 2), points=[Point(x + 1, x)])

    model = trace(Net(), torch.ones(2))
    assert model.report is not None
    assert [note for note in model.report.notes if "plain" in note] == [
        "where the model returns OrderedDict, the source returns a plain dict",
        "where the model returns Features, the source returns a plain dict",
        "where the model returns Point, the source returns a plain tuple",
    ]
    result = to_module(model)(torch.ones(2))
    assert list(result) == ["features", "points"]
    assert torch.equal(result["features"]["x"], torch.full((2,), 2.0))
    assert result["features"]["scale"] == 1
    assert type(result["points"][0]) is tuple


class Row:
    """What a user keeps per layer: slots, and things that are no tensors."""

    __slots__ = ("kind", "unset", "values")

    def __init__(self, values: Any) -> None:
        self.kind, self.values = dict, values


class Store:
    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.named: dict[str, Any] = {}
        self.limit, self.owner, self.rule = 3, None, len


class Fills(nn.Module):
    """Hands its values out by an object that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor, store: Store) -> Tensor:
        x = self.linear(x)
        store.rows.append(Row(x))
        return torch.relu(x)


class Remembers(nn.Module):
    """Makes such an object, has it filled, and returns it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Fills(), Fills()])

    def forward(self, x: Tensor) -> Any:
        store = Store()
        for layer in self.layers:
            x = layer(x, store)
        store.named["last"] = (x, 3)
        return Features(x, skip=store)


class ReadsStore(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = Remembers()
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Any:
        features = self.body(x)
        first = features.skip.rows[0]
        return {"logits": self.head(features.x) + first.values.sum(), "store": features.skip, "row": (first, None)}


def _only_tensors(value: Any) -> Any:
    """Return a result as its source returns it, written down here a second time."""
    if isinstance(value, Store):
        return {"named": value.named, "rows": [{"values": row.values} for row in value.rows]}
    return {"values": value.values} if isinstance(value, Row) else value


def test_objects_in_outputs_become_dicts_of_their_attributes_with_tensors() -> None:
    net, x = ReadsStore(), torch.randn(2, 4)
    model = trace(net, x)
    verify(model)
    made = to_module(model)
    made.load_state_dict(net.state_dict())
    expected, result = net(x), made(x)
    assert list(result) == ["logits", "store", "row"]
    assert list(result["store"]) == ["named", "rows"]
    assert [list(row) for row in result["store"]["rows"]] == [["values"], ["values"]]
    torch.testing.assert_close(result["logits"], expected["logits"], rtol=0, atol=0)
    torch.testing.assert_close(result["store"], _only_tensors(expected["store"]), rtol=0, atol=0)
    assert torch.equal(result["row"][0]["values"], expected["row"][0].values)
    assert model.report is not None
    assert [note for note in model.report.notes if "plain" in note] == [
        f"where the model returns {name}, the source returns a plain dict of its attributes that hold tensors"
        for name in ("Store", "Row")
    ]


class Holder:
    def __init__(self, **held: Any) -> None:
        self.__dict__ |= held


class Adder(Holder):
    def __call__(self, x: Tensor) -> Tensor:
        return x + self.shift  # type: ignore[attr-defined,no-any-return]  # set by name


def _holds_itself(x: Tensor) -> Holder:
    holder = Holder(x=x)
    holder.parts = [holder]  # type: ignore[attr-defined]  # set by name
    return holder


@pytest.mark.parametrize(
    ("make", "refused"),
    [
        (lambda x: Holder(x=x, count=3, seen={x}), "builtins.set"),
        (lambda x: Holder(x=x, queue=deque([x])), "collections.deque"),
        (lambda x: Holder(x=x, get=lambda: x), "builtins.function"),
        (lambda x: Holder(x=x, add=Adder(shift=x)), "test_trace_structure.Adder"),
        (lambda x: Adder(shift=x), "test_trace_structure.Adder"),
        (lambda x: Holder(count=len(x)), "test_trace_structure.Holder"),
        (_holds_itself, "test_trace_structure.Holder"),
    ],
    ids=["set", "deque", "closure", "callable inside", "callable", "no tensor", "cycle"],
)
def test_objects_for_which_no_dict_can_stand_are_refused(make: Callable[[Tensor], Any], refused: str) -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return x * 2, make(x)

    with pytest.raises(TraceError, match=rf"the root Net uses an argument of type .*{re.escape(refused)}"):
        trace(Net(), torch.ones(2))


def test_modules_in_attributes_of_outputs_are_not_looked_into() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Any:
            return Holder(y=self.linear(x), net=self, kind=Holder, weight=self.linear.weight)

    assert list(to_module(trace(Net(), torch.ones(2)))(torch.ones(2))) == ["weight", "y"]


def test_a_record_as_argument_of_a_leaf_is_refused() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice = Double()

        def forward(self, x: Tensor) -> Tensor:
            return self.twice(Features(x)).x  # type: ignore[no-any-return]  # modules are not typed

    with pytest.raises(TraceError, match=r"the root Net uses a .*Features as an argument of a leaf"):
        trace(Net(), torch.ones(2), is_leaf=lambda module, path: path == "twice")


def test_endless_recursion_is_named() -> None:
    class Endless(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return self(x)  # type: ignore[no-any-return]  # modules are not typed

    with pytest.raises(TraceError, match=r"the root Endless failed while being traced: RecursionError"):
        trace(Endless(), torch.ones(2))


def test_functions_of_numpy_take_sizes() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / float(np.sqrt(x.shape[-1]))

    assert torch.equal(to_module(trace(Net(), torch.ones(2, 3)))(torch.ones(2, 3)), torch.ones(2, 3) / math.sqrt(3))


def test_switching_gradients_by_mode_gives_two_graphs() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            with torch.set_grad_enabled(self.training):
                return self.linear(x)  # type: ignore[no-any-return]  # modules are not typed

    roundtrip(Net, torch.randn(2, 4))


def test_an_input_may_be_called_self() -> None:
    class Net(nn.Module):
        def forward(this, self: Tensor) -> Tensor:  # noqa: N805  # the case
            return self * 2

    roundtrip(Net, torch.ones(2))
