"""Strategies in whole runs: continued trials, stops, equal candidates, and resumed searches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from graphnas.experiment.evaluators import FunctionalEvaluator
from graphnas.experiment.experiment import RetiariiExperiment
from graphnas.experiment.strategies import (
    ASHA,
    CMAES,
    NSGA2,
    TPE,
    Chain,
    Deduplication,
    Filter,
    GridSearch,
    HalvingStop,
    Hyperband,
    LocalSearch,
    MedianStop,
    PolicyBasedRL,
    Random,
    RegularizedEvolution,
    Retry,
    Strategy,
)
from graphnas.experiment.trial import current_trial, report_intermediate_result, should_stop

from ..samples import GridSpace, quick_config

pytestmark = pytest.mark.filterwarnings("ignore:base_model. cannot be stored:UserWarning")


def is_wide(decisions: Mapping[str, Any]) -> bool:
    return bool(decisions["width"] > 2)


STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "grid": lambda: GridSearch(seed=1),
    "local": lambda: LocalSearch(initial=3, seed=1),
    "evolution": lambda: RegularizedEvolution(population_size=4, sample_size=2, crossover=True, seed=1),
    "policy": lambda: PolicyBasedRL(5, 4, seed=1),
    "tpe": lambda: TPE(startup_trials=4, seed=1),
    "cmaes": lambda: CMAES(population_size=4, seed=1),
    "nsga2": lambda: NSGA2({"default": "maximize", "size": "minimize"}, 4, seed=1),
    "asha": lambda: ASHA(4, reduction_factor=2, seed=1),
    "hyperband": lambda: Hyperband(4, reduction_factor=2, seed=1),
    "chain": lambda: Chain(
        RegularizedEvolution(population_size=4, sample_size=2, dedup=False, seed=1),
        Filter(is_wide),
        Retry(),
        MedianStop(),
    ),
}


def trained(build_model: Callable[[], Any]) -> dict[str, float]:
    """As good as its width, and better by each step that it or those before it were trained for."""
    trial = current_trial()
    loaded = trial.load_checkpoint()
    done = 0 if loaded is None else int(loaded[1]["steps"])
    for step in range(done, int(trial.budget or 3)):
        done = step + 1
        report_intermediate_result(trial.decisions["width"] + done / 10)
        if should_stop():
            break
    trial.save_checkpoint({"weight": torch.zeros(1)}, steps=done)
    width = trial.decisions["width"]
    return {"default": width + done / 10, "size": float(width * trial.decisions["depth"]), "steps": float(done)}


def run(strategy: Strategy, directory: Path, count: int, space: GridSpace | None = None) -> RetiariiExperiment:
    experiment = RetiariiExperiment(space or GridSpace(6, 5), FunctionalEvaluator(trained), strategy=strategy)
    experiment.run(quick_config(directory, max_trial_number=count))
    return experiment


def rows(experiment: RetiariiExperiment) -> list[tuple[Any, ...]]:
    return [(row["number"], row["decisions"], row["budget"], row["metric"]) for row in experiment.trials()]


@pytest.mark.parametrize("make", STRATEGIES.values(), ids=STRATEGIES)
def test_a_resumed_run_asks_what_an_uninterrupted_one_would(tmp_path: Path, make: Callable[[], Strategy]) -> None:
    whole = run(make(), tmp_path / "whole", 16)
    run(make(), tmp_path / "parts", 9)
    again = RetiariiExperiment.resume(str(tmp_path / "parts"), base_model=GridSpace(6, 5), max_trial_number=16)
    assert rows(again) == rows(whole)
    assert len(rows(whole)) == 16


def test_promoted_trials_go_on_from_the_checkpoint(tmp_path: Path) -> None:
    experiment = run(ASHA(8, 2, reduction_factor=2, seed=0), tmp_path, 30)
    trials = experiment.trials()
    continued = [trial for trial in trials if trial["resume_from"] is not None]
    assert {trial["budget"] for trial in continued} == {4, 8}
    for trial in continued:
        parent = trials[trial["resume_from"]]
        assert parent["decisions"] == trial["decisions"]
        assert parent["metrics"]["steps"] * 2 == trial["metrics"]["steps"] == trial["budget"]


def test_equal_candidates_cost_nothing_or_are_left_out(tmp_path: Path) -> None:
    for on_equal in ("replay", "skip"):
        strategy = Chain(Random(dedup=False, seed=0), Deduplication(on_equal))
        trials = run(strategy, tmp_path / on_equal, 30, GridSpace(3, 4)).trials()
        points = {str(trial["decisions"]) for trial in trials}
        reused = [trial for trial in trials if trial["reused_from"] is not None]
        assert len(points) == len(trials) - len(reused) <= 12
        assert bool(reused) == (on_equal == "replay")
        for trial in reused:
            assert trial["metric"] == trials[trial["reused_from"]]["metric"]


@pytest.mark.parametrize("part", [MedianStop(min_trials=3), HalvingStop(min_steps=2)], ids=["median", "halving"])
def test_bad_trials_are_stopped_early(tmp_path: Path, part: Any) -> None:
    strategy = Chain(Random(seed=0), part)
    trials = run(strategy, tmp_path, 30).trials()
    stopped = [trial for trial in trials if trial["status"] == "PRUNED"]
    assert 5 <= len(stopped) < 30
    assert all(trial["metrics"]["steps"] < 3 for trial in stopped)
    assert max(trial["metric"] for trial in stopped) < max(trial["metric"] for trial in trials)


def test_the_front_of_several_objectives(tmp_path: Path) -> None:
    experiment = run(NSGA2({"default": "maximize", "size": "minimize"}, 4, seed=0), tmp_path, 30)
    best = experiment.pareto()
    assert [
        (row["decisions"]["width"], row["decisions"]["depth"]) for row in best if row["decisions"]["depth"] > 1
    ] == []
    assert {row["decisions"]["width"] for row in best} == {1, 2, 3, 4, 5, 6}
