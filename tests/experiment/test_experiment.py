"""Whole runs in this process: results, failures, every reason to end, resume."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graphnas.errors import ConfigError, EvaluationError, ExperimentError, StoreError
from graphnas.experiment.config import RetiariiExeConfig
from graphnas.experiment.evaluators import FunctionalEvaluator
from graphnas.experiment.experiment import RetiariiExperiment
from graphnas.experiment.store import Store
from graphnas.experiment.strategies import (
    WAIT,
    Answer,
    Chain,
    Deduplication,
    GridSearch,
    Proposal,
    Random,
    RegularizedEvolution,
    Strategy,
)

from . import samples
from .samples import GridSpace, quick_config

pytestmark = pytest.mark.filterwarnings("ignore:base_model. cannot be stored:UserWarning")

STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "random": lambda: Random(seed=1),
    "evolution": lambda: RegularizedEvolution(population_size=4, sample_size=2, seed=1),
}


@pytest.fixture(params=STRATEGIES)
def strategy(request: pytest.FixtureRequest) -> Strategy:
    return STRATEGIES[request.param]()


def experiment(function: Any = samples.weights, strategy: Strategy | None = None, **space: Any) -> RetiariiExperiment:
    return RetiariiExperiment(GridSpace(**space), FunctionalEvaluator(function), None, strategy or Random(seed=1))


def asked(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["number"], row["decisions"], row["seed"], row["metric"]) for row in rows]


def test_results_are_rows_best_and_exports(tmp_path: Path) -> None:
    run = experiment()
    run.run(quick_config(tmp_path, max_trial_number=5))
    rows = run.trials()
    assert [row["number"] for row in rows] == [0, 1, 2, 3, 4]
    assert all(row["metric"] == row["decisions"]["width"] * row["decisions"]["depth"] for row in rows)
    assert all(row["status"] == "COMPLETED" and row["duration_s"] >= 0 and row["error"] is None for row in rows)
    metrics = sorted(row["metric"] for row in rows)
    assert run.best is not None
    assert run.best["metric"] == metrics[-1]
    top = run.export_top_models(2)
    assert [d["width"] * d["depth"] for d in top if isinstance(d, dict)] == metrics[:-3:-1]
    (worst,) = run.export_top_models(optimize_mode="minimize")
    assert isinstance(worst, dict)
    assert worst["width"] * worst["depth"] == metrics[0]


def test_trials_are_seeded_one_by_one(tmp_path: Path) -> None:
    first, second = experiment(samples.drawn), experiment(samples.drawn)
    first.run(quick_config(tmp_path / "a", max_trial_number=4))
    second.run(quick_config(tmp_path / "b", max_trial_number=4))
    assert asked(first.trials()) == asked(second.trials())
    assert len({row["metric"] for row in first.trials()}) == 4


@pytest.mark.parametrize(
    ("fields", "reason", "count"),
    [
        ({"max_trial_number": 3}, "trial budget", 3),
        ({}, "space exhausted", 12),
    ],
)
def test_a_run_ends_with_its_reason(
    tmp_path: Path, strategy: Strategy, capsys: pytest.CaptureFixture[str], fields: Any, reason: str, count: int
) -> None:
    run = experiment(strategy=strategy)
    run.run(quick_config(tmp_path, **fields))
    printed = capsys.readouterr().out
    assert f"{reason}. Trials: {count} completed" in printed
    assert "graphnas.RetiariiExperiment.resume(" in printed or "export_top_models" in printed
    assert len(run.trials()) == count


def test_a_strategy_that_is_done_ends_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = experiment(strategy=RegularizedEvolution(cycles=4))
    run.run(quick_config(tmp_path))
    assert "strategy done. Trials: 4 completed" in capsys.readouterr().out


class _Scripted(Strategy):
    """Asks what it is given, then `WAIT`."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__()
        self._answers = list(answers)

    def ask(self) -> Answer:
        return self._answers.pop(0) if self._answers else WAIT


def test_a_strategy_that_waits_while_nothing_runs_ends_the_run_with_an_error(tmp_path: Path) -> None:
    run = experiment(strategy=_Scripted({"width": 1, "depth": 2}, Proposal({"width": 2, "depth": 2})))
    with pytest.raises(ExperimentError, match="returned WAIT although no trial is running"):
        run.run(quick_config(tmp_path))
    assert [row["metric"] for row in run.trials()] == [2, 4]


