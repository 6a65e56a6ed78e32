"""Sharing out GPUs that are not there: what nvidia-smi would say is made up."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest

from graphnas.errors import ConfigError
from graphnas.experiment.executors import Ended, ProcessExecutor, Task, process
from graphnas.experiment.executors.gpus import Gpu, GpuShares, find_gpus
from graphnas.experiment.trial import TrialStatus

from .waiting import run_until

FOUR = [Gpu(index, f"GPU-{index}-abcd") for index in range(4)]


@pytest.fixture(autouse=True)
def no_restriction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def claims(shares: GpuShares) -> list[str]:
    found = []
    while (environment := shares.claim()) is not None:
        assert environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
        found.append(environment["CUDA_VISIBLE_DEVICES"])
    return found


def test_gpus_are_shared_out_evenly() -> None:
    assert claims(GpuShares(1, find=lambda: FOUR)) == ["0", "1", "2", "3"]
    assert claims(GpuShares(2, find=lambda: FOUR)) == ["0,1", "2,3"]
    assert claims(GpuShares(1, per_gpu=2, find=lambda: FOUR[:2])) == ["0", "1", "0", "1"]
    assert claims(GpuShares(1, indices=[3, 1], find=lambda: FOUR)) == ["1", "3"]
    assert GpuShares(2, per_gpu=2, find=lambda: FOUR).capacity == 4


def test_gpus_on_which_others_compute_are_left_to_them() -> None:
    busy = [FOUR[0], Gpu(1, "GPU-1-abcd", (77,)), Gpu(2, "GPU-2-abcd", (78, 79))]
    shares = GpuShares(1, find=lambda: busy)
    assert claims(shares) == ["0"]
    assert shares.reason() == (
        "others compute on GPU 1 (process 77), GPU 2 (process 78, 79); set training_service.use_active_gpu=True to use "
        "these as well"
    )
    assert claims(GpuShares(1, use_active=True, find=lambda: busy)) == ["0", "1", "2"]
    now = list(FOUR[:2])
    shares = GpuShares(1, per_gpu=2, find=lambda: now)
    assert shares.claim() is not None
    now[0] = Gpu(0, "GPU-0-abcd", (5,))  # the worker that has claimed it
    assert claims(shares) == ["1", "0", "1"]
    assert shares.reason() == "all GPUs are taken by other trials"


def test_what_is_hidden_from_this_process_is_not_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-3")
    assert claims(GpuShares(1, find=lambda: FOUR)) == ["2", "3"]
    with pytest.raises(ConfigError, match=r"gpu_indices: there is no GPU 0 to use here; there are 2, 3"):
        GpuShares(1, indices=[0, 2], find=lambda: FOUR)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ConfigError, match=r"trial_gpu_number: a trial is to have 1 GPU\(s\), but 0 can be used"):
        GpuShares(1, find=lambda: FOUR)


def test_nvidia_smi_is_read() -> None:
    def run(command: Sequence[str]) -> str:
        if "compute" in command[1]:
            return "GPU-b, 41\nGPU-b, 42\nGPU-c, [Not Found]\n"
        return "0, GPU-a\n1, GPU-b\n"

    assert find_gpus(run) == [Gpu(0, "GPU-a"), Gpu(1, "GPU-b", (41, 42))]
    assert find_gpus(lambda _: "") == []


class Visible:
    """A workload whose metric is the GPU that it sees."""

    def build(self, task: Task) -> None:
        raise NotImplementedError

    def evaluate(self, build_model: object) -> float:
        import os

        return float(os.environ["CUDA_VISIBLE_DEVICES"] or -1)


def test_a_trial_waits_for_a_free_gpu_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "_ASK_AGAIN_S", 0.2)
    busy = [Gpu(3, "GPU-3", (77,))]
    gpus = GpuShares(1, find=lambda: list(busy))
    with caplog.at_level(logging.WARNING, "graphnas"), ProcessExecutor(2, gpus=gpus) as executor:
        executor.open(pickle.dumps(Visible()))
        executor.submit(Task(0, {}, 0, tmp_path))
        assert executor.wait(0.5) == []
        assert (executor.running, executor.concurrency) == (1, 1)
        assert "1 trials can run at a time, as there are no GPUs for more" in caplog.text
        assert "0 of 1 trials can run at a time: others compute on GPU 3 (process 77)" in caplog.text
        busy[0] = Gpu(3, "GPU-3")
        (event,) = executor.wait(120)
        assert isinstance(event, Ended)
        assert (event.outcome.status, event.outcome.metric) == (TrialStatus.COMPLETED, 3.0)


def test_gpus_can_be_hidden(tmp_path: Path) -> None:
    with ProcessExecutor(1, hide_gpus=True) as executor:
        executor.open(pickle.dumps(Visible()))
        executor.submit(Task(0, {}, 0, tmp_path))
        (event,) = run_until(executor, lambda events: events)
        assert isinstance(event, Ended)
        assert event.outcome.metric == -1
