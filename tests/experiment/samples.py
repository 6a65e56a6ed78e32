"""A small space and evaluators that the tests of this folder share."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from graphnas.errors import MutationError
from graphnas.experiment.config import RetiariiExeConfig
from graphnas.experiment.evaluators import Evaluator
from graphnas.experiment.trial import (
    current_trial,
    report_final_result,
    report_intermediate_result,
    should_stop,
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


class Behaviour(Evaluator):
    """Does what the trial's decision `what` says."""

    def evaluate(self, build_model: Callable[[], Any]) -> Any:
        return BEHAVIOURS[current_trial().decisions["what"]](build_model)

    def arguments(self) -> dict[str, Any]:
        return {}


class Nothing:
    """A workload that builds nothing and behaves as told."""

    def build(self, task: Any) -> Any:
        if task.decisions["what"] == "refusal":
            raise MutationError("channels disagree: expected 8, got 16", site="net.conv")
        return None

    def evaluate(self, build_model: Callable[[], Any]) -> Any:
        return Behaviour().evaluate(build_model)


def _segfault(_: Any) -> None:
    print("before the crash")
    report_intermediate_result(0.25)
    ctypes.string_at(0)


def _killed(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hang(_: Any) -> None:
    report_intermediate_result(0.75)
    while True:
        time.sleep(0.01)


def _stubborn(_: Any) -> Any:
    try:
        _hang(_)
    except Exception:
        return 1.0


def _until_stopped(_: Any) -> float:
    report_intermediate_result(0.125)
    deadline = time.monotonic() + 20
    while not should_stop():
        if time.monotonic() > deadline:
            raise TimeoutError("was never asked to stop")
        time.sleep(0.005)
    return 0.125


def _chatty(_: Any) -> float:
    print("to stdout")
    print("to stderr", file=sys.stderr)
    return 1.0


def _reports_twice(_: Any) -> None:
    report_final_result(1.0)
    report_final_result(2.0)


def _reports_and_returns(_: Any) -> str:
    report_final_result({"default": 0.5, "loss": 2})
    return "not a metric, and not asked for"


def _steps(_: Any) -> int:
    for step in range(3):
        report_intermediate_result(step)
    return 3


def _raises(error: BaseException) -> Callable[[Any], Any]:
    def behave(_: Any) -> Any:
        raise error

    return behave


BEHAVIOURS: dict[str, Callable[[Any], Any]] = {
    "value": lambda _: 0.5,
    "steps": _steps,
    "reports_and_returns": _reports_and_returns,
    "reports_twice": _reports_twice,
    "context": lambda _: float(current_trial().seed),
    "chatty": _chatty,
    "raises": _raises(ZeroDivisionError("by hand")),
    "text": lambda _: "0.9",
    "nan": lambda _: float("nan"),
    "nothing": lambda _: None,
    "no_default": lambda _: {"loss": 1.0},
    "nan_step": lambda _: report_intermediate_result(float("inf")),
    "refusal": lambda build: build(),
    "memory": _raises(MemoryError()),
    "torch_memory": _raises(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")),
    "leaves": _raises(SystemExit(3)),
    "segfault": _segfault,
    "killed": _killed,
    "exit_3": lambda _: os._exit(3),
    "exit_0": lambda _: os._exit(0),
    "hang": _hang,
    "stubborn": _stubborn,
    "until_stopped": _until_stopped,
}
