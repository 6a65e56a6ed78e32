"""The network of NAS-Bench-101 (arXiv 1902.09635, section 2.1) with its cell to be decided, and its space."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from graphnas.benchmarks.nasbench101.architecture import LABEL
from graphnas.benchmarks.nasbench101.constants import (
    CONV1X1_BN_RELU,
    CONV3X3_BN_RELU,
    MAX_EDGES,
    MAX_VERTICES,
    MAXPOOL3X3,
)
from graphnas.ir.record import model_wrapper
from graphnas.mutators import ModelSpace
from graphnas.mutators.choices import NasBench101Cell


class ConvBnRelu(nn.Sequential):
    """Convolution that keeps the size, batch normalisation as the benchmark sets it, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels, eps=1e-5, momentum=0.003),
            nn.ReLU(),
        )


def operations() -> dict[str, Callable[[int], nn.Module]]:
    """Return functions of the channels that build an operation, by its name, as choices take them."""
    return {
        CONV3X3_BN_RELU: lambda channels: ConvBnRelu(channels, channels, 3),
        CONV1X1_BN_RELU: lambda channels: ConvBnRelu(channels, channels, 1),
        MAXPOOL3X3: lambda channels: nn.MaxPool2d(3, 1, 1),
    }


def _projection(in_channels: int, out_channels: int) -> nn.Module:
    return ConvBnRelu(in_channels, out_channels, 1)


@model_wrapper
class NasBench101(nn.Module):
    """The network that NAS-Bench-101 trained: three stacks of one cell, which is to be decided.

    The number of its parameters is `trainable_parameters` of the benchmark.

    Args:
        num_classes: Number of classes.
        stem_channels: Channels of the first stack; each further one has twice as many.
        num_stacks: Number of stacks; a max-pooling before each but the first halves the size of the image.
        num_cells: Cells of each stack.
    """

    def __init__(
        self, num_classes: int = 10, stem_channels: int = 128, num_stacks: int = 3, num_cells: int = 3
    ) -> None:
        super().__init__()
        self.stem = ConvBnRelu(3, stem_channels, 3)
        blocks: list[nn.Module] = []
        before = width = stem_channels
        for stack in range(num_stacks):
            if stack:
                blocks.append(nn.MaxPool2d(2))
                width *= 2
            for _ in range(num_cells):
                blocks.append(
                    NasBench101Cell(operations(), before, width, _projection, MAX_VERTICES, MAX_EDGES, label=LABEL)
                )
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, `(N, classes)`, of images `(N, 3, H, W)`."""
        logits: torch.Tensor = self.classifier(self.tail(self.blocks(self.stem(x))))
        return logits


def space() -> ModelSpace:
    """Return the space of all networks of the benchmark, for images of 32 by 32.

    Several decisions may lead to one of its 423,624 architectures: those that differ in the order of vertices.
    """
    with torch.device("meta"):  # a space keeps how its model is constructed, not the weights
        network = NasBench101()
    return ModelSpace(network, example_inputs=torch.zeros(1, 3, 32, 32))