def test_the_time_budget_ends_even_an_endless_trial(
    tmp_path: Path, strategy: Strategy, capsys: pytest.CaptureFixture[str]
) -> None:
    run = experiment(samples.endless, strategy)
    started = time.monotonic()
    run.run(quick_config(tmp_path, max_experiment_duration=0.5))
    assert time.monotonic() - started < 5
    assert "time budget. Trials: 2 completed, 1 cancelled" in capsys.readouterr().out


def test_stop_from_another_thread(tmp_path: Path, strategy: Strategy, capsys: pytest.CaptureFixture[str]) -> None:
    run = experiment(samples.pausing, strategy)
    timer = threading.Timer(0.4, run.stop)
    timer.start()
    run.run(quick_config(tmp_path))
    timer.join()
    assert "stopped. Trials:" in capsys.readouterr().out
    assert 0 < len(run.trials()) < 12


def test_an_evaluator_that_always_fails_ends_the_run_with_the_first_traceback(
    tmp_path: Path, strategy: Strategy
) -> None:
    run = experiment(samples.broken, strategy)
    with pytest.raises(EvaluationError, match="3 of 3 failed, the first as FAILED: ZeroDivisionError") as caught:
        run.run(quick_config(tmp_path))
    assert "in broken" in caught.value.traceback
    assert [row["status"] for row in run.trials()] == ["FAILED"] * 3


def test_failures_of_different_kinds_end_the_run_when_nothing_is_left(tmp_path: Path) -> None:
    run = experiment(samples.broken_differently)
    with pytest.raises(EvaluationError, match="12 of 12 failed"):
        run.run(quick_config(tmp_path))


def test_invalid_candidates_are_told_apart_and_harm_nobody(tmp_path: Path, strategy: Strategy) -> None:
    run = experiment(strategy=strategy, refused=(2,))
    run.run(quick_config(tmp_path))
    for row in run.trials():
        invalid = row["decisions"]["width"] == 2
        assert row["status"] == ("INVALID" if invalid else "COMPLETED")
        assert (row["error"] or "").startswith("MutationError: width 2") == invalid


