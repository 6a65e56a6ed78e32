"""Loops that a trace unrolled, and that source has again: they compute the same, in the same order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        self.head = nn.Linear(8, 8)
        for name, parameter in self.stages.named_parameters():
            if name.endswith("weight"):
                nn.init.orthogonal_(parameter)
            else:
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            for block in stage:  # type: ignore[attr-defined]  # a ModuleList
                x = block(x)
                x = x.relu()
        return self.head(x)  # type: ignore[no-any-return]  # modules are not typed


CASES: list[tuple[Callable[[], nn.Module], list[str]]] = [
    (Several, ["for conv, norm in zip(self.convs, self.norms):"]),
    (Part, ["for block in self.blocks[1:]:"]),
    (Numbered, ["for i, block in enumerate(self.blocks):"]),
    (Skips, ["xs.append(x)", "for up, skip in zip(self.ups, reversed(xs)):"]),
    (Features, ["return [head(x).relu() for head in self.heads]"]),
    (Nested, ["for stage in self.stages:\n            for block in stage:\n                x = block(x)"]),
]


@pytest.mark.parametrize(("build", "expected"), CASES)
def test_loops_are_found(build: Callable[[], nn.Module], expected: list[str]) -> None:
    source = roundtrip(build, X)
    for text in expected:
        assert text in source


def test_initialisation_is_a_loop() -> None:
    source = roundtrip(Nested, X)
    assert "            for block in stage:\n                nn.init.orthogonal_(block.weight)" in source
    assert initial_state(Nested, X)


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
