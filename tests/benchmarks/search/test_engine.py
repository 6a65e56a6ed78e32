"""Experiments on a benchmark: every strategy, no model, simulated time, and an end that is stored and resumed."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import graphnas
from graphnas.benchmarks.nasbench201 import network
from graphnas.benchmarks.nasbench201.architecture import to_decisions
from graphnas.benchmarks.nasbench201.constants import EDGES, NONE, PRIMITIVES
from graphnas.benchmarks.search import BenchmarkEngineConfig, BenchmarkEvaluator, SimulatedTime
from graphnas.errors import ConfigError, EvaluationError
from graphnas.experiment.config.engine import check_engine
from graphnas.experiment.strategies import Strategy
from graphnas.strategy import Chain, Deduplication, GridSearch, LocalSearch, Random, RegularizedEvolution

TASK = "nasbench201-cifar100"


class Listed(Strategy):
    """Asks for cells that were measured, one after the other."""

    def ask(self) -> dict[str, Any] | None:
        self._cursor += 1
        if self._cursor > 25:
            return None
        one, other = divmod(self._cursor - 1, 5)
        arch = {**dict.fromkeys(EDGES, NONE), "0_3": PRIMITIVES[one], "2_3": PRIMITIVES[other]}
        return to_decisions(arch)


def is_nearly_measured(decisions: Mapping[str, Any]) -> bool:
    """Allow five times as many cells as were measured."""
    return all(decisions[f"cell/{edge}"] == NONE for edge in ("0_2", "1_2", "1_3"))


def run(strategy: Strategy, folder: Path, evaluator: Any = None, **fields: Any) -> graphnas.RetiariiExperiment:
    experiment = graphnas.RetiariiExperiment(network.space("cifar100"), evaluator, strategy=strategy)
    fields = {"execution_engine": BenchmarkEngineConfig(TASK), "executor": "inprocess", **fields}
    experiment.run(graphnas.RetiariiExeConfig(experiment_directory=folder, **fields))
    return experiment


def test_trials_are_looked_up(few_cells: Path, tmp_path: Path) -> None:
    experiment = run(Listed(), tmp_path / "run")
    best = experiment.best
    assert best is not None
    assert best["decisions"]["cell/0_3"] == best["decisions"]["cell/2_3"] == "avg_pool_3x3"
    assert best["metrics"] == {"default": 84.0, "cost_s": 120.5, "score": 103.0}
    assert [trial["status"] for trial in experiment.trials()] == ["COMPLETED"] * 25


@pytest.mark.parametrize(
    "strategy", [Random(), GridSearch(), LocalSearch(), RegularizedEvolution(population_size=4, sample_size=2)]
)
def test_what_was_not_measured_is_invalid_and_the_search_goes_on(
    few_cells: Path, tmp_path: Path, strategy: Strategy
) -> None:
    space = graphnas.ModelSpace(network.NasBench201(100), constraints=[is_nearly_measured])
    experiment = graphnas.RetiariiExperiment(space, BenchmarkEvaluator(TASK), strategy=strategy)
    config = graphnas.RetiariiExeConfig(
        executor="inprocess", execution_engine="benchmark", max_trial_number=40, experiment_directory=tmp_path / "run"
    )
    experiment.run(config)
    statuses = {trial["status"]: trial for trial in experiment.trials()}
    assert set(statuses) == {"COMPLETED", "INVALID"}
    assert "there is no measurement" in statuses["INVALID"]["error"]


def test_a_budget_of_simulated_time_ends_the_search_and_is_resumed(few_cells: Path, tmp_path: Path) -> None:
    experiment = run(Chain(Listed(), SimulatedTime(1_000)), tmp_path / "run", max_trial_number=5)
    assert len(experiment.trials()) == 5
    resumed = graphnas.RetiariiExperiment.resume(str(tmp_path / "run"), max_trial_number=20)
    assert len(resumed.trials()) == 9  # each costs 120.5 s, and the one that exceeds the time counts


def test_equal_cells_are_evaluated_once_without_a_graph(few_cells: Path, tmp_path: Path) -> None:
    class Twice(Listed):
        def ask(self) -> dict[str, Any] | None:
            self._cursor = 0
            return super().ask()

    with pytest.warns(UserWarning, match="strategy: cannot be stored by name"):
        experiment = run(Chain(Twice(), Deduplication()), tmp_path / "run", max_trial_number=3)
    assert [trial["reused_from"] for trial in experiment.trials()] == [None, 0, 0]
    assert len({trial["fingerprint"] for trial in experiment.trials()}) == 1


def test_workers_look_up_as_well(few_cells: Path, tmp_path: Path) -> None:
    experiment = run(Listed(), tmp_path / "run", executor="process", trial_concurrency=2, max_trial_number=6)
    assert [trial["metric"] for trial in experiment.trials()] == [40.0, 41.0, 42.0, 43.0, 44.0, 50.0]


def test_an_evaluator_that_is_not_asked_is_warned_of(few_cells: Path, tmp_path: Path) -> None:
    evaluator = graphnas.FunctionalEvaluator(len)
    with pytest.warns(UserWarning, match="is not asked, since the engine 'benchmark' answers by itself"):
        run(Listed(), tmp_path / "run", evaluator, max_trial_number=1)


def test_the_engine_by_its_name_alone_builds_nothing(few_cells: Path, tmp_path: Path) -> None:
    def build(build_model: Any) -> float:
        build_model()
        return 1.0

    with (
        pytest.raises(EvaluationError, match="the engine 'benchmark' builds no models"),
        warnings.catch_warnings(action="ignore"),
    ):
        run(Listed(), tmp_path / "run", graphnas.FunctionalEvaluator(build), execution_engine="benchmark")


def test_without_an_evaluator_the_name_alone_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="evaluator: is missing"):
        run(Listed(), tmp_path / "run", execution_engine="benchmark")


def test_settings_are_checked_and_read_from_json() -> None:
    config = BenchmarkEngineConfig(TASK, epochs=200)
    assert check_engine("execution_engine", config.to_json()) == config
    with pytest.raises(ConfigError, match=r"execution_engine.benchmark: expected one of 'nasbench101'.* got 'cifar'"):
        BenchmarkEngineConfig("cifar")
    with pytest.raises(ConfigError, match=r"execution_engine.epoch.* did you mean 'execution_engine.epochs'"):
        BenchmarkEngineConfig(TASK, epoch=3)


def test_an_evaluator_travels_without_its_connection(few_cells: Path) -> None:
    evaluator = BenchmarkEvaluator(TASK, epochs=200)
    copied = pickle.loads(pickle.dumps(evaluator))
    assert repr(copied) == repr(evaluator) == f"BenchmarkEvaluator(benchmark='{TASK}', epochs=200, metric=None)"
    assert copied.task.epochs == 200


@pytest.mark.parametrize("seconds", [0, -1, True, "10", float("inf")])
def test_a_budget_is_a_positive_number(seconds: Any) -> None:
    with pytest.raises(ConfigError, match="seconds: expected a positive number"):
        SimulatedTime(seconds)
