"""Trials in the process itself: the contract, less what needs a process of its own."""

from __future__ import annotations

from pathlib import Path

import torch

from graphnas.experiment.executors import InProcessExecutor
from graphnas.testing.behaviours import Behave
from graphnas.testing.executors import ExecutorContract, run_behaviours


class TestInProcessExecutor(ExecutorContract):
    def make(self, concurrency: int) -> InProcessExecutor:
        return InProcessExecutor()


def test_it_declares_what_it_cannot_do() -> None:
    assert not InProcessExecutor().is_isolated


def test_trials_leave_the_random_generators_alone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with InProcessExecutor() as executor:
        executor.open(Behave())
        run_behaviours(executor, tmp_path, ["value"])
    assert torch.equal(torch.rand(3), expected)
