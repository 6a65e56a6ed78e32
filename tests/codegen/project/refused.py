"""Basic units whose code cannot be carried over."""

from pathlib import Path

import torch
from torch import Tensor, nn

import graphnas
from tests.codegen.project import shapes
from tests.codegen.project.shapes import *  # noqa: F403


@graphnas.basic_unit
class KnowsItsFile(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + len(Path(__file__).name)


@graphnas.basic_unit
class TakesModule(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + len(vars(shapes))


@graphnas.basic_unit
class UsesChoices(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + (graphnas.__version__ != "")


@graphnas.basic_unit
class UsesStar(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(halves(x))  # noqa: F405


@graphnas.basic_unit
class ImportsInside(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        from tests.codegen.project.rounding import rounded

        return rounded(x)
