"""Loops that a trace unrolled, and that source has again: they compute the same, in the same order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import graphnas
from tests.codegen.roundtrip import initial_state, roundtrip

X = torch.randn(2, 8, 8)


def linears(count: int) -> nn.ModuleList:
    return nn.ModuleList([nn.Linear(8, 8) for _ in range(count)])


class Several(nn.Module):
    """Steps of several containers."""

    def __init__(self) -> None:
        super().__init__()
        self.convs, self.norms = linears(4), nn.ModuleList([nn.LayerNorm(8) for _ in range(4)])

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = conv(x)
            x = norm(x).relu()
        return x


class Part(nn.Module):
    """A slice of a container."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = linears(5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks[0](x).tanh()
        for block in self.blocks[1:]:
            x = block(x)
            x = x.relu() + 1
        return x


class Outputs(nn.Sequential):
    """A slice of its own children; slicing it as it is would construct the class anew."""

    def __init__(self) -> None:
        super().__init__(*linears(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for block in list(self)[:3]:
            x = block(x)
        return self[3](x), x


class Numbered(nn.Module):
    """A number that changes from turn to turn."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = linears(4)

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.blocks):
            x = block(x) * i
            x = F.dropout(x, 0.5, self.training)
        return x


class Skips(nn.Module):
    """Values that are kept on the way down and taken in reverse on the way up."""

    def __init__(self) -> None:
        super().__init__()
        self.downs, self.ups = linears(4), linears(4)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for down in self.downs:
            skips.append(x)
            x = down(x)
            x = x.relu()
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            x = torch.cat([x, skip], dim=1)
            x = up(x)
        return x


class Features(nn.Module):
    """Values that are returned as a list."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = linears(4)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [head(x).relu() for head in self.heads]


class Nested(nn.Module):
    """A loop in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([linears(3) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            for block in stage:  # type: ignore[attr-defined]  # a ModuleList
                x = block(x)
                x = x.relu()
        return x


class Dense(nn.Module):
    """Each layer takes what all before it gave."""

    def __init__(self) -> None:
        super().__init__()
        for index in range(4):
            self.add_module(f"layer{index + 1}", DenseLayer(8 * (index + 1)))

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.children():
            new = layer(features)
            features.append(new)
        return torch.cat(features, dim=-1)


class DenseLayer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 8)

    def forward(self, features: list[Tensor]) -> Tensor:
        return self.linear(torch.cat(features, dim=-1))  # type: ignore[no-any-return]  # modules are not typed


DENSE = """features = [x]
        for layer in self.children():
            features.append(layer(features))
        return torch.cat(features, dim=-1)"""


class Pyramid(nn.Module):
    """What each turn computes has a name of its own, and is an item of a list in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.laterals = linears(4)

    def forward(self, x: Tensor) -> Tensor:
        p2 = self.laterals[0](x)
        p3 = self.laterals[1](x)
        p4 = self.laterals[2](x)
        p5 = self.laterals[3](x)
        return torch.stack([p2, p3, p4, p5])


class Collected(nn.Module):
    """Turns of several statements that leave something in a list, from the second on of what the first one left."""

    def __init__(self) -> None:
        super().__init__()
        self.ops = linears(8)

    def forward(self, x: Tensor) -> Tensor:
        states = [x, x.relu()]
        for index in range(4):
            left = self.ops[2 * index](states[min(index, 2)])
            right = self.ops[2 * index + 1](states[0])
            new = left + right
            states.append(new)
        return torch.cat(states[2:])


class Filled(nn.Module):
    """A list that is filled in two steps each turn, and read afterwards item by item."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = linears(3)

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(torch.tanh(x * 2).relu())
        return maps[0] * maps[1] + maps[2] * maps[0]


class Paused(nn.Module):
    """Values that are kept beyond a block without gradients, and into one."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = linears(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks[0](x)
        before = x
        with torch.no_grad():
            x = self.blocks[1](x)
            within = x
            x = self.blocks[2](x)
        x = self.blocks[3](x)
        return torch.cat([x, within, before, within * x, before * x])


CASES: list[tuple[Callable[[], nn.Module], list[str]]] = [
    (Several, ["for conv, norm in zip(self.convs, self.norms):"]),
    (Part, ["for block in self.blocks[1:]:"]),
    (Outputs, ["in list(self)[:3]:"]),
    (Numbered, ["for i, block in enumerate(self.blocks):"]),
    (Skips, ["xs.append(x)", "for up, skip in zip(self.ups, reversed(xs)):"]),
    (Features, ["return [head(x).relu() for head in self.heads]"]),
    (Dense, [DENSE, "DenseLayer(16)"]),
    (Pyramid, ["return torch.stack([lateral(x) for lateral in self.laterals])"]),
    (Collected, ["outputs.append(left + right)\n        return torch.cat([new1, outputs[0]"]),
    (Filled, ["maps.append(torch.tanh(x * 2).relu())"]),
    (Paused, ["            x2 = x\n            x = self.blocks[2](x)\n        x = self.blocks[3](x)\n"]),
    (Nested, ["for stage in self.stages:\n            for block in stage:\n                x = block(x)"]),
]


@pytest.mark.parametrize(("build", "expected"), CASES)
def test_loops_are_found(build: Callable[[], nn.Module], expected: list[str]) -> None:
    source = roundtrip(build, X)
    for text in expected:
        assert text in source


class Initialised(nn.Module):
    """A constructor that treats each block in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = linears(4)
        for index, weight in enumerate(self.blocks.parameters()):
            nn.init.normal_(weight, std=0.1 / (1 + index))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def test_initialisation_is_a_loop() -> None:
    assert "for block, value, value2 in zip(self.blocks, (0.1, 0.0333" in roundtrip(Initialised, X)
    assert initial_state(Initialised, X)


class Reordered(nn.Module):
    """Turns that no slice of the container gives."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = linears(4)

    def forward(self, x: Tensor) -> Tensor:
        for index in (2, 0, 3, 1):
            x = self.blocks[index](x).relu()
            x = x.tanh()
        return x


def test_order_of_turns_is_kept() -> None:
    assert "for " not in roundtrip(Reordered, X).rpartition("def forward")[2]


class Changed(nn.Module):
    """A kept value that is changed in place after its variable went on."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = linears(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks[0](x)
        kept = x
        x = self.blocks[1](x)
        kept += 1
        x = x.relu()
        return torch.cat([x, kept, kept * x])


def test_a_value_that_is_changed_later_stays_a_copy() -> None:
    assert "identity = x\n" in roundtrip(Changed, X)


class _Nested(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for outer in range(4):
            x = torch.tanh(x * outer)
            for inner in range(6):
                x = torch.relu(x + inner)
            x = torch.sigmoid(x - outer)
        return x


class _Stages(nn.Module):
    """Lists that are kept side by side, of lengths that come again after six of them."""

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for stage in range(30):
            kept.append([torch.relu(x * index) for index in range(5 + stage % 2 * stage % 3)])
            x = torch.tanh(x)
        for outputs in kept:
            x = torch.stack(outputs).sum(0) - x
        return x


class _Irregular(nn.Module):
    """Many lists, of lengths that follow no rule."""

    def forward(self, x: Tensor) -> Tensor:
        kept, number = [], 1
        for _ in range(40):
            number = number * 16807 % 2147483647
            kept.append([torch.relu(x * index) for index in range(5 + number % 4)])
            x = torch.tanh(x)
        for outputs in kept:
            x = torch.stack(outputs).sum(0) - x
        return x


@pytest.mark.parametrize("build", [_Nested, _Stages, _Irregular])
def test_inner_loops_leave_alone_what_outer_ones_bind(build: Callable[[], nn.Module]) -> None:
    source = roundtrip(build, X)
    assert "for " in source


class _Reversed(nn.Module):
    def __init__(self, first: int) -> None:
        super().__init__()
        self.first = first
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(20))

    def forward(self, x: Tensor) -> Tensor:
        for index in range(self.first, -1, -1):
            x = torch.relu(self.layers[index](x))
        return x


@pytest.mark.parametrize(("first", "is_loop"), [(19, True), (15, False)])
def test_reversed_loop_goes_over_the_whole_list(first: int, is_loop: bool) -> None:
    source = graphnas.to_source(graphnas.trace(_Reversed(first), (torch.zeros(2, 4),)))
    assert ("in reversed(self.layers):" in source) is is_loop
    assert ("self.layers[7]" in source) is not is_loop
