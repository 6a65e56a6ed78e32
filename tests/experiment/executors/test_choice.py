"""From a configuration to its executor."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from graphnas.errors import ConfigError
from graphnas.experiment.config import RayConfig, RetiariiExeConfig
from graphnas.experiment.executors import InProcessExecutor, ProcessExecutor, gpus, make_executor
from graphnas.experiment.executors.cluster import RayExecutor
from graphnas.experiment.executors.gpus import Gpu


def test_in_process() -> None:
    assert isinstance(make_executor(RetiariiExeConfig(executor="inprocess")), InProcessExecutor)


def test_processes_with_and_without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpus, "find_gpus", lambda: [Gpu(0, "GPU-a"), Gpu(1, "GPU-b", (77,))])
    config = RetiariiExeConfig(trial_concurrency=2)
    executor = make_executor(config)
    assert isinstance(executor, ProcessExecutor)
    assert (executor._gpus, "CUDA_VISIBLE_DEVICES" in executor._environment) == (None, False)
    config.trial_gpu_number = 0
    executor = make_executor(config)
    assert isinstance(executor, ProcessExecutor)
    assert executor._environment["CUDA_VISIBLE_DEVICES"] == ""
    config.trial_gpu_number = 1
    config.training_service.gpu_indices = [1]
    config.training_service.use_active_gpu = True
    config.training_service.max_trial_number_per_gpu = 2
    executor = make_executor(config)
    assert isinstance(executor, ProcessExecutor)
    assert executor._gpus is not None
    assert executor._gpus.capacity == 2
    environment = executor._gpus.claim()
    assert environment is not None
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"
    config.trial_gpu_number = 2
    with pytest.raises(ConfigError, match=r"trial_gpu_number: a trial is to have 2 GPU\(s\), but 1 can be used here"):
        make_executor(config)


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_a_cluster_is_asked_for_what_one_trial_needs() -> None:
    service = RayConfig(trial_cpu_number=4, trial_resources={"disk": 1}, max_trial_number_per_gpu=2)
    executor = make_executor(RetiariiExeConfig("ray", training_service=service, trial_gpu_number=1))
    assert isinstance(executor, RayExecutor)
    options = executor._options
    assert (options["num_cpus"], options["num_gpus"], options["resources"]) == (4, 0.5, {"disk": 1})
    assert options["max_restarts"] == options["max_task_retries"] == 0
