"""Settings: what the user calls the constants that tell the definitions of a class apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import graphnas
from graphnas.ir.literal import FrozenDict, Symbol
from graphnas.ir.module import Definition
from graphnas.ir.trace import trace
from graphnas.ir.trace.settings import settings_of


class Attention(nn.Module):
    def __init__(self, dim: int, num_heads: int, act: type[nn.Module] = nn.ReLU, index: int = 0) -> None:
        super().__init__()
        self.heads = num_heads
        self._scale = (dim // num_heads) ** -0.5
        self.index = index
        self.proj = nn.Linear(dim, dim)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.act(self.proj(x)).view(x.shape[0], self.heads, -1).flatten(1) * self._scale
        return result


class Net(nn.Module):
    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.blocks(x)
        return result


def traced(*blocks: dict[str, Any], record: bool = True) -> list[FrozenDict[Any]]:
    if record:
        with graphnas.recording():
            net = Net([Attention(8, **block) for block in blocks])
    else:
        net = Net([Attention(8, **block) for block in blocks])
    root = trace(net, torch.randn(2, 8)).root
    found = [root.child(f"blocks.{index}") for index in range(len(blocks))]
    return [child.settings for child in found if isinstance(child, Definition)]


def test_arguments_and_attributes_that_tell_definitions_apart_are_kept() -> None:
    first, second = traced({"num_heads": 2}, {"num_heads": 4, "act": nn.GELU})
    assert dict(first) == {"num_heads": 2, "act": Symbol("torch.nn:ReLU"), "heads": 2, "scale": 0.5}
    assert dict(second)["act"] == Symbol("torch.nn:GELU")
    assert dict(second)["scale"] == 2**-0.5


def test_without_a_record_there_are_the_attributes() -> None:
    first, _ = traced({"num_heads": 2}, {"num_heads": 4}, record=False)
    assert dict(first) == {"heads": 2, "scale": 0.5}


def test_what_is_built_alike_stays_alike_whatever_number_it_has() -> None:
    assert traced({"num_heads": 2, "index": 0}, {"num_heads": 2, "index": 1}) == [FrozenDict(), FrozenDict()]
    blocks = traced(*({"num_heads": heads, "index": index} for index, heads in enumerate((2, 4, 2))))
    assert blocks[0] == blocks[2]
    assert "index" not in blocks[1]


def test_the_fields_of_an_argument_count() -> None:
    @dataclass
    class Row:
        width: int
        act: Any = nn.ReLU
        table: Any = None

    class Block(nn.Module):
        def __init__(self, row: Row, **more: Any) -> None:
            super().__init__()
            self.width = row.width * 2
            self.size = [4, 4]

    with graphnas.recording():
        block = Block(Row(4, table=object()), depth=3)
    # The attribute counts for more than the field, and an object that is no literal not at all.
    expected = {"width": 8, "act": Symbol("torch.nn:ReLU"), "depth": 3, "size": (4, 4)}
    found = dict(settings_of(block))
    assert {name: tuple(value) if name == "size" else value for name, value in found.items()} == expected


def test_the_key_has_them_and_the_fingerprint_does_not() -> None:
    plain = Definition("Block")
    named = Definition("Block", settings=FrozenDict({"width": 8}))
    assert plain.key != named.key
    assert graphnas.ir.fingerprint.fingerprint(plain) == graphnas.ir.fingerprint.fingerprint(named)
