"""A small space and evaluators that the tests of this folder share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from graphnas.errors import MutationError
from graphnas.experiment.config import RetiariiExeConfig
from graphnas.experiment.trial import (
    current_trial,
    report_intermediate_result,
)
from graphnas.mutators.domain import Categorical, Decisions, Domain, check_decisions


class GridSpace:
    """Points of a grid, each a `nn.Linear` of that shape; the values in `refused` make no model."""

    def __init__(self, width: int = 4, depth: int = 3, refused: tuple[int, ...] = ()) -> None:
        self.domains: Mapping[str, Domain] = {
            "width": Categorical("width", tuple(range(1, width + 1))),
            "depth": Categorical("depth", tuple(range(1, depth + 1))),
        }
        self.refused = refused

    def validate(self, decisions: Mapping[str, Any]) -> Decisions:
        return check_decisions(self.domains, decisions)

    def freeze(self, decisions: Mapping[str, Any]) -> Any:
        raise NotImplementedError("this space has no graph")

    def instantiate(self, decisions: Mapping[str, Any]) -> nn.Module:
        if decisions["width"] in self.refused:
            raise MutationError(f"width {decisions['width']} fits nothing", site="width")
        return nn.Linear(decisions["width"], decisions["depth"])

    def to_json(self) -> dict[str, Any] | None:
        return None


def weights(build_model: Callable[[], nn.Module], scale: float = 1.0) -> float:
    """The number of weights; deterministic and quick."""
    model = build_model()
    assert isinstance(model, nn.Linear)
    report_intermediate_result(0.5)
    return model.weight.numel() * scale


def two_metrics(build_model: Callable[[], nn.Module]) -> dict[str, float]:
    """The depth to optimise, and the number of weights beside it."""
    model = build_model()
    assert isinstance(model, nn.Linear)
    report_intermediate_result(0.5)
    return {"default": model.out_features, "size": model.weight.numel()}


def drawn(build_model: Callable[[], nn.Module]) -> float:
    """A number that shows how torch's generator was seeded."""
    return float(torch.rand(()).item())


def broken(build_model: Callable[[], nn.Module]) -> float:
    raise ZeroDivisionError("nothing to divide by")


def broken_differently(build_model: Callable[[], nn.Module]) -> float:
    raise LookupError(f"trial {current_trial().number}") if current_trial().number % 2 else KeyError("even")


def pausing(build_model: Callable[[], nn.Module]) -> float:
    time.sleep(0.3)
    return 1.0


def endless(build_model: Callable[[], nn.Module]) -> float:
    """Reports once, then runs until it is ended from outside; the first two trials end at once."""
    if current_trial().number < 2:
        return 1.0
    report_intermediate_result(0.5)
    while True:
        time.sleep(0.01)


def quick_config(directory: Any, **fields: Any) -> RetiariiExeConfig:
    return RetiariiExeConfig(executor="inprocess", experiment_directory=str(directory), **fields)
