"""The contract between an experiment and whatever runs its trials.

An executor is handed one `Workload` when it opens and one `Task` for each trial, and gives back events: intermediate
metrics as they are reported, and exactly one `Ended` for each task. How a trial ends never touches another trial.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

from graphnas.experiment.trial import Metric, Outcome


@dataclass(frozen=True)
class Task:
    """One trial to run, in plain values.

    Attributes:
        number: Number of the trial.
        decisions: Label to value.
        seed: Seed of the trial.
        directory: The trial's own folder; made by who writes to it first, as most trials write nothing.
        recipe: What the engine prepared for `Workload.build`, as JSON.
        budget: How much the trial may spend, in the unit of the strategy; None for as much as it wants.
        parent: Number of the trial whose checkpoint it continues, or None.
        checkpoint: The file of that checkpoint, or None.
        timeout_s: Wall-clock limit of the trial, or None.
        silence_s: Limit of the time in which the trial reports and prints nothing, or None.
        budget_s: Seconds that the whole experiment has left, or None; for executors whose `wait` cannot return earlier
            than the trial. A trial that uses it up is CANCELLED.
    """

    number: int
    decisions: dict[str, Any]
    seed: int
    directory: Path
    recipe: dict[str, Any] = field(default_factory=dict)
    budget: float | None = None
    parent: int | None = None
    checkpoint: Path | None = None
    timeout_s: float | None = None
    silence_s: float | None = None
    budget_s: float | None = None


class Workload(Protocol):
    """What every trial of an experiment does; built once in each worker."""

    def build(self, task: Task) -> Any:
        """Return a freshly built module for the task."""

    def evaluate(self, build_model: Callable[[], Any]) -> Any:
        """Return the metric of a model, or None after it was reported."""


@dataclass(frozen=True)
class Reported:
    """A running trial reported an intermediate metric; `step` counts from 0."""

    number: int
    step: int
    metric: Metric


@dataclass(frozen=True)
class Ended:
    """A trial ended; its slot is free again."""

    number: int
    outcome: Outcome


Event: TypeAlias = Reported | Ended


class Executor(abc.ABC):
    """Runs tasks on a fixed number of slots; a context manager that leaves no process behind.

    Attributes:
        concurrency: Number of slots; may change while an executor is open, as machines come and go.
        runs_here: Whether `wait` runs the trials in the thread that calls it.
        is_isolated: Whether each trial has a process of its own. If not, a trial that crashes or is killed takes the
            experiment with it, one that hangs in C code cannot be ended, and what it forks is its own affair.
        is_remote: Whether trials may run on machines that have none of the files of this one.
        on_report: Where `runs_here`: called with each report at once, so that the trial can still be stopped; `wait`
            then leaves it out. Raises nothing.
    """

    concurrency: int
    runs_here: bool = False
    is_isolated: bool = True
    is_remote: bool = False
    on_report: Callable[[Reported], None] | None = None

    @property
    @abc.abstractmethod
    def running(self) -> int:
        """Number of tasks that were submitted and have not ended."""

    @abc.abstractmethod
    def open(self, load_workload: bytes | Workload) -> None:
        """Get ready.

        Args:
            load_workload: The workload itself, or its cloudpickle for executors with workers of their own.

        Raises:
            ExperimentError: The workers cannot be started.
        """

    @abc.abstractmethod
    def submit(self, task: Task) -> None:
        """Start a task on a free slot. Never blocks for long.

        Raises:
            ExperimentError: All slots are taken.
        """

    @abc.abstractmethod
    def wait(self, timeout_s: float) -> list[Event]:
        """Return what happened, after at most about `timeout_s` seconds where the executor can return by then.

        Raises:
            ExperimentError: The executor itself broke down, so that it cannot go on.
        """

    @abc.abstractmethod
    def request_stop(self, number: int) -> None:
        """Let `should_stop()` return True in the trial; nothing happens if it has ended."""

    @abc.abstractmethod
    def close(self) -> None:
        """End all running trials at once, without events, and give back everything."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
