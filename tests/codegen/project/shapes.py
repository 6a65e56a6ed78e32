"""Helpers of the layers."""

import torch
from torch import Tensor


def leaky(x: Tensor) -> Tensor:
    return x


def halves(x: Tensor) -> tuple[Tensor, ...]:
    return leaky(x).chunk(2, dim=-1)


def join(*parts: Tensor) -> Tensor:
    return torch.cat(parts, dim=-1)
