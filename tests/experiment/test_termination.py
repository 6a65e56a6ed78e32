"""Every reason to end, with every strategy: the run returns soon after it, and says which it was."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graphnas.errors import EvaluationError
from graphnas.experiment.evaluators import FunctionalEvaluator
from graphnas.experiment.experiment import RetiariiExperiment
from graphnas.experiment.strategies import Answer, Chain, Part, Strategy
from graphnas.experiment.trial import TrialStatus, current_trial

from . import samples
from .every_strategy import EVERY_STRATEGY
from .samples import GridSpace, quick_config

pytestmark = pytest.mark.filterwarnings("ignore:.*cannot be stored:UserWarning")

PROMPTLY_S = 5.0
NEVER_SOON = 60
"""So many trials on a space of four points are a strategy that would go on for ever."""


class Enough(Part):
    """Ends whatever strategy it stands around after four candidates."""

    def ask(self) -> Answer:
        self._cursor += 1
        return super().ask() if self._cursor <= 4 else None


@pytest.fixture(params=EVERY_STRATEGY)
def make(request: pytest.FixtureRequest) -> Callable[[], Strategy]:
    return EVERY_STRATEGY[request.param]


def run(folder: Path, strategy: Strategy, function: Any = samples.weights, *, size: int = 4, **fields: Any) -> float:
    """Run an experiment to its end, and return the seconds that it took."""
    experiment = RetiariiExperiment(GridSpace(size, size), FunctionalEvaluator(function), strategy=strategy)
    started = time.monotonic()
    try:
        experiment.run(quick_config(folder, **fields))
    finally:
        running = [row for row in experiment.trials() if not TrialStatus(row["status"]).is_final]
        assert all(row["status"] == "CANCELLED" for row in running)
    return time.monotonic() - started


def test_the_budget_of_trials(make: Callable[[], Strategy], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, make(), max_trial_number=3) < PROMPTLY_S
    assert "trial budget. Trials: 3 completed" in capsys.readouterr().out


def test_the_budget_of_time(make: Callable[[], Strategy], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, make(), samples.endless, max_experiment_duration=0.3) < 0.3 + PROMPTLY_S
    assert "time budget. Trials: 2 completed, 1 cancelled" in capsys.readouterr().out


def test_an_exhausted_space(make: Callable[[], Strategy], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, make(), size=2, max_trial_number=NEVER_SOON) < PROMPTLY_S
    printed = capsys.readouterr().out
    assert any(f"{reason}. Trials:" in printed for reason in ("space exhausted", "strategy done", "trial budget"))


@pytest.mark.parametrize("name", ["Random", "GridSearch", "RegularizedEvolution"])
def test_an_exhausted_space_of_who_asks_for_each_point_once(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, EVERY_STRATEGY[name](), size=2)
    assert "space exhausted. Trials: 4 completed" in capsys.readouterr().out


def test_a_strategy_that_is_done(
    make: Callable[[], Strategy], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, Chain(make(), Enough())) < PROMPTLY_S
    assert "strategy done. Trials: 4 completed" in capsys.readouterr().out


def interrupting(build_model: Callable[[], Any]) -> float:
    """Ends at once in the first two trials; in the third one somebody presses Ctrl-C."""
    if current_trial().number == 2:
        os.kill(os.getpid(), signal.SIGINT)
        return samples.endless(build_model)
    return 1.0


def test_an_interrupt(make: Callable[[], Strategy], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        run(tmp_path, make(), interrupting)
    assert time.monotonic() - started < PROMPTLY_S
    printed = capsys.readouterr().out
    assert "interrupted. Trials: 2 completed, 1 cancelled" in printed
    assert "Resume: " in printed


def test_trials_that_all_fail(make: Callable[[], Strategy], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    with pytest.raises(EvaluationError, match="3 of 3 failed, the first as FAILED: ZeroDivisionError"):
        run(tmp_path, make(), samples.broken)
    assert time.monotonic() - started < PROMPTLY_S
    assert "every trial failed. Trials: 3 failed" in capsys.readouterr().out
