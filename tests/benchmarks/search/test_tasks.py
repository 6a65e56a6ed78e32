"""Search tasks answer from the database, and say what it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graphnas.benchmarks.database import DIRECTORY_VARIABLE
from graphnas.benchmarks.nasbench201.architecture import to_decisions
from graphnas.benchmarks.nasbench201.constants import EDGES, NONE
from graphnas.benchmarks.search import Measured, open_task, task_names
from graphnas.errors import BenchmarkError, UnknownArchitectureError


def cell(**edges: str) -> dict[str, Any]:
    return to_decisions({**dict.fromkeys(EDGES, NONE), **{name.replace("e", ""): op for name, op in edges.items()}})


def test_a_task_measures_and_scores(few_cells: Path) -> None:
    task = open_task("nasbench201-cifar100")
    best = cell(e0_3="avg_pool_3x3", e2_3="avg_pool_3x3")
    assert (task.epochs, task.metric, task.budget_s) == (12, "valid_acc", 40_000)
    assert task.measure(cell()) == Measured(40.0, 120.5)
    assert task.measure(cell(), 200) == Measured(60.0, 2000.5)
    assert task.measure(best) is task.measure(best)
    assert task.score(best) == task.best_score == 103.0
    assert task.domains == task.space().domains


def test_length_of_training_and_metric_can_be_chosen(few_cells: Path) -> None:
    task = open_task("nasbench201-cifar100", epochs=200, metric="test_acc")
    assert task.measure(cell()) == Measured(59.0, 2000.5)
    assert task.measure(cell(), 12) == Measured(39.0, 120.5)


def test_what_was_not_measured_is_refused_every_time(few_cells: Path) -> None:
    task = open_task("nasbench201-cifar100")
    for _ in range(2):
        with pytest.raises(UnknownArchitectureError, match="there is no measurement"):
            task.measure(cell(e0_1="conv_3x3"))
    assert task.score(cell(e0_1="conv_3x3")) is None
    with pytest.raises(BenchmarkError, match="trainings of 12, 200 epochs were measured, none of 50"):
        task.measure(cell(), 50)
    with pytest.raises(UnknownArchitectureError, match="the data has no train_acc of"):
        open_task("nasbench201-cifar100", metric="train_acc").measure(cell())
    with pytest.raises(UnknownArchitectureError, match="expected the labels cell/0_1"):
        task.measure({"width": 3})


def test_unknown_tasks_lengths_and_databases_are_refused(
    few_cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {"nasbench101", "nasbench201-cifar10", "nasbench201-imagenet16-120"} <= set(task_names())
    with pytest.raises(BenchmarkError, match=r"benchmark: expected one of nasbench101, .*, got 'mnist'"):
        open_task("mnist")
    with pytest.raises(BenchmarkError, match="trainings of 12, 200 epochs were measured, none of 13"):
        open_task("nasbench201-cifar10", epochs=13)
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / "empty"))
    with pytest.raises(BenchmarkError, match="there is no database of nasbench101; get"):
        open_task("nasbench101")
