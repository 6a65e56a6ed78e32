"""Runs in the background of the process, and experiments of others, viewed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import graphnas
from graphnas.errors import ConfigError, EvaluationError, ExperimentError
from graphnas.experiment.config import BaseEngineConfig, RetiariiExeConfig
from graphnas.experiment.evaluators import FunctionalEvaluator
from graphnas.experiment.experiment import RetiariiExperiment
from graphnas.experiment.strategies import Random

from . import samples
from .samples import GridSpace, quick_config

pytestmark = pytest.mark.filterwarnings("ignore:base_model. cannot be stored:UserWarning")


def experiment(function: object = samples.weights) -> RetiariiExperiment:
    return RetiariiExperiment(GridSpace(), FunctionalEvaluator(function), None, Random(seed=1))  # type: ignore[arg-type]


def test_a_run_in_the_background_can_be_watched_and_waited_for(tmp_path: Path) -> None:
    run = experiment()
    assert run.get_status() == "INITIALIZED"
    run.start(quick_config(tmp_path))
    assert run.wait()
    assert run.wait(), "waiting twice does no harm"
    run.stop()
    assert run.get_status() == "DONE"
    assert len(run.trials()) == 12


def test_stop_returns_when_the_run_has_ended_and_keeps_what_was_finished(tmp_path: Path) -> None:
    run = experiment(samples.pausing)
    run.start(quick_config(tmp_path))
    deadline = time.monotonic() + 30
    while not any(row["status"] == "COMPLETED" for row in run.trials()):
        assert time.monotonic() < deadline, "no trial has completed"
        time.sleep(0.02)
    assert run.get_status() == "RUNNING"
    assert not run.wait(0.01)
    run.stop()
    assert run.get_status() == "STOPPED"
    assert 0 < len(run.trials()) < 12
    resumed = RetiariiExperiment.resume(
        str(tmp_path), base_model=GridSpace(), evaluator=FunctionalEvaluator(samples.weights)
    )
    assert len(resumed.trials()) == 12


def test_what_ends_a_background_run_surfaces_where_one_waits(tmp_path: Path) -> None:
    run = experiment(samples.broken)
    run.start(quick_config(tmp_path / "a"))
    with pytest.raises(EvaluationError, match="ZeroDivisionError"):
        run.wait()
    assert run.get_status() == "ERROR"
    with pytest.raises(EvaluationError, match="ZeroDivisionError"):
        run.stop()
    with pytest.raises(ExperimentError, match="was run already"):
        run.start(quick_config(tmp_path / "b"))
    with pytest.raises(ConfigError, match="strategy: is missing"):
        RetiariiExperiment(GridSpace(), FunctionalEvaluator(samples.weights)).start(quick_config(tmp_path / "c"))


PROGRAM = """
import sys, time
from graphnas.experiment.config import RetiariiExeConfig
from graphnas.experiment.evaluators import FunctionalEvaluator
from graphnas.experiment.experiment import RetiariiExperiment
from graphnas.experiment.strategies import Random
from tests.experiment import samples

run = RetiariiExperiment(samples.GridSpace(), FunctionalEvaluator(samples.pausing), None, Random(seed=1))
run.start(samples.quick_config(sys.argv[1]))
while not run.trials():
    time.sleep(0.02)
print("the program ends", file=sys.__stdout__)  # sys.stdout is the running trial's
"""


def test_a_program_that_ends_without_stop_ends_the_run_in_order(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::UserWarning", "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert "the program ends" in done.stdout
    assert "stopped. Trials:" in done.stdout
    assert done.stderr == ""


@graphnas.model_wrapper
class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width = graphnas.ValueChoice([2, 4, 8], label="width")
        self.hidden = nn.Linear(2, width)
        self.out = nn.Linear(width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.hidden(x)))  # type: ignore[no-any-return]  # modules are not typed


def hidden_width(build_model: object) -> float:
    return float(build_model().hidden.out_features)  # type: ignore[operator]  # any callable


def test_a_viewed_experiment_gives_source_and_runs_no_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHNAS_HOME", str(tmp_path))
    run = RetiariiExperiment(Net(), FunctionalEvaluator(hidden_width), None, Random(seed=1))
    run.run(RetiariiExeConfig(execution_engine=BaseEngineConfig(dummy_input=[1, 2]), executor="inprocess"))
    capsys.readouterr()
    viewed = RetiariiExperiment.view(run.id[:-2], port=8080, non_blocking=True)
    printed = capsys.readouterr().out
    assert f"Experiment {run.id}: space exhausted, begun " in printed
    assert "Trials: 3 completed" in printed
    assert "RANK  TRIAL  METRIC" in printed
    assert viewed.id == run.id
    assert viewed.trials() == run.trials()
    assert viewed.get_status() == "DONE"
    (source,) = viewed.export_top_models(formatter="code")
    assert "nn.Linear(2, 8)" in source
    with pytest.raises(ExperimentError, match="building a module runs the code of the experiment"):
        viewed.export_top_models(formatter="instance")
    handed = RetiariiExperiment.view(run.id, base_model=Net())
    (module,) = handed.export_top_models(formatter="instance")
    assert module.hidden.out_features == 8
    with pytest.raises(ExperimentError, match="the model's choices are not those"):
        RetiariiExperiment.view(run.id, base_model=GridSpace())


class Trainer:
    """As the predecessor's DartsTrainer and its siblings were used."""

    fitted = False

    def fit(self) -> None:
        self.fitted = True

    def export(self) -> dict[str, str]:
        return {"op": "conv"}


def test_an_old_one_shot_trainer_searches_by_itself() -> None:
    trainer = Trainer()
    with pytest.warns(DeprecationWarning, match=r"Trainer is a one-shot trainer: run\(\) calls its fit"):
        run = RetiariiExperiment(None, trainer)
    run.run()
    assert trainer.fitted
    assert run.export_top_models(3, "minimize", "code") == [{"op": "conv"}]
    with pytest.raises(ConfigError, match="a one-shot trainer cannot run in the background"):
        run.start()
    with pytest.warns(DeprecationWarning, match="one-shot trainer|old name"):
        RetiariiExperiment(None, trainer=trainer)
