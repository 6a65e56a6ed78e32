"""A cluster of several nodes on this machine, one of which is killed while trials run."""

from __future__ import annotations

import importlib
import os
import pickle
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from graphnas.experiment.config import RetiariiExeConfig
from graphnas.experiment.evaluators import FunctionalEvaluator
from graphnas.experiment.executors import Ended, Reported, Task
from graphnas.experiment.executors.cluster import RayExecutor
from graphnas.experiment.experiment import RetiariiExperiment
from graphnas.experiment.strategies import Random
from graphnas.experiment.trial import TrialStatus, current_trial, report_intermediate_result

from ..samples import GridSpace
from .waiting import run_until

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A cluster of this machine whose head runs no trials; this process is connected to it."""
    ray: Any = importlib.import_module("ray")
    found = importlib.import_module("ray.cluster_utils").Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    try:
        ray.init(address=found.address, log_to_driver=False, logging_level="error")
        yield found
    finally:
        ray.shutdown()
        found.shutdown()


class OnNode:
    """A workload that reports the process of the node's worker, then waits to be lost or, the second time, returns."""

    def build(self, task: Task) -> None:
        raise NotImplementedError

    def evaluate(self, build_model: object) -> float:
        report_intermediate_result(os.getpid())
        while current_trial().decisions["waits"]:
            time.sleep(0.01)
        return 1.0


def task(number: int, folder: Path, **decisions: Any) -> Task:
    directory = folder / str(number)
    directory.mkdir(exist_ok=True)
    return Task(number, decisions, 0, directory)


def is_running(number: float) -> bool:
    return Path(f"/proc/{int(number)}").exists()


def test_trials_of_a_killed_node_are_lost_and_no_others(tmp_path: Path, cluster: Any) -> None:
    nodes = [cluster.add_node(num_cpus=1, include_dashboard=False) for _ in range(2)]
    with RayExecutor(2) as executor:
        executor.open(pickle.dumps(OnNode()))
        executor.submit(task(0, tmp_path, waits=True))
        (first,) = run_until(executor, lambda events: events)
        executor.submit(task(1, tmp_path, waits=True))
        (second,) = run_until(executor, lambda events: events)
        assert isinstance(first, Reported)
        assert isinstance(second, Reported)
        pids = {0: float(str(first.metric)), 1: float(str(second.metric))}
        cluster.remove_node(nodes[0], allow_graceful=False)
        (lost,) = run_until(executor, lambda events: events)
        assert isinstance(lost, Ended)
        assert lost.outcome.status is TrialStatus.LOST
        assert lost.outcome.error.startswith("the node of the trial, or the worker there, is gone: ")
        assert lost.outcome.intermediate == (pids[lost.number],)
        assert executor.running == 1
        assert is_running(pids[1 - lost.number]), "the other trial goes on"
        cluster.add_node(num_cpus=1, include_dashboard=False)
        executor.submit(task(lost.number, tmp_path, waits=False))
        *_, again = run_until(executor, lambda events: any(isinstance(event, Ended) for event in events))
        assert isinstance(again, Ended)
        assert (again.number, again.outcome.status) == (lost.number, TrialStatus.COMPLETED)
        assert is_running(pids[1 - lost.number])
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in pids.values()):
        assert time.monotonic() < deadline, "a trial has outlived its node or its executor"
        time.sleep(0.05)


def patient(build_model: object, diary: str) -> float:
    """Write down that the trial has begun, and take long enough to be interrupted."""
    with open(diary, "a") as lines:
        lines.write(f"{current_trial().number}\n")
    time.sleep(4)
    return 1.0


@pytest.mark.filterwarnings("ignore:base_model. cannot be stored:UserWarning")
def test_an_experiment_runs_the_trial_of_a_killed_node_again_and_no_other(tmp_path: Path, cluster: Any) -> None:
    nodes = [cluster.add_node(num_cpus=1, include_dashboard=False) for _ in range(2)]
    diary = tmp_path / "diary"
    diary.touch()
    evaluator = FunctionalEvaluator(patient, diary=str(diary))
    run = RetiariiExperiment(GridSpace(), evaluator, strategy=Random(seed=1))
    folder = tmp_path / "experiment"
    run.start(RetiariiExeConfig("ray", trial_concurrency=2, max_trial_number=3, experiment_directory=folder))
    deadline = time.monotonic() + 120
    while len(diary.read_text().split()) < 2:
        assert time.monotonic() < deadline, run.trials()
        time.sleep(0.05)
    cluster.remove_node(nodes[0], allow_graceful=False)
    run.wait()
    rows = run.trials()
    assert [(row["number"], row["status"], row["metric"]) for row in rows] == [(n, "COMPLETED", 1.0) for n in range(3)]
    begun = sorted(diary.read_text().split())
    assert begun in (["0", "0", "1", "2"], ["0", "1", "1", "2"]), "the lost one twice, the others once"
