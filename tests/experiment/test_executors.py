"""The contract of executors: every way in which a trial can end, over all of them, with real processes."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from graphnas.errors import ExperimentError
from graphnas.experiment.executors import Executor, InProcessExecutor, ProcessExecutor, Reported, Task
from graphnas.experiment.trial import Outcome, TrialStatus

from .samples import BEHAVIOURS, Nothing

DEADLY = ("segfault", "killed", "exit_3", "exit_0")
PATIENCE_S = 240.0
"""Every worker imports torch, which takes long where many do so at once."""


@dataclass
class Observed:
    outcome: Outcome
    reported: list[Reported]
    directory: Path


def run_all(executor: Executor, folder: Path, names: tuple[str, ...]) -> dict[str, Observed]:
    """Run one trial of each name and return what the executor said of each."""
    observed: dict[str, Observed] = {}
    reported: dict[int, list[Reported]] = {number: [] for number in range(len(names))}
    waiting = list(range(len(names)))
    deadline = time.monotonic() + PATIENCE_S
    while len(observed) < len(names):
        assert time.monotonic() < deadline, f"no end of {set(names) - set(observed)}"
        while waiting and executor.running < executor.concurrency:
            number = waiting.pop(0)
            directory = folder / str(number)
            directory.mkdir()
            timeout_s = 0.3 if names[number] in ("hang", "stubborn") else None
            executor.submit(Task(number, {"what": names[number]}, 1000 + number, directory, timeout_s=timeout_s))
        for event in executor.wait(0.2):
            if isinstance(event, Reported):
                reported[event.number].append(event)
                if names[event.number] == "until_stopped":
                    executor.request_stop(event.number)
            else:
                name = names[event.number]
                assert name not in observed, f"{name} ended twice"
                observed[name] = Observed(event.outcome, reported[event.number], folder / str(event.number))
    assert executor.running == 0
    return observed


@pytest.fixture(scope="module")
def inprocess(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Observed]:
    names = tuple(name for name in BEHAVIOURS if name not in (*DEADLY, "until_stopped"))
    with InProcessExecutor() as executor:
        executor.open(Nothing())
        return run_all(executor, tmp_path_factory.mktemp("inprocess"), names)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Observed]]:
    with ProcessExecutor(2) as executor:
        executor.open(pickle.dumps(Nothing()))
        # Deadly ones first and an innocent one behind each, so that a worker's death has somebody to harm.
        harmless = [name for name in BEHAVIOURS if name not in DEADLY]
        names = [name for pair in zip(DEADLY, harmless, strict=False) for name in pair] + harmless[len(DEADLY) :]
        observed = run_all(executor, tmp_path_factory.mktemp("process"), tuple(names))
        pids = [slot.pid for slot in executor._slots]
        yield observed
    for pid in pids:
        assert pid is not None
        with pytest.raises(ProcessLookupError, match="No such process"):
            os.kill(pid, 0)


@pytest.fixture(params=["inprocess", "process"])
def observed(request: pytest.FixtureRequest) -> dict[str, Observed]:
    result: dict[str, Observed] = request.getfixturevalue(request.param)
    return result


ENDS = {
    "value": (TrialStatus.COMPLETED, ""),
    "steps": (TrialStatus.COMPLETED, ""),
    "reports_and_returns": (TrialStatus.COMPLETED, ""),
    "context": (TrialStatus.COMPLETED, ""),
    "chatty": (TrialStatus.COMPLETED, ""),
    "reports_twice": (TrialStatus.FAILED, "has already reported 1.0"),
    "raises": (TrialStatus.FAILED, "ZeroDivisionError: by hand"),
    "text": (TrialStatus.FAILED, "expected a number, or a dictionary of numbers with the key 'default'; got '0.9'"),
    "nan": (TrialStatus.FAILED, "expected a finite number, got nan"),
    "nothing": (TrialStatus.FAILED, "returned nothing and did not call report_final_result"),
    "no_default": (TrialStatus.FAILED, "needs the key 'default'"),
    "nan_step": (TrialStatus.FAILED, "report_intermediate_result: expected a finite number, got inf"),
    "refusal": (TrialStatus.INVALID, "expected 8, got 16"),
    "memory": (TrialStatus.OOM, "MemoryError"),
    "torch_memory": (TrialStatus.OOM, "CUDA out of memory"),
    "leaves": (TrialStatus.FAILED, "SystemExit: 3"),
    "hang": (TrialStatus.TIMEOUT, "took longer than 0.3 s"),
    "stubborn": (TrialStatus.TIMEOUT, "took longer than 0.3 s"),
}


@pytest.mark.parametrize("name", ENDS)
def test_each_end_has_its_own_status_and_reason(observed: dict[str, Observed], name: str) -> None:
    status, reason = ENDS[name]
    outcome = observed[name].outcome
    assert outcome.status is status
    assert reason in outcome.error
    assert (outcome.error == "") == (status is TrialStatus.COMPLETED)
    assert (outcome.metric is not None) == (status is TrialStatus.COMPLETED)


def test_every_behaviour_is_asserted() -> None:
    assert set(BEHAVIOURS) == {*ENDS, *DEADLY, "until_stopped"}


def test_metrics_arrive_as_reported(observed: dict[str, Observed]) -> None:
    assert observed["value"].outcome.metric == 0.5
    assert observed["reports_and_returns"].outcome.metric == {"default": 0.5, "loss": 2.0}
    assert observed["steps"].outcome.intermediate == (0.0, 1.0, 2.0)
    assert [(event.step, event.metric) for event in observed["steps"].reported] == [(0, 0.0), (1, 1.0), (2, 2.0)]


def test_a_trial_knows_its_seed(observed: dict[str, Observed]) -> None:
    number = int(observed["context"].directory.name)
    assert observed["context"].outcome.metric == 1000 + number


def test_a_failure_keeps_the_traceback(observed: dict[str, Observed]) -> None:
    text = observed["raises"].outcome.traceback
    assert text.startswith("Traceback (most recent call last)")
    assert "in behave" in text
    assert text.rstrip().endswith("ZeroDivisionError: by hand")


def test_output_goes_to_the_log_of_the_trial(observed: dict[str, Observed]) -> None:
    assert (observed["chatty"].directory / "log.txt").read_text() == "to stdout\nto stderr\n"


CRASHES = {
    "segfault": "killed by signal 11 (SIGSEGV)",
    "killed": "killed by signal 9 (SIGKILL)",
    "exit_3": "exited with code 3",
    "exit_0": "exited with code 0",
}


@pytest.mark.parametrize("name", CRASHES)
def test_a_dead_worker_is_a_crashed_trial_with_the_exact_cause(process: dict[str, Observed], name: str) -> None:
    outcome = process[name].outcome
    assert outcome.status is TrialStatus.CRASHED
    assert CRASHES[name] in outcome.error
    assert outcome.metric is None


def test_what_a_crashed_trial_had_said_is_kept(process: dict[str, Observed]) -> None:
    outcome = process["segfault"].outcome
    assert outcome.intermediate == (0.25,)
    assert "before the crash" in outcome.traceback
    assert "Segmentation fault" in outcome.traceback, "faulthandler names the line"


def test_what_a_timed_out_trial_had_reported_is_kept(observed: dict[str, Observed]) -> None:
    assert observed["hang"].outcome.intermediate == (0.75,)


def test_a_trial_that_obeys_should_stop_is_pruned(process: dict[str, Observed]) -> None:
    outcome = process["until_stopped"].outcome
    assert outcome.status is TrialStatus.PRUNED
    assert outcome.metric == 0.125


def test_a_worker_killed_while_idle_costs_no_trial(tmp_path: Path) -> None:
    with ProcessExecutor(1) as executor:
        executor.open(pickle.dumps(Nothing()))
        (tmp_path / "a").mkdir()
        first = run_all(executor, tmp_path / "a", ("value",))
        pid = executor._slots[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        (tmp_path / "b").mkdir()
        second = run_all(executor, tmp_path / "b", ("steps",))
        assert executor._slots[0].pid != pid
    assert first["value"].outcome.status is second["steps"].outcome.status is TrialStatus.COMPLETED


class Unloadable:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return int, ("not a number",)


def test_a_workload_that_cannot_be_loaded_ends_the_executor_with_its_traceback(tmp_path: Path) -> None:
    with ProcessExecutor(1) as executor:
        executor.open(pickle.dumps(Unloadable()))
        executor.submit(Task(0, {"what": "value"}, 0, tmp_path))
        with pytest.raises(ExperimentError, match=r"could not be loaded in a worker process(.|\n)*invalid literal"):
            executor.wait(PATIENCE_S)


def test_close_ends_running_trials_at_once_and_leaves_no_process(tmp_path: Path) -> None:
    executor = ProcessExecutor(1)
    executor.open(pickle.dumps(Nothing()))
    executor.submit(Task(0, {"what": "hang"}, 0, tmp_path))
    assert any(isinstance(event, Reported) for event in executor.wait(PATIENCE_S))
    pid = executor._slots[0].pid
    assert pid is not None
    started = time.monotonic()
    executor.close()
    assert time.monotonic() - started < 3
    with pytest.raises(ProcessLookupError, match="No such process"):
        os.kill(pid, 0)


def test_in_process_trials_leave_the_random_generators_alone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with InProcessExecutor() as executor:
        executor.open(Nothing())
        run_all(executor, tmp_path, ("value",))
    assert torch.equal(torch.rand(3), expected)


def test_a_full_executor_refuses_another_task(tmp_path: Path) -> None:
    with InProcessExecutor() as executor:
        executor.open(Nothing())
        executor.submit(Task(0, {"what": "value"}, 0, tmp_path))
        with pytest.raises(ExperimentError, match="trial 0 holds the only slot"):
            executor.submit(Task(1, {"what": "value"}, 0, tmp_path))
