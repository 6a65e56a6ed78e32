"""Items of a list that repeat, or differ in a value or two."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphnas.codegen.literals import Literals
from graphnas.codegen.template import Site
from tests.codegen.roundtrip import roundtrip


class Block(nn.Module):
    def __init__(self, width: int, rate: float) -> None:
        super().__init__()
        self.proj = nn.Linear(8, width)
        self.back = nn.Linear(width, 8)
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.back(self.proj(x)) * self.rate
        return result


def source_of(*rows: tuple[int, float]) -> str:
    def build() -> nn.Module:
        return nn.Sequential(*(Block(width, rate) for width, rate in rows), nn.ReLU())

    return roundtrip(build, torch.randn(2, 8, generator=torch.Generator().manual_seed(0)))


def test_items_that_differ_in_a_value_are_a_comprehension() -> None:
    source = source_of(*((16, number / 4) for number in range(1, 11)))
    assert "super().__init__(*[Block(rate) for rate in (0.25, 0.5, " in source
    assert ", 2.25, 2.5)], nn.ReLU())" in source


def test_items_that_differ_in_two_values_are_a_comprehension_over_pairs() -> None:
    source = source_of(*((8 * number, number / 4) for number in range(2, 20)))
    assert "*[Block(width, rate) for width, rate in ((16, 0.5), (24, 0.75), " in source


def test_two_items_stand_for_themselves() -> None:
    assert " for " not in source_of((16, 0.1), (16, 0.2))


def test_a_root_is_written_as_one_in_a_forward() -> None:
    literals, site = Literals(), Site("scale", "", 2)
    written = {value: literals.write(value, site).text for value in (32**-0.5, 8**0.5, 0.25, 1 / 55, 0.3)}
    assert list(written.values()) == ["32**-0.5", "8**0.5", "0.25", repr(1 / 55), "0.3"]
    assert all(eval(text) == value for value, text in written.items())
    assert literals.write(32**-0.5).text == repr(32**-0.5)


def test_the_scale_of_an_attention() -> None:
    class Scaled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            scores: Tensor = x @ x.transpose(-1, -2) * 32**-0.5
            return scores

    assert " * 32**-0.5" in roundtrip(Scaled, torch.ones(2, 3, 32))
