"""What happens inside a trial, the same in every executor: seed, build, evaluate, and name the outcome."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from typing import Any

from graphnas.errors import (
    DecisionError,
    EvaluationError,
    MutationError,
    UnknownArchitectureError,
    VerificationError,
)
from graphnas.experiment.executors.base import Task, Workload
from graphnas.experiment.trial import (
    Metric,
    Outcome,
    TrialContext,
    TrialStatus,
    active_trial,
    check_metric,
    seed_generators,
)

REFUSALS = (DecisionError, MutationError, VerificationError)
"""Errors by which a space says that decisions make no model: the trial is INVALID, not FAILED."""

_OOM_PHRASES = ("out of memory", "can't allocate memory", "not enough memory")
_MAX_TRACEBACK = 20_000


class TrialTimeout(BaseException):  # like KeyboardInterrupt, user code should not catch it by accident
    """The time of a trial is up; raised inside it where it cannot be ended from outside."""


def run_trial(
    workload: Workload,
    task: Task,
    on_report: Callable[[Metric], None] | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Run one trial in this process and return how it ended.

    Every exception of the trial's code becomes an outcome, `SystemExit` included. `KeyboardInterrupt` is not the
    trial's and passes.
    """
    context = TrialContext(
        number=task.number,
        seed=task.seed,
        device=_device(),
        directory=task.directory,
        decisions=dict(task.decisions),
        budget=task.budget,
        parent=task.parent,
        checkpoint=task.checkpoint,
        _on_report=on_report,
        _stop_requested=stop_requested,
    )
    refusal: list[BaseException] = []

    def build_model() -> Any:
        try:
            return workload.build(task)
        except REFUSALS as error:
            refusal.append(error)
            raise

    process = os.getpid()
    started = time.perf_counter()
    try:
        with active_trial(context):
            seed_generators(task.seed)
            returned = workload.evaluate(build_model)
        metric = _final_metric(context, returned)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the trial's code may raise anything; its fate is data here
        _leave_unless(process)
        status, message = _classify(error, error in refusal)
        return Outcome(
            status=status,
            intermediate=tuple(context._intermediate),
            error=message,
            traceback=_traceback(error),
            duration_s=time.perf_counter() - started,
        )
    _leave_unless(process)
    return Outcome(
        status=TrialStatus.PRUNED if context._saw_stop else TrialStatus.COMPLETED,
        metric=metric,
        intermediate=tuple(context._intermediate),
        duration_s=time.perf_counter() - started,
    )


def _leave_unless(process: int) -> None:
    """End this process if the trial has forked it and then let it come back here, where only one may go on."""
    if os.getpid() != process:
        os._exit(0)


def _final_metric(context: TrialContext, returned: Any) -> Metric | None:
    if context._final is not None:
        return context._final
    if returned is None and context._saw_stop:
        return context._intermediate[-1] if context._intermediate else None
    if returned is None:
        raise EvaluationError(
            "the evaluator returned nothing and did not call report_final_result; do one of the two with the metric"
        )
    return check_metric(returned, "the evaluator's return value")


def _classify(error: BaseException, refused: bool) -> tuple[TrialStatus, str]:
    message = ": ".join(part for part in (type(error).__name__, _words(error)) if part)
    if refused or isinstance(error, UnknownArchitectureError):  # a benchmark refuses what it has not, as a space does
        return TrialStatus.INVALID, message
    if isinstance(error, TrialTimeout):
        return TrialStatus.TIMEOUT, str(error)
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(phrase in _words(error).lower() for phrase in _OOM_PHRASES)
    ):
        return TrialStatus.OOM, message
    return TrialStatus.FAILED, message


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an error of the trial's own, whose text is one more thing that may fail
        return ""


def _traceback(error: BaseException) -> str:
    text = "".join(traceback.format_exception(error))
    if len(text) <= _MAX_TRACEBACK:
        return text
    half = _MAX_TRACEBACK // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
