"""The contract of executors as tests for anyone's executor.

Derive a class whose name begins with `Test` from `ExecutorContract`, say in `make` how the executor is made, and let
pytest collect it:

    class TestMine(ExecutorContract):
        def make(self, concurrency):
            return Mine(concurrency)

What an executor cannot do it declares by `is_isolated`; the behaviours that need it are then left out.
"""

from __future__ import annotations

import abc
import os
import pickle
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from graphnas.errors import ExperimentError
from graphnas.experiment.executors.base import Executor, Reported, Task, Workload
from graphnas.experiment.executors.log import MAX_LOG_BYTES
from graphnas.experiment.trial import LOG_NAME, Outcome, TrialStatus
from graphnas.testing.behaviours import BEHAVIOURS, Behave, Unloadable

PATIENCE_S = 300.0
"""Every worker imports torch, which takes long where many do so at once."""

_FORKING = ("forks", "forks and dies", "forks and hangs")


@dataclass(frozen=True)
class Observed:
    """What an executor said of one trial, and what the trial left in its folder.

    Attributes:
        outcome: How it ended.
        reported: Its intermediate metrics, in the order in which they came.
        log: What it had printed, or the empty string.
        seed: What it had been given.
    """

    outcome: Outcome
    reported: tuple[Reported, ...]
    log: str
    seed: int


def open_for(executor: Executor, workload: Workload) -> None:
    """Open an executor in the way that it needs."""
    executor.open(workload if executor.runs_here else pickle.dumps(workload))


def run_behaviours(executor: Executor, folder: Path, names: Iterable[str]) -> dict[str, Observed]:
    """Run one trial of each behaviour, as many at a time as there are slots, and return what was said of each.

    Raises:
        AssertionError: A trial ended twice or not at all.
    """
    queue = list(enumerate(names))
    kinds = dict(queue)
    reported: dict[int, list[Reported]] = {number: [] for number in kinds}
    observed: dict[str, Observed] = {}
    deadline = time.monotonic() + PATIENCE_S
    while len(observed) < len(kinds):
        assert time.monotonic() < deadline, f"no end of {set(kinds.values()) - set(observed)}"
        while queue and executor.running < executor.concurrency:
            number, name = queue.pop(0)
            (folder / str(number)).mkdir()
            how, directory = BEHAVIOURS[name], folder / str(number)
            limited = Task(
                number, {"what": name}, 1000 + number, directory, timeout_s=how.timeout_s, silence_s=how.silence_s
            )
            executor.submit(limited)
        for event in executor.wait(0.2):
            name = kinds[event.number]
            assert name not in observed, f"{name}: something came after its end: {event}"
            if isinstance(event, Reported):
                reported[event.number].append(event)
                if name == "until stopped":
                    executor.request_stop(event.number)
            else:
                path = folder / str(event.number) / LOG_NAME
                log = path.read_bytes().decode() if path.exists() else ""
                observed[name] = Observed(event.outcome, tuple(reported[event.number]), log, 1000 + event.number)
    assert executor.running == 0, "every trial has ended, but some seem to run"
    return observed


