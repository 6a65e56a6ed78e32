"""Trials in worker processes: the contract, and what only such an executor can get wrong."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import graphnas
from graphnas.errors import ExperimentError
from graphnas.experiment.executors import Ended, Event, ProcessExecutor, Task
from graphnas.experiment.executors import process as process_module
from graphnas.experiment.trial import Outcome, TrialStatus
from graphnas.testing.behaviours import Behave
from graphnas.testing.executors import ExecutorContract, run_behaviours

from .waiting import run_until


class TestProcessExecutor(ExecutorContract):
    def make(self, concurrency: int) -> ProcessExecutor:
        return ProcessExecutor(concurrency)


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_worker_killed_while_idle_costs_no_trial(tmp_path: Path) -> None:
    with ProcessExecutor(1) as executor:
        executor.open(pickle.dumps(Behave()))
        first = run_behaviours(executor, folder(tmp_path / "a"), ["process"])
        number = first["process"].outcome.metric
        assert isinstance(number, float)
        os.kill(int(number), signal.SIGKILL)
        second = run_behaviours(executor, folder(tmp_path / "b"), ["process", "steps"])
    assert second["process"].outcome.status is second["steps"].outcome.status is TrialStatus.COMPLETED
    assert second["process"].outcome.metric != number


def test_a_worker_killed_as_the_memory_ran_out_is_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: Iterator[int] = iter(range(100))
    monkeypatch.setattr(process_module, "oom_kills", lambda: next(counts))
    with ProcessExecutor(1) as executor:
        executor.open(pickle.dumps(Behave()))
        outcome = run_behaviours(executor, tmp_path, ["killed"])["killed"].outcome
    assert outcome.status is TrialStatus.OOM
    assert outcome.error == "the worker was killed by the kernel, as memory ran out"


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group of the kernel in which there is little memory."""
    group = Path("/sys/fs/cgroup/memory/graphnas-test")
    try:
        group.mkdir(exist_ok=True)
        (group / "memory.limit_in_bytes").write_text(str(600 << 20))
    except OSError:
        pytest.skip("no control group can be made here")
    yield group
    group.rmdir()


class Greedy:
    """A workload that goes into a control group and takes more memory than there is."""

    def __init__(self, group: Path) -> None:
        self.group = group

    def build(self, task: Task) -> None:
        raise NotImplementedError

    def evaluate(self, build_model: object) -> float:
        (self.group / "cgroup.procs").write_text(str(os.getpid()))
        taken = [b"x" * (64 << 20) for _ in range(20)]
        return float(len(taken))


def test_a_real_lack_of_memory_is_told_from_a_crash(tmp_path: Path, small_group: Path) -> None:
    with ProcessExecutor(1) as executor:
        executor.open(pickle.dumps(Greedy(small_group)))
        executor.submit(Task(0, {}, 0, tmp_path))
        (event,) = run_until(executor, lambda events: events)
    assert isinstance(event, Ended)
    assert event.outcome.status is TrialStatus.OOM, event.outcome


def test_workers_that_never_get_ready_end_the_executor_with_what_they_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("import os, sys\nprint('torch is broken', flush=True)\nos._exit(7)\n")
    with ProcessExecutor(1, path=[str(tmp_path)]) as executor:
        executor.open(pickle.dumps(Behave()))
        executor.submit(Task(0, {"what": "value"}, 0, tmp_path))
        with pytest.raises(ExperimentError, match=r"begun a trial: .* exited with code 7\ntorch is broken"):
            executor.wait(60)


def test_an_error_waits_until_the_trials_that_ended_before_it_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def happening(timeout_s: float) -> Iterator[Event]:
        yield Ended(0, Outcome(TrialStatus.COMPLETED, 1.0))
        raise ExperimentError("no worker can be started any more")

    executor = ProcessExecutor(1)
    monkeypatch.setattr(executor, "_happening", happening)
    assert [event.number for event in executor.wait(1)] == [0]
    with pytest.raises(ExperimentError, match="no worker can be started any more"):
        executor.wait(1)


ORPHANS = """
import pickle, sys, time
from pathlib import Path
from graphnas.experiment.executors import ProcessExecutor, Task, Reported
from graphnas.testing.behaviours import Behave
if __name__ == "__main__":
    executor = ProcessExecutor(1)
    executor.open(pickle.dumps(Behave()))
    executor.submit(Task(0, {"what": "forks and hangs"}, 0, Path(sys.argv[1])))
    numbers = []
    while len(numbers) < 3:
        numbers += [int(event.metric) for event in executor.wait(1) if isinstance(event, Reported)]
    print(*numbers[:2], executor._slots[0].process.pid, flush=True)
    time.sleep(100)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only what listens to its life line ends")
def test_workers_and_what_they_forked_die_with_the_parent(tmp_path: Path) -> None:
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    environment = {**os.environ, "PYTHONPATH": str(Path(graphnas.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        numbers = [int(number) for number in parent.stdout.readline().split()]
        parent.kill()
    assert len(numbers) == 3
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{number}").exists() for number in numbers):
        assert time.monotonic() < deadline, "a process has outlived its experiment"
        time.sleep(0.01)
