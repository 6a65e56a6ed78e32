"""What a second trace would be told of a generated class is what it is told."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import graphnas
from graphnas.codegen import syntax
from graphnas.codegen.settings import Setting, settings_of_class, settings_of_group
from graphnas.codegen.syntax import Parameter, Tree
from graphnas.ir.module import Definition


class Conv(nn.Conv1d):
    """Its own `stride` is hidden by the attribute of torch."""

    def __init__(self, width: int, stride: int = 1, scale: float = 0.125, pair: tuple[int, int] = (2, 2)) -> None:
        super().__init__(8, width, 1, stride)
        self.scale = scale
        self.pair = pair

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Conv(4), Conv(6, 2, 32**-0.5, (3, 3)), Conv(5, 1, 0.5, (4, 4))])

    def forward(self, x: Tensor) -> list[Tensor]:
        return [block(x) for block in self.blocks]


def members() -> list[Definition]:
    with graphnas.recording():
        net = Net()
    model = graphnas.trace(net, (torch.randn(2, 8, 12),))
    found = [item for _, item in model.root.walk() if isinstance(item, Definition) and item.class_name == "Conv"]
    assert len(found) == 3
    return found


def telling(settings: list[Setting]) -> dict[str, list[dict[int, Tree]]]:
    found: dict[str, list[dict[int, Tree]]] = {}
    for item in settings:
        if item.is_telling:
            found.setdefault(item.name, []).append(dict(item.values))
    return found


def test_settings_of_a_class_are_those_of_a_trace() -> None:
    definitions = members()
    parameters = [
        Parameter("width", None, None),
        Parameter("stride", None, syntax.integer(1)),
        Parameter("scale", None, syntax.literal("0.125")),
        Parameter("pair", None, syntax.tuple_of([syntax.integer(2)] * 2)),
    ]
    columns = {
        "width": dict(enumerate(map(syntax.integer, (4, 6, 5)))),
        "stride": {1: syntax.integer(2)},
        "scale": {1: syntax.literal(repr(32**-0.5)), 2: syntax.literal("0.5")},
        "pair": {n: syntax.tuple_of([syntax.integer(n + 2)] * 2) for n in (1, 2)},
    }
    told = settings_of_class(parameters, columns, dict(enumerate(definitions)))
    assert telling(told) == telling(settings_of_group(definitions))
    assert telling(told)["scale"][0][1].text == "32**-0.5"


def test_what_no_trace_would_find_is_no_setting() -> None:
    definitions = dict(enumerate(members()[:2]))
    parameters = [Parameter(name, None, None) for name in ("dtype", "layer", "act")]
    columns = {
        "dtype": {0: syntax.reference("torch:float32"), 1: syntax.reference("torch:float16")},
        "layer": {0: syntax.reference(":0"), 1: syntax.reference("torch.nn:ReLU")},
        "act": {0: syntax.reference("torch.nn:GELU"), 1: syntax.reference("torch.nn:ReLU")},
    }
    told = {item.name for item in settings_of_class(parameters, columns, definitions)}
    assert {"dtype", "layer", "act"} & told == {"act"}
