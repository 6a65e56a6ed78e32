"""A trial, from outside and from inside: its record, its seed, and what its code may ask and report.

What belongs here: data about one trial, and the functions that user code calls while it runs. What does not: how a
trial is started (executors), chosen (strategies) or kept (store).
"""

from __future__ import annotations

import enum
import hashlib
import logging
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from graphnas.errors import EvaluationError, ExperimentError
from graphnas.experiment.checkpoint import CHECKPOINT_NAME, read_checkpoint, write_checkpoint

Metric: TypeAlias = float | dict[str, float]
"""A number, or numbers by name, among them `'default'`, the one that is optimised."""

SOURCE_NAME = "model.py"
"""Name of the file in a trial's folder that holds the source of its model."""

LOG_NAME = "log.txt"
"""Name of the file in a trial's folder that holds what the trial printed."""

logger = logging.getLogger("graphnas.trial")


class TrialStatus(enum.StrEnum):
    """Where a trial is, or how it ended."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    PRUNED = "PRUNED"
    INVALID = "INVALID"
    FAILED = "FAILED"
    CRASHED = "CRASHED"
    OOM = "OOM"
    TIMEOUT = "TIMEOUT"
    LOST = "LOST"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether a resumed experiment leaves the trial as it is; the others are run again under their number."""
        return self not in _UNFINISHED

    @property
    def is_failure(self) -> bool:
        """Whether the trial ended for good without a usable metric."""
        return self.is_final and self not in (TrialStatus.COMPLETED, TrialStatus.PRUNED)


_UNFINISHED = (TrialStatus.WAITING, TrialStatus.RUNNING, TrialStatus.CANCELLED)


@dataclass(frozen=True)
class Outcome:
    """How one run of a trial ended.

    Attributes:
        status: A final status or CANCELLED.
        metric: The final metric; None unless COMPLETED, and possibly when PRUNED.
        intermediate: Every intermediate metric, in the order of the reports.
        error: One line that says what went wrong, or the empty string.
        traceback: The traceback, or for a crash the tail of the log.
        duration_s: Wall-clock seconds of the trial itself.
        worker: Who ran it, such as the node of a cluster; the empty string where there is only one.
    """

    status: TrialStatus
    metric: Metric | None = None
    intermediate: tuple[Metric, ...] = ()
    error: str = ""
    traceback: str = ""
    duration_s: float = 0.0
    worker: str = ""

    @property
    def failure_key(self) -> tuple[str, str, str]:
        """What is equal for trials that failed the same way: status, kind of error and the line that raised it."""
        places = [line.strip() for line in self.traceback.splitlines() if line.lstrip().startswith('File "')]
        return self.status.value, self.error.partition(":")[0], places[-1] if places else ""


@dataclass(frozen=True)
class Trial:
    """One row of the store.

    Attributes:
        number: Number within the experiment, from 0.
        status: Where it is, or how it ended.
        decisions: Label to value.
        seed: The trial's own seed.
        metric: The number that is optimised.
        metrics: All metrics by name, if the evaluator gave several.
        fingerprint: Fingerprint of the model, where it is known.
        duration_s: Wall-clock seconds of the trial itself.
        error: One line that says what went wrong, or the empty string.
        traceback: The traceback, or the tail of the log.
        started_at: When it was started last, in seconds since the epoch.
        ended_at: When it ended, likewise.
        budget: How much it may spend, in the unit of the strategy that asked for it; None for as much as it wants.
        resume_from: Number of the trial whose checkpoint it continues.
        reused_from: Number of the equal trial whose result it took over.
        reused_experiment: The experiment of that trial, where it is another one.
        attempts: How often it was lost with its worker and started again.
        worker: Who ran it, where there is more than one.
        key: What is equal for trials that train the same: architecture, arguments of the evaluator, budget.
    """

    number: int
    status: TrialStatus
    decisions: dict[str, Any]
    seed: int
    metric: float | None = None
    metrics: dict[str, float] | None = None
    fingerprint: str | None = None
    duration_s: float | None = None
    error: str = ""
    traceback: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    budget: float | None = None
    resume_from: int | None = None
    reused_from: int | None = None
    reused_experiment: str | None = None
    attempts: int = 0
    worker: str | None = None
    key: str | None = None

    @property
    def all_metrics(self) -> dict[str, float]:
        """All metrics by name, also where the evaluator gave a single one; none where it gave none."""
        if self.metrics is not None:
            return self.metrics
        return {} if self.metric is None else {"default": self.metric}

    def to_row(self) -> dict[str, Any]:
        """Return the trial as a dictionary of plain values, the status by its name."""
        row = {name: getattr(self, name) for name in self.__dataclass_fields__}
        row.update(status=self.status.value, decisions=dict(self.decisions), error=self.error or None)
        row["traceback"] = self.traceback or None
        return row


