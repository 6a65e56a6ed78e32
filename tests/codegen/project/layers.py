# Copyright (c) 2021 The project's authors
# Licensed under the MIT licence.
"""Layers.

Hacked together by a user, copyright 2021.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch as th
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import nn

import graphnas

from . import shapes
from .rounding import rounded
from .shapes import halves as split_in_two

if TYPE_CHECKING:
    from collections.abc import Callable

SLOPE = 0.25
UNUSED = object()


def leaky(x: th.Tensor) -> th.Tensor:
    return F.leaky_relu(x, SLOPE)


def unused(x: th.Tensor) -> th.Tensor:
    return x


class Base(nn.Module):
    activation: Callable[[th.Tensor], th.Tensor] = staticmethod(leaky)


@graphnas.basic_unit
class Gate(Base):
    """Gates one half of the channels by the other."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim // 2, dim // 2)

    def forward(self, x: th.Tensor) -> th.Tensor:
        # a comment that stays
        left, right = split_in_two(x)
        left = torch.utils.checkpoint.checkpoint(self.proj, left, use_reentrant=False)
        return rounded(shapes.join(left, self.activation(right)) * math.sqrt(SLOPE))
