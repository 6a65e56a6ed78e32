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
