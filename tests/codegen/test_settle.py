"""Parameters of generated constructors: which there are, what they are called, and what follows from another one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.codegen.roundtrip import roundtrip


class Net(nn.Module):
    def __init__(self, blocks: Sequence[Callable[[], nn.Module]]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([block() for block in blocks])

    def forward(self, x: Tensor) -> list[Tensor]:
        return [block(x) for block in self.blocks]


def source_of(*blocks: Callable[[], nn.Module], shape: tuple[int, ...] = (2, 8, 12)) -> str:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    return roundtrip(lambda: Net(blocks), x)


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int, window: tuple[int, int] = (2, 2), keep: str = "all") -> None:
        super().__init__()
        self.heads = heads
        self.window_size = window
        self.keep = keep
        self.proj = nn.Linear(dim, dim)
        self.table = nn.Parameter(torch.ones((2 * window[0] - 1) * (2 * window[1] - 1), heads))

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(x)
        parts = x.view(x.shape[0], x.shape[1], self.heads, -1)
        area = self.window_size[0] * self.window_size[1]
        parts = parts * area + self.table.sum()
        return parts.flatten(2) if self.keep == "all" else parts.flatten(2).mean(1)


def test_parameters_have_the_names_that_the_user_gave_them() -> None:
    source = source_of(lambda: Attention(12, 2), lambda: Attention(12, 4), lambda: Attention(12, 3))
    assert "def __init__(self, heads):" in source
    assert "self.heads = heads" in source
    assert ", self.heads, -1)" in source


def test_sizes_that_follow_from_a_setting_need_no_parameter() -> None:
    source = source_of(lambda: Attention(12, 2), lambda: Attention(12, 2, (4, 4)), lambda: Attention(12, 2, (3, 3)))
    assert "def __init__(self, window):" in source
    assert "torch.ones((2 * window - 1) ** 2, 2)" in source
    assert "* self.window**2" in source


def test_a_condition_is_asked_of_the_setting_that_decides_it() -> None:
    source = source_of(lambda: Attention(12, 2), lambda: Attention(12, 2, keep="mean"), lambda: Attention(12, 2))
    assert 'def __init__(self, keep="all"):' in source
    assert 'if self.keep == "' in source


class Branch(nn.Module):
    """Names that no argument or attribute has: what they follow from is to be found out."""

    def __init__(self, kernel: int, squeeze: int, rate: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv1d(8, 8, kernel, padding=kernel // 2)
        self.gate = nn.Sequential(nn.Conv1d(8, squeeze, 1), nn.Conv1d(squeeze, 8, 1)) if squeeze else nn.Identity()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        x = self.gate(self.conv(x))
        return x * (1 - self.rate) if self.rate else x


def test_the_padding_of_a_kernel_and_what_is_left_of_a_rate() -> None:
    source = source_of(*(lambda k=kernel, r=rate: Branch(k, 4, r) for kernel, rate in ((1, 0.2), (3, 0.3), (5, 0.1))))
    assert "padding=kernel // 2" in source
    assert "x * (1 - self.rate)" in source


def test_what_is_there_for_some_only_is_none_for_the_others() -> None:
    source = source_of(lambda: Branch(3, 16), lambda: Branch(3, 0), lambda: Branch(3, 24))
    assert "def __init__(self, squeeze=0):" in source
    assert "if squeeze > 0 else nn.Identity()" in source
    source = source_of(lambda: Branch(3, 2), lambda: Branch(3, 0), lambda: Branch(3, 4))  # too small to mean `squeeze`
    assert "def __init__(self, out_channels=None):" in source
    assert "if out_channels is not None else nn.Identity()" in source


class SameConv(nn.Conv1d):
    """What it inherits and what its forward uses are one number; torch has the attribute `stride` already."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(x, self.weight, None, self.stride[0], 1)


def test_what_is_inherited_and_what_a_forward_uses_are_one_parameter() -> None:
    source = source_of(*(lambda stride=stride: SameConv(8, 8, 3, stride, bias=False) for stride in (1, 2, 1)))
    assert "def __init__(self, conv1d_stride=1):" in source


class Stage(nn.Module):
    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = zip((12, *widths), widths, strict=False)
        self.layers = nn.ModuleList([nn.Linear(before, after) for before, after in pairs])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def test_who_needs_no_value_does_not_count_for_a_default() -> None:
    source = source_of(*(lambda w=widths: Stage(w) for widths in ((16,), (16, 24, 32), (16, 28, 36), (16, 26, 40))))
    assert "def __init__(self, out_features=None, layers_out_features=32):" in source
    assert "Stage(out_features=24)" in source


class Body(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(in_channels, out_channels // 4)
        self.expand = nn.Linear(out_channels // 4, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.expand(self.reduce(x))
        return found


class Unit(nn.Module):
    """The width that its constructor takes is a multiple of the one that the generated constructor takes."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.resize_identity = in_channels != out_channels
        self.body = Body(in_channels, out_channels)
        if self.resize_identity:
            self.identity = nn.Linear(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        identity = self.identity(x) if self.resize_identity else x
        found: Tensor = self.body(x) + identity
        return found


class Units(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        for unit in self:
            x = unit(x)
        return x


def test_what_was_known_by_another_name_is_found_again() -> None:
    widths = (12, 32, 32, 48, 48, 80)
    source = source_of(lambda: Units(*(Unit(*pair) for pair in itertools.pairwise(widths))))
    assert "nn.Linear(in_channels, 4 * out_features) if resize_identity else None" in source


class Gated(nn.Module):
    """Two widths of it are equal, and so small that they may be so by chance."""

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        outer, inner, squeezed = widths
        self.embed = nn.Linear(12, outer)
        self.expand = nn.Linear(outer, inner)
        self.reduce = nn.Linear(inner, squeezed)
        self.excite = nn.Linear(squeezed, inner)

    def forward(self, x: Tensor) -> Tensor:
        x = self.expand(self.embed(x))
        gate: Tensor = self.excite(self.reduce(x)).sigmoid()
        return x * gate


def test_of_classes_that_come_out_by_turns_one_is_taken() -> None:
    """A parameter for both makes a name that fits one of them only, and names for each fit both."""
    source = source_of(*(lambda w=widths: Gated(w) for widths in ((11, 24, 4), (13, 36, 6), (14, 20, 8), (15, 28, 10))))
    assert "def __init__(self, out_features, in_features, reduce_out_features):" in source
