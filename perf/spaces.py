"""The spaces whose trials are measured. Importable, since worker processes import them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import graphnas


class SwapKernel(graphnas.Mutator):
    """Changes the kernel of one block's second convolution."""

    def mutate(self, model: Any) -> None:
        stage = self.choice([1, 2, 3, 4], label="stage")
        kernel = self.choice([1, 3, 5, 7], label="size")
        model.update_module(f"layer{stage}.1.conv2", kernel_size=kernel, padding=kernel // 2)


@graphnas.model_wrapper
class Tiny(nn.Module):
    """A space with one choice and next to no model."""

    def __init__(self) -> None:
        super().__init__()
        width = graphnas.ValueChoice(list(range(1, 17)), label="width")
        self.linear = nn.Linear(1, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)  # type: ignore[no-any-return]  # modules are not typed


def no_training(build_model: Callable[[], nn.Module]) -> float:
    """Build a model, call it once and return a metric."""
    with torch.no_grad():
        return float(build_model()(torch.zeros(1, 1)).shape[1])


def at_once(build_model: Callable[[], nn.Module]) -> float:
    """Return a metric without a model."""
    return 1.0


class InvertedResidual(nn.Module):
    """The block of MobileNetV2: expand, filter each channel, project; with a skip connection where shapes allow it."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, kernel: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.skips = stride == 1 and inputs == outputs
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [nn.Conv2d(inputs, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6(inplace=True)]
        layers += [
            nn.Conv2d(hidden, hidden, kernel, stride, kernel // 2, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.skips else self.conv(x)  # type: ignore[no-any-return]  # modules are not typed


@graphnas.model_wrapper
class MobileNetV2Space(nn.Module):
    """MobileNetV2 with a `LayerChoice` of kernel and expansion in the place of each of its 17 blocks."""

    SETTINGS = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        width = 32
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU6()]
        for outputs, count, stride in self.SETTINGS:
            for index in range(count):
                step = stride if index == 0 else 1
                candidates = {
                    f"k{kernel}e{expansion}": InvertedResidual(width, outputs, step, expansion, kernel)
                    for kernel in (3, 5, 7)
                    for expansion in (3, 6)
                }
                layers.append(graphnas.LayerChoice(candidates, label=f"block{len(layers) - 3}"))
                width = outputs
        layers += [nn.Conv2d(width, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6()]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))  # type: ignore[no-any-return]  # modules are not typed