class _Folder:
    """A field that holds a folder, which is made when it is asked for, as most trials write nothing."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    def __get__(self, instance: object, owner: type | None = None) -> Path:
        if instance is None:
            raise AttributeError(self._name)  # so that the field has no default
        folder: Path = getattr(instance, self._name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def __set__(self, instance: object, folder: Path) -> None:
        setattr(instance, self._name, folder)


@dataclass
class TrialContext:
    """What the code of a running trial may know about it.

    Attributes:
        number: Number of the trial within its experiment, from 0.
        seed: Seed of this trial; Python's, numpy's and torch's generators were seeded with it.
        device: Where the trial should compute, such as `'cpu'` or `'cuda'`.
        decisions: Label to value.
        directory: The trial's own folder, made when it is first asked for; what is written there is kept.
        budget: How much the trial may spend, in the unit of the strategy, such as epochs; None for as much as it wants.
        parent: Number of the trial whose checkpoint this one continues, or None.
        checkpoint: The file of that checkpoint; None where there is nothing to continue.
    """

    number: int
    seed: int
    device: str
    decisions: dict[str, Any]
    directory: _Folder = _Folder()  # a descriptor, which gives the field no default
    budget: float | None = None
    parent: int | None = None
    checkpoint: Path | None = None
    _on_report: Callable[[Metric], None] | None = field(default=None, repr=False)
    _stop_requested: Callable[[], bool] = field(default=lambda: False, repr=False)
    _intermediate: list[Metric] = field(default_factory=list, repr=False)
    _final: Metric | None = field(default=None, repr=False)
    _saw_stop: bool = field(default=False, repr=False)

    def save_checkpoint(self, state: Mapping[str, Any], **values: Any) -> Path:
        """Write what a later trial needs to continue this one, in place of what was written before; return the file.

        Args:
            state: Tensors by name, or mappings and lists of them to any depth, such as
                `{"model": model.state_dict(), "optimizer": optimizer.state_dict()}`.
            **values: Plain values, such as `epoch=3`.

        Raises:
            ExperimentError: Something in it is no tensor and no plain value, or the file cannot be written.
        """
        path = self.directory / CHECKPOINT_NAME
        write_checkpoint(path, state, values)
        return path

    def load_checkpoint(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return state and values of the checkpoint that this trial continues; None where there is none.

        Raises:
            ExperimentError: The file is damaged.
        """
        return None if self.checkpoint is None else read_checkpoint(self.checkpoint)


_current: TrialContext | None = None


def current_trial() -> TrialContext:
    """Return the trial that this process is running.

    Raises:
        ExperimentError: No trial is running here.
    """
    if _current is None:
        raise ExperimentError(
            "current_trial() was called outside of a trial; call it in the function that the evaluator runs"
        )
    return _current


def decisions_of_trial() -> dict[str, Any]:
    """Return the decisions of the trial that this process is running, none outside of any."""
    return {} if _current is None else _current.decisions


class active_trial:  # noqa: N801  # reads as a verb phrase in `with active_trial(context):`
    """Context manager under which `context` is the trial of this process.

    One trial at a time: the random generators that a trial seeds belong to the whole process.

    Raises:
        ExperimentError: A trial is already running in this process.
    """

    def __init__(self, context: TrialContext) -> None:
        self.context = context

    def __enter__(self) -> TrialContext:
        global _current
        if _current is not None:
            raise ExperimentError(f"trial {_current.number} is running in this process; a process runs one at a time")
        _current = self.context
        return self.context

    def __exit__(self, *_: object) -> None:
        global _current
        _current = None


