"""Networks of any number of operations, each of which could make some step grow faster than the network."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Chain(nn.Module):
    """A flat forward of `length` operations, one after the other."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def forward(self, x: Tensor) -> Tensor:
        for index in range(self.length):
            x = torch.relu(x) if index % 2 else x + 1
        return x


class Wide(nn.Module):
    """`width` operations on one value, all of whose results the last operation takes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x * index for index in range(self.width)])


class Unrolled(nn.Module):
    """A flat forward of residual steps that differ irregularly, so that no loop stands for them."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def forward(self, x: Tensor) -> Tensor:
        number = 1
        for _ in range(self.length // 3):
            identity = x
            number = number * 16807 % 2147483647
            x = torch.relu(x) * float(number % 97)
            x = identity + x if number % 3 else identity - x
        return x


class Dense(nn.Module):
    """A flat forward in which every value is taken again much later, so that many are kept at a time."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def forward(self, x: Tensor) -> Tensor:
        kept = [x + index for index in range(self.length // 3)]
        out = x
        for value in reversed(kept):
            out = torch.tanh(out) + value
        return out


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(8, width)
        self.back = nn.Linear(width, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.back(torch.relu(self.linear(x)))  # type: ignore[no-any-return]  # modules are not typed


class Tower(nn.Sequential):
    """Residual blocks in a row, of 32 widths in turn: `length` operations, and five of them a block."""

    def __init__(self, length: int) -> None:
        super().__init__(*[Residual(8 + index % 32) for index in range(length // 5)])


class Flat(nn.Module):
    """One long forward that calls children of its own, of many sizes, and names each of them."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.count = length // 2
        for index in range(self.count):
            setattr(self, f"layer{index}", nn.Linear(8, 8, bias=index % 3 == 0))

    def forward(self, x: Tensor) -> Tensor:
        for index in range(self.count):
            x = torch.relu(getattr(self, f"layer{index}")(x))
        return x


class Lists(nn.Module):
    """Lists of lists of layers, all called from one forward."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.ModuleList(nn.Linear(8, 8, bias=bool(index % 2)) for index in range(10)) for _ in range(length // 11)
        )

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleList)
            for layer in stage:
                x = layer(x)
            x = torch.relu(x)
        return x


class Layers(nn.Module):
    """One list of all layers, with something else between their calls."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8, bias=bool(index % 2)) for index in range(length // 2))

    def forward(self, x: Tensor) -> Tensor:
        for index, layer in enumerate(self.layers):
            x = torch.relu(layer(x)) if index % 7 else torch.tanh(layer(x))
        return x


class Stages(nn.Module):
    """A flat forward of stages, each of which collects some values in a list that is read in the end."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.count = length // 16

    def forward(self, x: Tensor) -> Tensor:
        number = 1
        kept: list[list[Tensor]] = []
        for _ in range(self.count):
            number = number * 16807 % 2147483647
            kept.append([torch.relu(x * index) for index in range(5 + number % 4)])
            x = torch.tanh(x)
        for outputs in kept:
            x = torch.stack(outputs).sum(0) - x
        return x


_STEPS = (torch.relu, torch.tanh, torch.sigmoid, torch.abs)


class Variant(nn.Module):
    """Eight functions, chosen by the digits of a number: hardly two are alike."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.steps = [_STEPS[number // 4**place % 4] for place in range(8)]
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        for step in self.steps:
            x = step(x)
        return x


class Variants(nn.Sequential):
    """Modules in a row, every one of which is of a structure of its own."""

    def __init__(self, length: int) -> None:
        super().__init__(*[Variant(7919 * index % 4**8) for index in range(length // 10)])


class Named(nn.Sequential):
    """As `Variants`, and every one of a class of its own."""

    def __init__(self, length: int) -> None:
        super().__init__(
            *[type(f"Variant{index}", (Variant,), {})(7919 * index % 4**8) for index in range(length // 10)]
        )
