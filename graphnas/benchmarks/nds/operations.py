"""The operations of NDS's `nas_cell` networks (arXiv 1905.13214, appendix; blocks as in arXiv 1806.09055)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import nn

from graphnas.benchmarks.nds import constants as names


class ReluConvBn(nn.Sequential):
    """ReLU, convolutions one after the other, batch normalisation."""

    def __init__(self, *convolutions: nn.Conv2d) -> None:
        super().__init__(nn.ReLU(), *convolutions, nn.BatchNorm2d(convolutions[-1].out_channels))


class FactorizedReduce(nn.Module):
    """Half the size without losing a pixel: two convolutions, one of them a pixel further, concatenated."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.shift = nn.ZeroPad2d((-1, 1, -1, 1))
        self.conv_1 = nn.Conv2d(in_channels, out_channels // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(in_channels, out_channels - out_channels // 2, 1, stride=2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a tensor of half the height and width."""
        x = self.relu(x)
        reduced: torch.Tensor = self.bn(torch.cat([self.conv_1(x), self.conv_2(self.shift(x))], 1))
        return reduced


class Zero(nn.Module):
    """No connection: zeros of the shape that the stride leads to."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the zeros."""
        return x[:, :, :: self.stride, :: self.stride] * 0.0


def conv(channels: int, kernel_size: int, stride: int) -> nn.Module:
    """Return a convolution."""
    return ReluConvBn(nn.Conv2d(channels, channels, kernel_size, stride, kernel_size // 2, bias=False))


def factorized_conv(channels: int, kernel_size: int, stride: int) -> nn.Module:
    """Return a convolution along rows, then one along columns."""
    pad = kernel_size // 2
    return ReluConvBn(
        nn.Conv2d(channels, channels, (1, kernel_size), (1, stride), (0, pad), bias=False),
        nn.Conv2d(channels, channels, (kernel_size, 1), (stride, 1), (pad, 0), bias=False),
    )


def depthwise_conv(channels: int, kernel_size: int, stride: int, dilation: int = 1) -> nn.Module:
    """Return a depthwise convolution followed by a pointwise one."""
    pad = dilation * (kernel_size // 2)
    return ReluConvBn(
        nn.Conv2d(channels, channels, kernel_size, stride, pad, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
    )


def twice_depthwise_conv(channels: int, kernel_size: int, stride: int, dilation: int = 1) -> nn.Module:
    """Return two of them, of which the first has the stride."""
    first = depthwise_conv(channels, kernel_size, stride, dilation)
    return nn.Sequential(first, depthwise_conv(channels, kernel_size, 1, dilation))


def _skip(channels: int, stride: int) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)


def _max_pool(kernel_size: int) -> Callable[[int, int], nn.Module]:
    return lambda channels, stride: nn.MaxPool2d(kernel_size, stride, kernel_size // 2)


OPERATIONS: Mapping[str, Callable[[int, int], nn.Module]] = MappingProxyType(
    {
        names.NONE: lambda channels, stride: Zero(stride),
        names.SKIP_CONNECT: _skip,
        names.AVG_POOL_3X3: lambda channels, stride: nn.AvgPool2d(3, stride, 1, count_include_pad=False),
        names.MAX_POOL_3X3: _max_pool(3),
        names.MAX_POOL_5X5: _max_pool(5),
        names.MAX_POOL_7X7: _max_pool(7),
        names.CONV_1X1: lambda channels, stride: conv(channels, 1, stride),
        names.CONV_3X3: lambda channels, stride: conv(channels, 3, stride),
        names.CONV_3X1_1X3: lambda channels, stride: factorized_conv(channels, 3, stride),
        names.CONV_7X1_1X7: lambda channels, stride: factorized_conv(channels, 7, stride),
        names.DIL_CONV_3X3: lambda channels, stride: depthwise_conv(channels, 3, stride, dilation=2),
        names.DIL_CONV_5X5: lambda channels, stride: depthwise_conv(channels, 5, stride, dilation=2),
        names.SEP_CONV_3X3: lambda channels, stride: twice_depthwise_conv(channels, 3, stride),
        names.SEP_CONV_5X5: lambda channels, stride: twice_depthwise_conv(channels, 5, stride),
        names.SEP_CONV_7X7: lambda channels, stride: twice_depthwise_conv(channels, 7, stride),
        names.DIL_SEP_CONV_3X3: lambda channels, stride: twice_depthwise_conv(channels, 3, stride, dilation=2),
    }
)
"""Name to a function of channels and stride that builds the operation."""