class ExecutorContract(abc.ABC):
    """What every executor keeps. All behaviours run once, with two slots where there can be so many."""

    _observations: ClassVar[dict[type, dict[str, Observed]]] = {}

    @abc.abstractmethod
    def make(self, concurrency: int) -> Executor:
        """Return an executor that is not open."""

    @property
    def observed(self) -> dict[str, Observed]:
        """What was observed of each behaviour."""
        kept = ExecutorContract._observations
        if type(self) not in kept:
            with tempfile.TemporaryDirectory() as folder, self.make(2) as executor:
                isolated = executor.is_isolated
                names = [name for name, how in BEHAVIOURS.items() if isolated or not how.needs_isolation]
                open_for(executor, Behave())
                kept[type(self)] = run_behaviours(executor, Path(folder), names)
        return kept[type(self)]

    def test_every_trial_ends_in_the_way_that_is_documented(self) -> None:
        wrong = []
        for name, seen in self.observed.items():
            how, outcome = BEHAVIOURS[name], seen.outcome
            ended_well = how.status in (TrialStatus.COMPLETED, TrialStatus.PRUNED)
            fits = (
                outcome.status is how.status
                and how.reason in outcome.error
                and bool(outcome.error) != ended_well
                and (outcome.metric is not None) == ended_well
                and outcome.duration_s >= 0
            )
            if not fits:
                wrong.append(f"{name}: expected {how.status} and {how.reason!r}, got {outcome}")
        assert not wrong, "\n".join(wrong)

    def test_metrics_arrive_as_they_were_reported(self) -> None:
        metrics = {name: seen.outcome.metric for name, seen in self.observed.items()}
        assert metrics["value"] == 0.5
        assert metrics["dictionary"] == {"default": 0.5, "loss": 2.0}
        assert metrics["seed"] == self.observed["seed"].seed
        for seen in self.observed.values():
            steps = [(event.step, event.metric) for event in seen.reported]
            assert steps == list(enumerate(seen.outcome.intermediate)), "each step once, in order, before the end"
        assert self.observed["steps"].outcome.intermediate == (0.0, 1.0, 2.0)

    def test_what_a_trial_had_reported_before_its_bad_end_is_kept(self) -> None:
        expected = {"hang": (0.75,), "silent": (0.75,), "deaf": (0.75,), "segfault": (0.25,)}
        for name in expected.keys() & self.observed.keys():
            assert self.observed[name].outcome.intermediate == expected[name], name

    def test_a_failure_keeps_its_traceback(self) -> None:
        text = self.observed["raises"].outcome.traceback
        assert text.startswith("Traceback (most recent call last)")
        assert text.rstrip().endswith("ZeroDivisionError: by hand")
        if "segfault" in self.observed:
            text = self.observed["segfault"].outcome.traceback
            assert "before the crash" in text, "a crash keeps the end of the log"
            assert "Segmentation fault" in text

    def test_output_goes_to_the_log_and_a_flood_is_cut(self) -> None:
        assert self.observed["chatty"].log == "to stdout\nto stderr, ümlaut\n"
        flood = self.observed["flood"].log
        assert len(flood) <= MAX_LOG_BYTES
        assert flood.startswith("the first line\n")
        assert flood.endswith("the last line\n")
        assert "bytes left out" in flood

    def test_nothing_that_a_trial_has_started_outlives_it(self) -> None:
        for name in set(_FORKING) & self.observed.keys():
            numbers = [int(str(metric).partition(".")[0]) for metric in self.observed[name].outcome.intermediate[:3]]
            assert len(numbers) == 3
            assert _are_gone(numbers), f"{name}: some of the processes {numbers} still run"

    def test_no_process_is_left_when_the_executor_is_closed(self, tmp_path: Path) -> None:
        with self.make(1) as executor:
            if executor.runs_here:
                return
            open_for(executor, Behave())
            number = self._process_of_a_trial(executor, tmp_path)
            hang = Task(1, {"what": "deaf"}, 0, _made(tmp_path / "hang"))
            executor.submit(hang)
            while not any(isinstance(event, Reported) for event in executor.wait(0.2)):
                pass
            started = time.monotonic()
        assert time.monotonic() - started < 5, "close ends what runs at once"
        assert _are_gone([number])

    def test_a_full_executor_refuses_another_task(self, tmp_path: Path) -> None:
        with self.make(1) as executor:
            open_for(executor, Behave())
            executor.submit(Task(0, {"what": "value"}, 0, _made(tmp_path / "0")))
            second = Task(1, {"what": "value"}, 0, _made(tmp_path / "1"))
            assert "wait until" in _refusal(lambda: executor.submit(second))

    def test_a_workload_that_cannot_be_loaded_is_an_error_with_its_traceback(self, tmp_path: Path) -> None:
        with self.make(1) as executor:
            if executor.runs_here:
                return
            unloadable: Any = Unloadable()
            open_for(executor, unloadable)
            executor.submit(Task(0, {"what": "value"}, 0, _made(tmp_path / "0")))
            message = _refusal(lambda: executor.wait(PATIENCE_S))
            assert "could not be loaded in a worker process" in message
            assert "invalid literal for int()" in message

    def _process_of_a_trial(self, executor: Executor, folder: Path) -> int:
        metric = run_behaviours(executor, folder, ["process"])["process"].outcome.metric
        assert isinstance(metric, float)
        return int(metric)


def _refusal(call: Callable[[], object]) -> str:
    """Return the text of the `ExperimentError` that a call is to raise."""
    try:
        result = call()
    except ExperimentError as error:
        return str(error)
    raise AssertionError(f"expected an ExperimentError, got {result!r}")


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _are_gone(numbers: Iterable[int]) -> bool:
    """Return whether none of these processes of this machine runs, after a moment in which they may end."""
    deadline = time.monotonic() + 10
    left = list(numbers)
    while left and time.monotonic() < deadline:
        left = [number for number in left if _runs(number)]
        time.sleep(0.01)
    return not left


def _runs(number: int) -> bool:
    try:
        os.kill(number, 0)
        return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text()
    except ProcessLookupError:
        return False
    except OSError:  # no /proc here, but there is such a process
        return True
