"""The network of NAS-Bench-201 (arXiv 2001.00326, section 2.1) with its cell to be decided, and its space."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from graphnas.benchmarks.nasbench201.architecture import LABEL
from graphnas.benchmarks.nasbench201.constants import (
    AVG_POOL_3X3,
    CIFAR10,
    CIFAR10_VALID,
    CIFAR100,
    CONV_1X1,
    CONV_3X3,
    IMAGENET16_120,
    NONE,
    SKIP_CONNECT,
)
from graphnas.errors import BenchmarkError
from graphnas.ir.record import model_wrapper
from graphnas.mutators import ModelSpace
from graphnas.mutators.choices import NasBench201Cell

IMAGES = {CIFAR10_VALID: (10, 32), CIFAR10: (10, 32), CIFAR100: (100, 32), IMAGENET16_120: (120, 16)}
"""Number of classes and side of the images of each data set."""


class ReluConvBn(nn.Sequential):
    """ReLU, convolution that keeps the size but for its stride, batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels),
        )


class Zero(nn.Module):
    """No connection: zeros of the shape of the input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the zeros."""
        return x * 0.0


class ResidualBlock(nn.Module):
    """The residual block between two stages, which halves the size of the image."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_a = ReluConvBn(in_channels, out_channels, 3, stride=2)
        self.conv_b = ReluConvBn(out_channels, out_channels, 3)
        self.downsample = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(in_channels, out_channels, 1, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of both ways."""
        residual: torch.Tensor = self.downsample(x) + self.conv_b(self.conv_a(x))
        return residual


def operations() -> dict[str, Callable[[int, int], nn.Module]]:
    """Return functions of the channels before and after that build an operation, by its name, as choices take them."""
    return {
        NONE: lambda before, after: Zero(),
        SKIP_CONNECT: lambda before, after: nn.Identity(),
        CONV_1X1: lambda before, after: ReluConvBn(before, after, 1),
        CONV_3X3: lambda before, after: ReluConvBn(before, after, 3),
        AVG_POOL_3X3: lambda before, after: nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    }


@model_wrapper
class NasBench201(nn.Module):
    """The network that NAS-Bench-201 trained: three stages of one cell, which is to be decided, with blocks between.

    Parameters and multiply-adds are those of the benchmark's tables.

    Args:
        num_classes: Number of classes.
        num_channels: Channels of the first stage; each further one has twice as many.
        num_cells: Cells of each stage.
    """

    def __init__(self, num_classes: int = 10, num_channels: int = 16, num_cells: int = 5) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, num_channels, 3, padding=1, bias=False), nn.BatchNorm2d(num_channels))
        blocks: list[nn.Module] = []
        width = num_channels
        for stage in range(3):
            if stage:
                blocks.append(ResidualBlock(width, 2 * width))
                width *= 2
            blocks.extend(NasBench201Cell(operations(), width, width, label=LABEL) for _ in range(num_cells))
        self.blocks = nn.Sequential(*blocks)
        self.tail = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, `(N, classes)`, of images `(N, 3, H, W)`."""
        logits: torch.Tensor = self.classifier(self.tail(self.blocks(self.stem(x))))
        return logits


def space(dataset: str = CIFAR10) -> ModelSpace:
    """Return the space of all 15,625 networks for a data set.

    Raises:
        BenchmarkError: There is no such data set.
    """
    if dataset not in IMAGES:
        raise BenchmarkError(f"dataset: expected one of {', '.join(IMAGES)}, got {dataset!r}")
    num_classes, side = IMAGES[dataset]
    with torch.device("meta"):  # a space keeps how its model is constructed, not the weights
        network = NasBench201(num_classes)
    return ModelSpace(network, example_inputs=torch.zeros(1, 3, side, side))
