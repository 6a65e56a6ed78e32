"""Search tasks answer from the database, and say what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graphnas.benchmarks.build import build
from graphnas.benchmarks.database import DIRECTORY_VARIABLE
from graphnas.benchmarks.layouts import Benchmark
from graphnas.benchmarks.nasbench101.architecture import to_decisions as decisions_101
from graphnas.benchmarks.nasbench101.benchmark import BENCHMARK as BENCHMARK_101
from graphnas.benchmarks.nasbench201.architecture import to_decisions
from graphnas.benchmarks.nasbench201.constants import EDGES, NONE
from graphnas.benchmarks.nds.architecture import to_decisions as decisions_nds
from graphnas.benchmarks.nds.benchmark import BENCHMARK as BENCHMARK_NDS
from graphnas.benchmarks.search import Measured, open_task, task_names
from graphnas.benchmarks.search.task import architecture_key
from graphnas.errors import BenchmarkError, UnknownArchitectureError
from tests.benchmarks.nds.jobs import archived, cell_net, job, staged_net


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


def test_modules_of_nas_bench_101_are_found_under_any_numbering(
    installed: Callable[[Benchmark, str], Path],
) -> None:
    installed(
        BENCHMARK_101,
        "arch,num_epochs,valid_acc,test_acc,training_time\n"
        '"{""op1"": ""conv3x3-bn-relu"", ""op2"": ""maxpool3x3"", ""input1"": [0], '
        '""input2"": [0], ""input3"": [1, 2]}",108,91,90,1100\n'
        '"{""input1"": [0]}",108,,60,\n',
    )
    task = open_task("nasbench101")
    renumbered = {"op1": "maxpool3x3", "op2": "conv3x3-bn-relu", "input1": [0], "input2": [0], "input3": [2, 1]}
    decisions = decisions_101(renumbered)
    numbered = {"op1": "conv3x3-bn-relu", "op2": "maxpool3x3", "input1": [0], "input2": [0], "input3": [1, 2]}
    assert architecture_key(decisions) == architecture_key(decisions_101(numbered))
    assert architecture_key(decisions) != architecture_key(decisions_101({"input1": [0]}))
    assert (task.measure(decisions), task.score(decisions)) == (Measured(91.0, 1100.0), 90.0)
    assert (task.best_score, task.budget_s) == (90.0, None)
    smallest = decisions_101({"input1": [0]})
    with pytest.raises(UnknownArchitectureError, match="the data has no valid_acc of"):
        task.measure(smallest)
    assert open_task("nasbench101", metric="test_acc").measure(smallest) == Measured(60.0, None)


def test_networks_of_nds_are_measured_where_they_were_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    bottlenecks = staged_net("res_bottleneck_block", bot_muls=[0.0, 0.25, 0.25, 0.25], num_gs=[1, 2, 1, 2])
    files = {"Amoeba.json": [job(cell_net())], "ResNeXt-A.json": [job(bottlenecks)]}
    build(BENCHMARK_NDS, [archived(files, tmp_path / "data.zip")])
    task = open_task("nds-resnext-a")
    model_spec = {**bottlenecks}
    del model_spec["block_type"]
    decisions = decisions_nds("resnext-a", model_spec)
    measured = task.measure(decisions)
    assert measured.metric == pytest.approx(93.27)
    assert measured.cost_s == pytest.approx(0.281 * 391 * 100)
    assert task.score(decisions) == task.best_score == pytest.approx(93.27)
    assert open_task("nds-amoeba").best_score == pytest.approx(93.27)
    with pytest.raises(UnknownArchitectureError, match="nds-resnext-a: there is no measurement"):
        task.measure({**decisions, "depth_1": 1})
