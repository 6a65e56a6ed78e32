"""Loops whose turns hand on an item of what they return."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.codegen.roundtrip import roundtrip


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(4, 4)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = self.proj(x) * mask
        return x, x.sum()


class Encoder(nn.Module):
    def __init__(self, depth: int, skip: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer() for _ in range(depth)])
        self.skip = skip

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        first = hidden
        for layer in self.layers:
            outputs = layer(hidden, mask)
            hidden = outputs[0]
        return hidden + first if self.skip else hidden


def source_of(depth: int, *, skip: bool = False) -> str:
    inputs = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    return roundtrip(lambda: Encoder(depth, skip), inputs, torch.ones(4))


def test_what_is_handed_on_has_the_name_of_what_was_handed_in() -> None:
    loop = "for layer in self.layers:\n            outputs = layer(hidden, mask)\n            hidden = outputs[0]\n"
    assert f"{loop}        return hidden\n" in source_of(4)


def test_what_is_read_later_keeps_its_name() -> None:
    source = source_of(4, skip=True)
    assert "hidden = outputs[0]" not in source
    assert "for layer in self.layers[1:]:" in source


def test_two_calls_are_no_loop() -> None:
    assert "for " not in source_of(2)