def report_intermediate_result(metric: Any) -> None:
    """Report the metric of one step, such as an epoch.

    Outside of a trial the metric is checked and logged, so that an evaluator can be tried by calling it.

    Args:
        metric: A finite number, or a dictionary of them with the key `'default'`.

    Raises:
        EvaluationError: The metric is of another type, not finite, or lacks `'default'`.
    """
    checked = check_metric(metric, "report_intermediate_result")
    if _current is None:
        logger.info("intermediate result: %s", checked)
        return
    _current._intermediate.append(checked)
    if _current._on_report is not None:
        _current._on_report(checked)


def report_final_result(metric: Any) -> None:
    """Report the metric by which the trial is judged; at most once for each trial.

    Outside of a trial the metric is checked and logged.

    Args:
        metric: A finite number, or a dictionary of them with the key `'default'`.

    Raises:
        EvaluationError: The metric is of another type, not finite, lacks `'default'`, or is the second one.
    """
    checked = check_metric(metric, "report_final_result")
    if _current is None:
        logger.info("final result: %s", checked)
        return
    if _current._final is not None:
        raise EvaluationError(
            f"report_final_result: trial {_current.number} has already reported {_current._final!r}; "
            "report steps with report_intermediate_result and the final metric once"
        )
    _current._final = checked


def should_stop() -> bool:
    """Tell whether the trial should end early; one that then returns in time counts as PRUNED.

    Never blocks; False outside of a trial.
    """
    if _current is None or not _current._stop_requested():
        return False
    _current._saw_stop = True
    return True


def check_metric(metric: Any, source: str) -> Metric:
    """Return `metric` as a float or a dictionary of floats.

    Args:
        metric: A number (also of numpy, or a tensor with one element), or a dictionary of numbers.
        source: Who reports it; begins the error message.

    Raises:
        EvaluationError: It is neither, is not finite, or lacks `'default'`.
    """
    if not isinstance(metric, Mapping):
        return _check_number(metric, source)
    if "default" not in metric:
        raise EvaluationError(
            f"{source}: a dictionary of metrics needs the key 'default', which is optimised; got the keys "
            f"{', '.join(repr(key) for key in metric) or 'none'}"
        )
    for key in metric:
        if not isinstance(key, str):
            raise EvaluationError(f"{source}: expected texts as names of metrics, got {key!r}")
    return {key: _check_number(value, f"{source}, metric {key!r}") for key, value in metric.items()}


def _check_number(value: Any, source: str) -> float:
    number = value
    if not isinstance(value, int | float | bool | str | bytes | None) and callable(getattr(value, "item", None)):
        try:
            number = value.item()
        except (ValueError, RuntimeError) as error:
            raise EvaluationError(f"{source}: expected one number, got {type(value).__name__}: {error}") from error
    if isinstance(number, bool) or not isinstance(number, int | float):
        what = "nothing (None)" if value is None else f"{_shortened(value)} of type {type(value).__name__}"
        raise EvaluationError(
            f"{source}: expected a number, or a dictionary of numbers with the key 'default'; got {what}"
        )
    if not math.isfinite(number):
        raise EvaluationError(f"{source}: expected a finite number, got {number}")
    return float(number)


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def default_metric(metric: Metric | None) -> float | None:
    """Return the number that is optimised."""
    return metric["default"] if isinstance(metric, dict) else metric


def derive_seed(seed: int, *path: int | str) -> int:
    """Return a 32-bit seed for `path` under `seed`: the first four bytes of a SHA-256.

    The hash is over `graphnas` and all arguments, joined by slashes, so it is the same in every process and version.

    >>> derive_seed(0, "trial", 7) == derive_seed(0, "trial", 7) != derive_seed(0, "trial", 8)
    True
    """
    text = "/".join(("graphnas", str(seed), *(str(step) for step in path)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def seed_generators(seed: int) -> None:
    """Seed the generators of Python, numpy and torch (all devices) with a 32-bit `seed`."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:  # for each kind of device that is not there, that call would keep a traceback for ever
        torch.default_generator.manual_seed(seed)
