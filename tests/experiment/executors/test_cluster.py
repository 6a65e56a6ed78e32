"""Trials on a real Ray of this machine."""

from __future__ import annotations

import importlib
import pickle
import signal
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from graphnas.errors import ConfigError, ExperimentError
from graphnas.experiment.executors import Ended, Task
from graphnas.experiment.executors.cluster import RayExecutor
from graphnas.experiment.trial import current_trial
from graphnas.testing.executors import ExecutorContract

from .waiting import run_until

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")


@pytest.fixture(scope="class")
def running_ray() -> Iterator[None]:
    """Start Ray once for several executors, which leave it as it is."""
    ray: Any = importlib.import_module("ray")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    assert ray.is_initialized()
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("running_ray")
class TestRayExecutor(ExecutorContract):
    def make(self, concurrency: int) -> RayExecutor:
        return RayExecutor(concurrency)


class Files:
    """A workload that shows which files travel."""

    def build(self, task: Task) -> None:
        raise NotImplementedError

    def evaluate(self, build_model: object) -> float:
        trial = current_trial()
        assert trial.checkpoint is not None
        (trial.directory / "plots").mkdir()
        (trial.directory / "plots" / "loss.txt").write_text("falling")
        (trial.directory / "large").write_bytes(b"x" * (9 << 20))
        (trial.directory / "empty").touch()
        return float(trial.checkpoint.read_text()) + float((trial.directory / "model.py").read_text())


def test_files_travel_both_ways_and_only_the_new_ones_back(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    directory = tmp_path / "0"
    directory.mkdir()
    (directory / "model.py").write_text("2")
    before = (directory / "model.py").stat().st_mtime_ns
    (tmp_path / "checkpoint").write_text("40")
    with RayExecutor(1, num_cpus=1) as executor:
        executor.open(pickle.dumps(Files()))
        executor.submit(Task(0, {}, 0, directory, parent=7, checkpoint=tmp_path / "checkpoint"))
        (event,) = run_until(executor, lambda events: events)
    assert isinstance(event, Ended)
    assert event.outcome.metric == 42, event.outcome
    assert (directory / "model.py").stat().st_mtime_ns == before
    assert (directory / "plots" / "loss.txt").read_text() == "falling"
    assert (directory / "large").read_bytes() == b"x" * (9 << 20)
    assert {path.name for path in directory.iterdir()} == {"model.py", "plots", "large", "empty"}
    assert signal.getsignal(signal.SIGTERM) is handler
    assert not importlib.import_module("ray").is_initialized(), "what the executor has started ends with it"


def test_an_address_where_no_cluster_is_is_an_error() -> None:
    executor = RayExecutor(1, address="127.0.0.1:1")
    with pytest.raises(ExperimentError, match=r"training_service.address: there is no Ray at 127\.0\.0\.1:1"):
        executor.open(b"")


def test_without_ray_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"'ray' needs Ray, which is not installed; pip install 'graphnas\[ray\]'"):
        RayExecutor(1)
