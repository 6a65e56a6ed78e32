"""Networks of the families `vanilla`, `residual_basic` and `residual_bottleneck` of NDS: three stages of blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from graphnas.benchmarks.nds.designs import STAGED_DESIGNS, STEM_WIDTH, STRIDES, StagedDesign, check_proposer
from graphnas.ir.record import model_wrapper
from graphnas.mutators.choices import ModelParameterChoice


class ConvBn(nn.Sequential):
    """Convolution that keeps the size but for its stride, and batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> None:
        pad = kernel_size // 2
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, pad, groups=groups, bias=False),
            nn.BatchNorm2d(out_channels),
        )


class Residual(nn.Module):
    """The sum of a branch and its input, which is projected where the shape changes, and ReLU."""

    def __init__(self, branch: nn.Module, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.branch = branch
        is_same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if is_same else ConvBn(in_channels, out_channels, 1, stride)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output of the block."""
        output: torch.Tensor = self.relu(self.shortcut(x) + self.branch(x))
        return output


def vanilla(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return two convolutions."""
    first = ConvBn(in_channels, out_channels, 3, stride)
    return nn.Sequential(first, nn.ReLU(), ConvBn(out_channels, out_channels, 3), nn.ReLU())


def basic(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return two convolutions with a residual connection."""
    first = ConvBn(in_channels, out_channels, 3, stride)
    branch = nn.Sequential(first, nn.ReLU(), ConvBn(out_channels, out_channels, 3))
    return Residual(branch, in_channels, out_channels, stride)


def bottleneck(in_channels: int, out_channels: int, stride: int, multiplier: float, groups: int) -> nn.Module:
    """Return a grouped convolution between two pointwise ones, with a residual connection."""
    inner = round(out_channels * multiplier)
    branch = nn.Sequential(
        ConvBn(in_channels, inner, 1),
        nn.ReLU(),
        ConvBn(inner, inner, 3, stride, groups),
        nn.ReLU(),
        ConvBn(inner, out_channels, 1),
    )
    return Residual(branch, in_channels, out_channels, stride)


@model_wrapper
class StagedNetwork(nn.Module):
    """A network of three stages, each of which is decided by itself: `depth_1`, `width_1`, and so on.

    Of bottlenecks, `bottleneck_1` and `groups_1` are decided too.

    Args:
        proposer: Whose design: `vanilla`, `resnet`, `resnext-a` or `resnext-b`.
        num_classes: Number of classes.
        depths: Number of blocks that a stage may have; None for those of the design.
        widths: Number of channels that a stage may have; None for those of the design.

    Raises:
        BenchmarkError: There is no such proposer.
    """

    def __init__(
        self,
        proposer: str,
        num_classes: int = 10,
        depths: Sequence[int] | None = None,
        widths: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_proposer(proposer, STAGED_DESIGNS)
        design = STAGED_DESIGNS[proposer]
        self.stem = nn.Sequential(ConvBn(3, STEM_WIDTH, 3), nn.ReLU())
        stages: list[nn.Module] = []
        before = STEM_WIDTH
        for place, stride in enumerate(STRIDES, 1):
            depth = ModelParameterChoice(list(depths or design.depths), label=f"depth_{place}")
            width = ModelParameterChoice(list(widths or design.widths), label=f"width_{place}")
            stages.append(_stage(design, place, depth, before, width, stride))
            before = width
        self.stages = nn.Sequential(*stages)
        self.tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(before, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, `(N, classes)`, of images `(N, 3, H, W)`."""
        logits: torch.Tensor = self.classifier(self.tail(self.stages(self.stem(x))))
        return logits


def _stage(design: StagedDesign, place: int, depth: int, before: int, width: int, stride: int) -> nn.Sequential:
    ends = [(before, stride), *[(width, 1)] * (depth - 1)]
    if design.family == "residual_bottleneck":
        multiplier = ModelParameterChoice(list(design.bottlenecks), label=f"bottleneck_{place}")
        groups = ModelParameterChoice(list(design.groups), label=f"groups_{place}")
        return nn.Sequential(*(bottleneck(channels, width, step, multiplier, groups) for channels, step in ends))
    block = vanilla if design.family == "vanilla" else basic
    return nn.Sequential(*(block(channels, width, step) for channels, step in ends))
