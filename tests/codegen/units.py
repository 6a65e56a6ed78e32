"""A module of the user's own, as generated source imports basic units from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import graphnas


@graphnas.basic_unit
class Scale(nn.Module):
    """Multiplies by a learnt factor."""

    def __init__(self, dim: int, start: float = 1.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((dim,), start))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor
