"""Searched activation functions (Searching for Activation Functions, arXiv 1710.05941, section 2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphnas.errors import DecisionError
from graphnas.mutators.choices.choice import choose_label
from graphnas.mutators.choices.layer_choice import LayerChoice

_EPSILON = 1e-10

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "negative": lambda x: -x,
    "abs": torch.abs,
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "sqrt": torch.sqrt,
    "log": lambda x: torch.log(x.abs() + _EPSILON),
    "exp": torch.exp,
    "sin": torch.sin,
    "cos": torch.cos,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "tanh": torch.tanh,
    "atan": torch.atan,
    "relu": F.relu,
    "min": lambda x: x.clamp(max=0),
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "gauss": lambda x: torch.exp(-(x**2)),
    "erf": torch.erf,
}
"""Functions of one tensor; `scale` and `shift`, which have a parameter, come on top."""

WITH_PARAMETER: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "scale": lambda x, beta: beta * x,
    "shift": lambda x, beta: x + beta,
}

BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "sub": lambda a, b: a - b,
    "div": lambda a, b: a / (b + _EPSILON),
    "max": torch.maximum,
    "min": torch.minimum,
    "gate": lambda a, b: torch.sigmoid(a) * b,
}
"""Functions of two tensors; those of `BINARY_WITH_PARAMETER` come on top."""

BINARY_WITH_PARAMETER: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "gauss": lambda a, b, beta: torch.exp(-beta * (a - b) ** 2),
    "laplace": lambda a, b, beta: torch.exp(-beta * (a - b).abs()),
    "mix": lambda a, b, beta: beta * a + (1 - beta) * b,
}


class AutoActivation(nn.Module):
    """An activation function to be searched: `unary(x)`, then `binary(y, unary(x))` for each unit.

    Its choices have the labels `{label}__unary_{i}`, from 0, and `{label}__binary_{i}`. There are 22 functions of one
    tensor and 10 of two; decisions have their names. Some have a scalar parameter, which starts as 1 (`shift`: 0,
    `mix`: 0.5) and is trained.

    Args:
        unit_num: Number of units.
        label: Beginning of its labels. Numbered within the model if it is not given.

    Raises:
        DecisionError: There is no such number of units, or (under `fixed_arch`) a decision is not valid.
    """

    def __init__(self, unit_num: int = 1, *, label: str | None = None) -> None:
        super().__init__()
        self.label = choose_label(label, "AutoActivation")
        if not isinstance(unit_num, int) or unit_num < 1:
            raise DecisionError(
                f"AutoActivation {self.label!r}: unit_num must be a whole number from 1, got {unit_num!r}",
                label=self.label,
            )
        self.first_unary = self._unary(0)
        self.unaries = nn.ModuleList(self._unary(index + 1) for index in range(unit_num))
        self.binaries = nn.ModuleList(self._binary(index) for index in range(unit_num))

    def _unary(self, index: int) -> nn.Module:
        modules: dict[str, nn.Module] = {name: Unary(name) for name in (*UNARY, *WITH_PARAMETER)}
        choice: nn.Module = LayerChoice(modules, label=f"{self.label}__unary_{index}")
        return choice

    def _binary(self, index: int) -> nn.Module:
        modules: dict[str, nn.Module] = {name: Binary(name) for name in (*BINARY, *BINARY_WITH_PARAMETER)}
        choice: nn.Module = LayerChoice(modules, label=f"{self.label}__binary_{index}")
        return choice

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation, of the shape of `x`."""
        out: Tensor = self.first_unary(x)
        for unary, binary in zip(self.unaries, self.binaries, strict=True):
            out = binary(out, unary(x))
        return out


class Unary(nn.Module):
    """A function of one tensor, by its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        if name in WITH_PARAMETER:
            self.beta = nn.Parameter(torch.zeros(()) if name == "shift" else torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return the function of `x`."""
        return WITH_PARAMETER[self.name](x, self.beta) if self.name in WITH_PARAMETER else UNARY[self.name](x)


class Binary(nn.Module):
    """A function of two tensors, by its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        if name in BINARY_WITH_PARAMETER:
            self.beta = nn.Parameter(torch.full((), 0.5) if name == "mix" else torch.ones(()))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the function of both."""
        if self.name in BINARY_WITH_PARAMETER:
            return BINARY_WITH_PARAMETER[self.name](a, b, self.beta)
        return BINARY[self.name](a, b)
