"""Definitions of one class that differ in more than constants: one class with `if`s, which computes the same."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import graphnas
from graphnas.codegen import to_module, to_source
from tests.codegen.roundtrip import initial_state, roundtrip


class Block(nn.Module):
    """A residual block with the switches that people give one."""

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int = 1,
        act: Callable[[], nn.Module] = nn.ReLU,
        squeeze: bool = False,
        bias: bool = False,
        drop: float = 0.0,
        shortcut: str = "auto",
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=bias)
        self.norm = nn.Identity() if bias else nn.BatchNorm2d(width)
        self.act = act()
        self.gate = nn.Conv2d(width, width, 1) if squeeze else None
        self.drop = nn.Dropout(drop) if drop else None
        self.scale = nn.Parameter(torch.ones(width)) if squeeze else None
        self.shortcut = shortcut
        self.down = nn.Conv2d(inputs, width, 1, stride=stride) if stride != 1 or inputs != width else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.act(self.norm(self.conv(x)))
        if self.gate is not None and self.scale is not None:
            out = out * torch.sigmoid(self.gate(out.mean((2, 3), keepdim=True)))
            out = out * self.scale[:, None, None]
        if self.drop is not None:
            out = self.drop(out)
        if self.shortcut == "none":
            return out
        if self.down is not None:
            x = self.down(x)
        if self.training and self.shortcut == "scaled":
            return out + 0.5 * x
        return out + x


class Net(nn.Module):
    def __init__(self, blocks: Sequence[Callable[[], nn.Module]]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([block() for block in blocks])

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [block(x) for block in self.blocks]


def images() -> torch.Tensor:
    return torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(0))


def source_of(*blocks: Callable[[], nn.Module]) -> str:
    return roundtrip(lambda: Net(blocks), images())


def methods(source: str, name: str) -> dict[str, str]:
    tree = next(item for item in ast.parse(source).body if isinstance(item, ast.ClassDef) and item.name == name)
    return {item.name: ast.unparse(item) for item in tree.body if isinstance(item, ast.FunctionDef)}


def test_a_child_that_some_lack_is_none_for_them() -> None:
    source = source_of(lambda: Block(8, 8), lambda: Block(8, 12, 2), lambda: Block(8, 16, 2))
    assert source.count("class Block") == 1
    block = methods(source, "Block")
    assert "if down else None" in block["__init__"] or "if stride != 1 else None" in block["__init__"]
    assert "if self.down is not None:" in block["forward"]


def test_a_condition_that_follows_from_a_parameter_is_none_of_its_own() -> None:
    source = source_of(lambda: Block(8, 8), lambda: Block(8, 8, 2), lambda: Block(8, 8, 1, bias=True))
    assert "def __init__(self, stride=1, " in source
    assert "if stride != 1" in source


def test_classes_that_differ_are_handed_in() -> None:
    source = source_of(lambda: Block(8, 8), lambda: Block(8, 8, act=nn.GELU), lambda: Block(8, 8, act=nn.SiLU))
    assert source.count("class Block") == 1
    assert "self.act = act()" in source
    assert "Block(nn.GELU)" in source


def test_a_default_that_others_spell_out_is_one_parameter() -> None:
    class Conv(nn.Module):
        def __init__(self, padding: int, groups: int) -> None:
            super().__init__()
            self.first = nn.Conv2d(8, 8, 3, padding=padding, groups=groups)
            self.second = nn.Conv2d(8, 8, 3, padding=1)
            self.third = nn.Conv2d(8, 8, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.third(self.second(self.first(x)))
            return result

    source = source_of(lambda: Conv(0, 1), lambda: Conv(1, 1), lambda: Conv(2, 2))
    assert source.count("class Conv") == 1
    assert "padding=padding, groups=groups" in source


def test_items_that_some_sequences_lack() -> None:
    class Stack(nn.Sequential):
        def __init__(self, norm: bool, act: nn.Module | None) -> None:
            layers: list[nn.Module] = [nn.Conv2d(8, 8, 3), *([nn.BatchNorm2d(8)] if norm else [])]
            super().__init__(*layers, *([act] if act is not None else []))

    source = source_of(lambda: Stack(True, nn.ReLU()), lambda: Stack(False, nn.ReLU()), lambda: Stack(True, None))
    assert source.count("class Stack") == 1
    assert "*([nn.BatchNorm2d(8)] if" in source


def test_classes_of_one_role_are_handed_in_to_a_sequence() -> None:
    class Stack(nn.Sequential):
        def __init__(self, act: nn.Module | None, norm: nn.Module) -> None:
            super().__init__(nn.Conv2d(8, 8, 3), norm, *([] if act is None else [act]))

    source = source_of(
        lambda: Stack(nn.ReLU(inplace=True), nn.BatchNorm2d(8)),
        lambda: Stack(None, nn.BatchNorm2d(8)),
        lambda: Stack(nn.SiLU(inplace=True), nn.BatchNorm2d(8)),
        lambda: Stack(None, nn.InstanceNorm2d(8)),
    )
    assert source.count("class Stack") == 1
    assert "*([activation_layer(inplace=True)] if activation_layer is not None else [])" in source
    assert "norm_layer(8)," in source


class Masked(nn.Module):
    """A block that only some shift, with a mask for those, and an attention that takes one."""

    mask: torch.Tensor | None

    def __init__(self, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.attend = Attend()
        self.register_buffer("mask", torch.arange(6.0) if shift else None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(x)
        shifted = torch.roll(x, 1, 1) if self.shift > 0 else x
        y: torch.Tensor = torch.tanh(shifted)
        y = self.attend(y, mask=self.mask) * 2
        return y + torch.sigmoid(y)


class Attend(nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        x = x.abs()
        if mask is not None:
            x = x * mask
        return x + 1


def test_an_input_that_some_calls_lack_is_optional() -> None:
    source = source_of(lambda: Masked(0), lambda: Masked(2), lambda: Masked(0))
    attend = methods(source, "Attend")["forward"]
    assert "x: Tensor, mask: Tensor | None=None" in attend
    assert "if mask is not None:" in attend
    assert "self.attend(y, self.mask)" in methods(source, "Masked")["forward"]


def test_a_buffer_that_some_lack_is_none_for_them() -> None:
    source = source_of(lambda: Masked(0), lambda: Masked(2))
    assert "self.register_buffer('mask', None)" in methods(source, "Masked")["__init__"]


def test_a_variable_that_only_some_have_gives_way() -> None:
    source = source_of(lambda: Masked(0), lambda: Masked(2))
    assert "x = torch.roll(x, 1, 1)" in methods(source, "Masked")["forward"]


class Windowed(nn.Module):
    """Shifts in and out again, with one variable for what is shifted."""

    def __init__(self, shift: int) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(x)
        shifted = torch.roll(x, 1, 1) if self.shift > 0 else x
        x = torch.tanh(shifted)
        shifted = torch.sigmoid(x) * 2
        x = torch.roll(shifted, -1, 1) if self.shift > 0 else shifted
        x = torch.cos(x)
        return x + torch.sin(x)


def test_a_value_that_only_some_have_gives_way_though_its_variable_is_used_again() -> None:
    source = source_of(lambda: Windowed(0), lambda: Windowed(2))
    forward = methods(source, "Windowed")["forward"]
    assert "x = torch.roll(x, 1, 1)" in forward
    assert "shifted = torch.roll(shifted, -1, 1)" in forward
    assert forward.count("if self.shift") == 2
    assert "else" not in forward


class Kept(nn.Module):
    """Needs what it shifts once more."""

    def __init__(self, shift: int) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(x)
        shifted = torch.roll(x, 1, 1) if self.shift > 0 else x
        y = torch.tanh(shifted)
        return torch.cos(y) + torch.sin(x)


def test_a_value_whose_source_is_read_later_keeps_its_variable() -> None:
    source = source_of(lambda: Kept(0), lambda: Kept(2))
    assert "shifted = torch.roll(x, 1, 1)" in source


def test_an_inherited_forward_is_not_replaced() -> None:
    class Path(nn.Sequential):
        def __init__(self, twice: bool) -> None:
            super().__init__(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU())
            self.twice = twice

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x
            for layer in self:
                y = layer(y)
            return y + x if self.twice else y

    source = source_of(lambda: Path(False), lambda: Path(True), lambda: Path(False))
    assert list(methods(source, "Path")) == ["__init__"]
    assert list(methods(source, "Path2")) == ["__init__", "forward"]


def test_numbers_of_blocks_are_a_parameter() -> None:
    class Layer(nn.Module):
        def __init__(self, depth: int) -> None:
            super().__init__()
            self.blocks = nn.Sequential(*[nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU()) for _ in range(depth)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.blocks(x)
            return result

    source = source_of(lambda: Layer(2), lambda: Layer(6), lambda: Layer(3))
    assert source.count("class Layer") == 1
    assert "for _ in range(depth)]" in source


def test_members_that_do_the_same_share_a_class_however_little_that_saves() -> None:
    class Layer(nn.Module):
        def __init__(self, first: bool) -> None:
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3) if first else nn.Identity()
            self.act = nn.ReLU(inplace=first)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.act(self.conv(x))
            return result

    assert source_of(lambda: Layer(True), lambda: Layer(False)).count("class Layer") == 1


def test_what_has_too_little_in_common_stays_apart() -> None:
    class Unit(nn.Module):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.relu(x) if self.number else x.flatten(1).sum(1)

    assert source_of(lambda: Unit(0), lambda: Unit(1)).count("class Unit") == 2


def test_modes_of_variants() -> None:
    source = source_of(
        lambda: Block(8, 8, shortcut="scaled"), lambda: Block(8, 8, shortcut="none"), lambda: Block(8, 8)
    )
    assert source.count("class Block") == 1
    assert "if self.training:" in source


def test_modules_of_one_name_from_two_places_do_not_clash() -> None:
    class Holder(nn.Module):
        def __init__(self, unit: nn.Module) -> None:
            super().__init__()
            self.unit = unit

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.unit(x)
            return result

    source = source_of(lambda: Holder(nn.Identity()), lambda: Holder(nn.Hardswish()))
    assert "nn.Identity" in source
    assert "nn.Hardswish" in source


def test_no_parameter_takes_the_place_of_an_attribute_that_means_something() -> None:
    class Norm(nn.Module):
        def __init__(self, frozen: bool) -> None:
            super().__init__()
            self.frozen = frozen
            self.mean, self.var = nn.Buffer(torch.zeros(8)), nn.Buffer(torch.ones(8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.batch_norm(x, self.mean, self.var, training=not self.frozen)

    source = source_of(lambda: Norm(True), lambda: Norm(False))
    assert "self.training =" not in source


def test_random_numbers_are_drawn_in_the_same_order() -> None:
    blocks = [lambda: Block(8, 8, squeeze=True), lambda: Block(8, 8, 2), lambda: Block(8, 12, bias=True)]
    assert initial_state(lambda: Net(blocks), images())


variants = st.builds(
    lambda **switches: lambda: Block(8, **switches),
    width=st.sampled_from([8, 12]),
    stride=st.sampled_from([1, 2]),
    act=st.sampled_from([nn.ReLU, nn.GELU, nn.Identity]),
    squeeze=st.booleans(),
    bias=st.booleans(),
    drop=st.sampled_from([0.0, 0.3]),
    shortcut=st.sampled_from(["auto", "none", "scaled"]),
)


@settings(max_examples=12, deadline=None)
@given(st.lists(variants, min_size=2, max_size=5))
def test_any_variants_together_compute_what_each_computes(blocks: list[Callable[[], nn.Module]]) -> None:
    source = source_of(*blocks)
    with graphnas.recording():
        generated = to_module(graphnas.trace(Net(blocks), (images(),)))
    again = to_source(graphnas.trace(generated, (images(),)))
    assert again.partition("Usage")[2] == source.partition("Usage")[2]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_class_is_written_once_however_many_stand_for_it(count: int) -> None:
    source = source_of(*[lambda: Block(8, 8, drop=0.1)] * count)
    assert source.count("class Block") == 1
    assert "def __init__(self):" in source


class Tower(nn.Sequential):
    """A chain with a name of its own."""


def test_a_chain_of_its_own_class_is_a_plain_one_where_it_occurs_once() -> None:
    class Towers(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(
                Tower(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Sigmoid()),
                Tower(nn.Conv1d(2, 2, 3, padding=1), nn.BatchNorm1d(2)),
                *(Tower(nn.Linear(width, 4), nn.Tanh(), nn.Linear(4, width), nn.Tanh()) for width in (4, 4)),
            )

    source = roundtrip(Towers, torch.randn(3, 2, 4))
    assert source.count("class Tower(") == 1
    assert "nn.Sequential(nn.Conv1d" in source
    assert source.count(" Tower()") == 2
    assert '"""input: f32[3, 2, 4]' in source
