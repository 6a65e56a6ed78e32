"""What NNI's experiments are asked, under NNI's names, answered from the store.

The answers have the attributes that NNI's have, so a script that reads them goes on working. New code reads `Results`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from graphnas.errors import ExperimentError
from graphnas.experiment.folders import TRIALS_NAME
from graphnas.experiment.results import Results
from graphnas.experiment.trial import LOG_NAME, Metric, Trial, TrialStatus

_JOB_STATUS = {
    TrialStatus.WAITING: "WAITING",
    TrialStatus.RUNNING: "RUNNING",
    TrialStatus.COMPLETED: "SUCCEEDED",
    TrialStatus.PRUNED: "EARLY_STOPPED",
    TrialStatus.TIMEOUT: "SYS_CANCELED",
    TrialStatus.CANCELLED: "USER_CANCELED",
}
_DONE = ("trial budget", "time budget", "space exhausted", "strategy done")


@dataclass(frozen=True)
class TrialHyperParameters:
    """The decisions of a trial."""

    parameter_id: str
    parameters: dict[str, Any]
    parameter_source: str = "algorithm"
    parameter_index: int = 0


@dataclass(frozen=True)
class TrialMetricData:
    """A metric that a trial reported; `type` is `'PERIODICAL'` or `'FINAL'`."""

    trialJobId: str  # noqa: N815  # all of these are named as NNI names them
    parameterId: str  # noqa: N815
    type: str
    sequence: int
    data: Metric


@dataclass(frozen=True)
class TrialJob:
    """A trial; times are in milliseconds since the epoch."""

    trialJobId: str  # noqa: N815
    status: str
    hyperParameters: list[TrialHyperParameters]  # noqa: N815
    logPath: str  # noqa: N815
    sequenceId: int  # noqa: N815
    startTime: int | None = None  # noqa: N815
    endTime: int | None = None  # noqa: N815
    finalMetricData: list[TrialMetricData] = field(default_factory=list)  # noqa: N815
    stderrPath: str | None = None  # noqa: N815


@dataclass(frozen=True)
class TrialResult:
    """Decisions and the metric that they led to."""

    parameter: dict[str, Any]
    value: Metric
    trialJobId: str  # noqa: N815


class PredecessorResults(Results):
    """Results that also answer under NNI's names."""

    def get_status(self) -> str:
        """Return `'RUNNING'`, `'DONE'` (it ended by itself), `'STOPPED'` (it was ended) or `'ERROR'`."""
        summary = self.store.summary()
        if summary.is_running:
            return "RUNNING"
        if summary.ended in _DONE:
            return "DONE"
        return "ERROR" if summary.ended == "every trial failed" else "STOPPED"

    def get_job_statistics(self) -> list[dict[str, Any]]:
        """Return the number of trials in each of NNI's statuses, as `trialJobStatus` and `trialJobNumber`."""
        counts: dict[str, int] = {}
        for status, count in self.store.counts().items():
            name = _JOB_STATUS.get(TrialStatus(status), "FAILED")
            counts[name] = counts.get(name, 0) + count
        return [{"trialJobStatus": name, "trialJobNumber": count} for name, count in counts.items()]

    def list_trial_jobs(self) -> list[TrialJob]:
        """Return all trials in the order of their numbers."""
        return [self._job(trial) for trial in self.store.each_trial()]

    def get_trial_job(self, trial_job_id: str | int) -> TrialJob:
        """Return the trial of a number.

        Raises:
            ExperimentError: There is none.
        """
        trial = self.store.trial(int(trial_job_id)) if str(trial_job_id).isdecimal() else None
        if trial is None:
            raise ExperimentError(
                f"trial_job_id: there is no trial {trial_job_id!r}; they are numbered from 0 to "
                f"{self.store.next_number() - 1}"
            )
        return self._job(trial)

    def get_job_metrics(self, trial_job_id: str | int | None = None) -> dict[str, list[TrialMetricData]]:
        """Return the metrics that one trial or all trials reported, the final one last."""
        jobs = self.list_trial_jobs() if trial_job_id is None else [self.get_trial_job(trial_job_id)]
        found: dict[str, list[TrialMetricData]] = {}
        for job in jobs:
            steps = enumerate(self.store.intermediate(job.sequenceId))
            reported = [_metric(job.sequenceId, "PERIODICAL", step, metric) for step, metric in steps]
            found[job.trialJobId] = [*reported, *job.finalMetricData]
        return found

    def export_data(self) -> list[TrialResult]:
        """Return decisions and metric of every completed trial."""
        completed = self.store.of_status(TrialStatus.COMPLETED)
        return [TrialResult(trial.decisions, _metric_of(trial), str(trial.number)) for trial in completed]

    def get_experiment_profile(self) -> dict[str, Any]:
        """Return id, times and configuration; times in milliseconds since the epoch, `execDuration` in seconds."""
        summary, stored = self.store.summary(), self.store.describe()
        return {
            "id": summary.id,
            "logDir": str(self.directory),
            "execDuration": summary.elapsed_s,
            "startTime": _milliseconds(summary.created_at),
            "nextSequenceId": self.store.next_number(),
            "params": stored.config,
        }

    def _job(self, trial: Trial) -> TrialJob:
        folder = self.directory / TRIALS_NAME / str(trial.number)
        name = str(trial.number)
        return TrialJob(
            trialJobId=name,
            status=_JOB_STATUS.get(trial.status, "FAILED"),
            hyperParameters=[TrialHyperParameters(name, trial.decisions)],
            logPath=str(folder),
            sequenceId=trial.number,
            startTime=_milliseconds(trial.started_at),
            endTime=_milliseconds(trial.ended_at),
            finalMetricData=[] if trial.metric is None else [_metric(trial.number, "FINAL", 0, _metric_of(trial))],
            stderrPath=str(folder / LOG_NAME),
        )


def _metric_of(trial: Trial) -> Metric:
    return trial.metrics if trial.metrics is not None else trial.metric or 0.0


def _metric(number: int, kind: str, step: int, data: Metric) -> TrialMetricData:
    return TrialMetricData(str(number), str(number), kind, step, data)


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