@pytest.mark.parametrize("kept", [0, 1, 5, 9])
def test_a_resumed_serial_run_asks_what_an_uninterrupted_one_would(
    tmp_path: Path, strategy: Strategy, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = experiment(strategy=strategy)
    whole.run(quick_config(tmp_path / "whole"))
    cut = experiment(strategy=strategy)

    def die(*_: object) -> None:
        raise RuntimeError("the power went")

    finish = Store.finish

    def finish_or_die(store: Store, number: int, *rest: Any) -> None:
        (die if number == kept else finish)(store, number, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "finish", finish_or_die)
        with pytest.raises(RuntimeError, match="the power went"):
            cut.run(quick_config(tmp_path / "cut"))
    assert [row["status"] for row in cut.trials()] == ["COMPLETED"] * kept + ["RUNNING"]
    resumed = RetiariiExperiment.resume(str(tmp_path / "cut"), base_model=GridSpace())
    assert resumed.id == cut.id
    assert asked(resumed.trials()) == asked(whole.trials())
    with sqlite3.connect(tmp_path / "cut" / "experiment.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def test_resume_continues_with_a_larger_budget_only(tmp_path: Path) -> None:
    run = experiment()
    run.run(quick_config(tmp_path, max_trial_number=2))
    resumed = RetiariiExperiment.resume(str(tmp_path), base_model=GridSpace(), max_trial_number=4)
    assert len(resumed.trials()) == 4
    with pytest.raises(ConfigError, match="seed: cannot change when an experiment is resumed"):
        RetiariiExperiment.resume(str(tmp_path), base_model=GridSpace(), seed=4)
    with pytest.raises(ExperimentError, match="they differ in 'width'"):
        RetiariiExperiment.resume(str(tmp_path), base_model=GridSpace(width=9))
    with pytest.raises(ExperimentError, match=r"could not keep base_model.*resume\(.*base_model=\.\.\.\)"):
        RetiariiExperiment.resume(str(tmp_path))


def test_an_experiment_runs_in_one_process_at_a_time_and_in_a_folder_of_its_own(tmp_path: Path) -> None:
    experiment().run(quick_config(tmp_path, max_trial_number=1))
    with pytest.raises(StoreError, match="holds an experiment already"):
        experiment().run(quick_config(tmp_path))
    store = Store.open(tmp_path, writable=True)
    with pytest.raises(StoreError, match=r"another process \(pid \d+\) runs this experiment"):
        RetiariiExperiment.resume(str(tmp_path), base_model=GridSpace())
    store.close()
    with pytest.raises(StoreError, match=r"there is no experiment\.db in"):
        RetiariiExperiment.resume(str(tmp_path / "elsewhere"))


def test_what_is_missing_or_wrong_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"evaluator: expected Evaluator.*FunctionalEvaluator\(function\)"):
        RetiariiExperiment(GridSpace(), samples.weights)  # type: ignore[arg-type]  # the wrong type is the point
    with pytest.raises(ConfigError, match="evaluator: is missing"):
        RetiariiExperiment(GridSpace(), None, None, Random()).run(quick_config(tmp_path))
    with pytest.raises(ConfigError, match="base_model: is missing"):
        RetiariiExperiment(None, FunctionalEvaluator(samples.weights), None, Random()).run(quick_config(tmp_path))
    with pytest.raises(ConfigError, match=r"config: expected RetiariiExeConfig, got 'a\.yaml'; a YAML file is read by"):
        experiment().run("a.yaml")  # type: ignore[arg-type]  # the wrong type is the point
    with pytest.raises(ExperimentError, match="has not been run"):
        experiment().trials()
    with pytest.warns(DeprecationWarning, match="old name of evaluator"):
        RetiariiExperiment(GridSpace(), trainer=FunctionalEvaluator(samples.weights))
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("default:base_model. cannot be stored:UserWarning")
def test_what_cannot_be_stored_by_name_is_warned_of_at_the_start(tmp_path: Path) -> None:
    run = experiment(lambda build: 1.0)
    with pytest.warns(UserWarning, match=r"base_model and evaluator: cannot be stored.*evaluator=\.\.\."):
        run.run(quick_config(tmp_path, max_trial_number=1))
    assert run.trials()[0]["status"] == "COMPLETED"


def test_a_run_in_two_workers(tmp_path: Path) -> None:
    run = experiment()
    run.run(RetiariiExeConfig(trial_concurrency=2, max_trial_number=4, experiment_directory=str(tmp_path)))
    assert [row["status"] for row in run.trials()] == ["COMPLETED"] * 4


def test_results_of_an_earlier_experiment_stand_in_for_equal_candidates(tmp_path: Path) -> None:
    first = experiment(strategy=GridSearch(shuffle=False))
    first.run(quick_config(tmp_path / "first", max_trial_number=3))
    # What has no name in the store could be anything, so nothing of it is taken over.
    named = RetiariiExperiment(
        GridSpace(),
        FunctionalEvaluator(samples.weights),
        None,
        Chain(GridSearch(shuffle=False), Deduplication(reuse=[str(tmp_path / "first")])),
    )
    named.run(quick_config(tmp_path / "second", max_trial_number=4))
    # The first experiment did not look at architectures, so it has nothing to be compared by.
    assert [row["reused_from"] for row in named.trials()] == [None] * 4
    third = RetiariiExperiment(
        GridSpace(),
        FunctionalEvaluator(samples.weights),
        None,
        Chain(GridSearch(shuffle=False), Deduplication(reuse=[str(tmp_path / "second")])),
    )
    third.run(quick_config(tmp_path / "third", max_trial_number=5))
    assert [row["reused_from"] for row in third.trials()] == [0, 1, 2, 3, None]
    assert {row["reused_experiment"] for row in third.trials()} == {named.id, None}
    with pytest.raises(StoreError, match="experiment 'nowhere': there is no"):
        RetiariiExperiment(
            GridSpace(),
            FunctionalEvaluator(samples.weights),
            None,
            Chain(Random(), Deduplication(reuse=["nowhere"])),
        ).run(quick_config(tmp_path / "fourth"))
