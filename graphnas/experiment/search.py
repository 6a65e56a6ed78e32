"""The loop of an experiment: ask, prepare, submit, commit, tell; and every way in which it ends."""

from __future__ import annotations

import contextlib
import enum
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from graphnas.errors import EvaluationError, ExperimentError, StoreError
from graphnas.experiment.config import RetiariiExeConfig, load_engine
from graphnas.experiment.engines import Candidate, Space
from graphnas.experiment.equality import Equal, EqualTrials
from graphnas.experiment.executors import Ended, Event, Executor, Reported, Task
from graphnas.experiment.executors.runner import REFUSALS
from graphnas.experiment.failures import Failures
from graphnas.experiment.folders import TRIALS_NAME
from graphnas.experiment.keeping import CheckpointKeeper
from graphnas.experiment.signals import Signals
from graphnas.experiment.store import Reader, Store
from graphnas.experiment.strategies import WAIT, Observation, Proposal, Strategy
from graphnas.experiment.trial import Metric, Outcome, Trial, TrialStatus, default_metric, derive_seed
from graphnas.mutators.decision_space import DecisionSpace

_TICK_S = 0.2
_GRACE_S = 1.0
_BATCH_S = 0.1
_MAX_SKIPS = 1000


class Reason(enum.StrEnum):
    """Why a run ended."""

    TRIAL_BUDGET = "trial budget"
    TIME_BUDGET = "time budget"
    SPACE_EXHAUSTED = "space exhausted"
    STRATEGY_DONE = "strategy done"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    FAILING = "every trial failed"


@dataclass(frozen=True)
class Ending:
    """How a run ended; `signal` is the number of the signal that interrupted it, `failure` what `run` is to raise."""

    reason: Reason
    signal: int | None = None
    failure: EvaluationError | None = None


class Watcher(Protocol):
    """Who is shown the progress of a run."""

    def on_start(self, number: int) -> None:
        """A trial was submitted."""

    def on_report(self, number: int, step: int, metric: Metric) -> None:
        """A trial reported an intermediate metric."""

    def on_retry(self, number: int, outcome: Outcome) -> None:
        """A trial was lost with the machine of its worker, and will be submitted again."""

    def on_end(self, number: int, outcome: Outcome) -> None:
        """A trial ended, and that is committed."""


@dataclass
class _Job:
    """A trial on its way from the strategy to its end.

    Attributes:
        number: Its number.
        proposal: What the strategy asked for, and once it is prepared, in the spelling of the space.
        attempts: How often it was lost.
        is_known: Whether the store has it already, so that it runs again.
        candidate: What the engine made of it.
        key: What equal trials have in common, where it is known.
        equal: The trial whose result it takes over, at once or when that has ended.
        end: How it ended before it was submitted.
    """

    number: int
    proposal: Proposal
    attempts: int = 0
    is_known: bool = False
    candidate: Candidate = field(default_factory=lambda: Candidate({}))
    key: str | None = None
    equal: Equal | None = None
    end: Outcome | None = None


class Search:
    """One run of an experiment, fresh or resumed.

    Args:
        store: Open for writing; what it holds already is continued.
        space: Where candidates come from.
        strategy: Bound to the domains of the space; restored here.
        executor: Open.
        config: Budgets, seed and engine.
        watcher: Shown what happens.
        signals: Looked at after every event.
        earlier: Stores of earlier experiments whose results may stand in for equal candidates.
    """

    def __init__(
        self,
        store: Store,
        space: Space,
        strategy: Strategy,
        executor: Executor,
        config: RetiariiExeConfig,
        watcher: Watcher,
        signals: Signals,
        earlier: Sequence[Reader] = (),
    ) -> None:
        self._store = store
        self._space = space
        self._strategy = strategy
        self._executor = executor
        self._config = config
        self._watcher = watcher
        self._signals = signals
        self._engine = load_engine(config.execution_engine)
        self._max_experiment_s = config.max_experiment_s
        self._max_trial_s, self._max_silence_s = config.max_trial_s, config.max_silence_s
        self._equals = EqualTrials(store, space, earlier)
        maximize = strategy.optimize_mode == "maximize"
        self._trials = store.directory / TRIALS_NAME
        self._checkpoints = CheckpointKeeper(self._trials, config.keep_checkpoints, maximize=maximize)
        self._failures = Failures()
        self._running: dict[int, _Job] = {}
        self._following: dict[int, _Job] = {}
        self._again: deque[_Job] = deque()
        self._next_number = 0
        self._is_waiting = False
        self._is_exhausted = False
        self._has_only_equals = False
        self._stop_requested = False
        self._broken: Exception | None = None
        self._elapsed_before_s = 0.0
        self._started_at = 0.0

    def request_stop(self) -> None:
        """End the run soon; may be called from any thread."""
        self._stop_requested = True

    def run(self) -> Ending:
        """Run until there is a reason to end, and return it. Every finished trial is committed by then."""
        self._started_at = time.monotonic()
        self._elapsed_before_s = self._store.elapsed_s
        self._take_up()
        if self._executor.runs_here:
            self._executor.on_report = self._hear
        try:
            reason = self._loop()
        except KeyboardInterrupt:
            reason = Reason.INTERRUPTED
        if reason not in (Reason.TRIAL_BUDGET, Reason.SPACE_EXHAUSTED, Reason.STRATEGY_DONE):
            self._wind_down(patient=self._signals.received is None)
        self._store.set_ended(reason.value, self._elapsed_s())
        failure = None if reason in (Reason.INTERRUPTED, Reason.STOPPED) else self._failures.as_error()
        return Ending(reason, self._signals.received, failure)

    # Taking up an earlier life

    def _take_up(self) -> None:
        """Continue what the store holds: number, strategy, and the trials that were running when it ended."""
        self._next_number = self._store.next_number()
        if self._next_number == 0:
            return
        unfinished = [status for status in TrialStatus if not status.is_final]
        self._again.extend(
            _Job(
                number=trial.number,
                proposal=replace(_proposal_of(trial), on_equal=None if trial.reused_from is None else "replay"),
                attempts=trial.attempts,
                is_known=True,
                key=trial.key,
            )
            for trial in self._store.of_status(*unfinished)
        )
        if TrialStatus.COMPLETED.value in self._store.counts():
            self._failures.forget()
        self._checkpoints.take_up((trial.number, trial.metric) for trial in self._store.told())
        state = self._store.strategy_state()
        if state is not None:
            asked = map(_proposal_of, self._store.each_trial())
            self._strategy.restore(state, asked, map(self._observation_again, self._store.told()))

    def _observation_again(self, trial: Trial) -> Observation:
        return Observation(
            number=trial.number,
            decisions=trial.decisions,
            metric=trial.metric,
            metrics=trial.metrics,
            status=trial.status,
            resume_from=trial.resume_from,
            budget=trial.budget,
            intermediate=tuple(self._store.intermediate(trial.number)),
        )

    # The loop

    def _loop(self) -> Reason:
        while True:
            reason = self._reason_to_end() or self._fill()
            if reason is not None:
                return reason
            with self._signals.raising() if self._executor.runs_here else contextlib.nullcontext():
                events = self._executor.wait(_TICK_S)
            if self._broken is not None:
                raise self._broken
            self._take(events)

    def _fill(self) -> Reason | None:
        """Submit trials while slots are free; return why the run is over once nothing runs and nothing is left."""
        self._is_waiting = False
        while jobs := self._next_jobs():
            self._submit(jobs)
        early = self._reason_to_end()
        if early is not None or self._running:
            return early
        if self._is_waiting:
            raise ExperimentError(
                f"strategy {type(self._strategy).__name__}: ask() returned WAIT although no trial is running, so the "
                "search would wait for ever; return None where nothing is left to ask"
            )
        if not self._is_exhausted:
            return Reason.TRIAL_BUDGET
        size = DecisionSpace.of(self._space.domains).size
        return Reason.SPACE_EXHAUSTED if size is not None and self._next_number >= size else Reason.STRATEGY_DONE

    def _next_jobs(self) -> list[_Job]:
        """Return prepared trials for the free slots; no more than a moment's work, so that the first start soon."""
        jobs: list[_Job] = []
        slots = self._executor.concurrency
        deadline = time.monotonic() + _BATCH_S
        while len(self._running) + len(jobs) < slots and self._reason_to_end() is None:
            job = self._prepared(self._again.popleft()) if self._again else self._new_job()
            if job is None:
                break
            jobs.append(job)
            # What has ended already is told before the strategy is asked again.
            if job.end is not None or time.monotonic() >= deadline:
                break
        return jobs

    def _new_job(self) -> _Job | None:
        """Ask the strategy for a trial, and return it prepared; None if there is none now, or none any more."""
        if len(self._following) >= self._executor.concurrency:
            return None  # they take no slot, and a strategy may never ask for anything else
        for _ in range(_MAX_SKIPS):
            if self._is_spent() or self._has_only_equals:
                return None
            asked = self._strategy.ask()
            self._is_waiting, self._is_exhausted = asked is WAIT, asked is None
            if asked is WAIT or asked is None:
                return None
            job = self._prepared(_Job(self._next_number, Proposal.of(asked)))
            if job.equal is None or job.proposal.on_equal != "skip":
                self._next_number += 1
                return job
            self._strategy.reject(job.proposal)
        self._is_exhausted = self._has_only_equals = True
        return None

    def _prepared(self, job: _Job) -> _Job:
        """Let the engine make a candidate of a job, and look whether it has to be run at all."""
        decisions = job.proposal.decisions
        folder = self._trials / str(job.number)
        try:
            job.candidate = self._engine.prepare(self._space, decisions, folder)
        except ExperimentError:
            raise
        except OSError as error:
            raise StoreError(
                f"{folder}: the folder of the trial cannot be written: {error}; what was written before is intact"
            ) from error
        except Exception as error:  # a mutator's own code may raise anything; the next candidate may be better
            job.candidate = Candidate(dict(decisions))
            job.end = _refused(error)
            return job
        on_equal = job.proposal.on_equal
        job.proposal = replace(job.proposal, decisions=job.candidate.decisions)
        job.key = job.key or self._equals.key_of(job.candidate, job.proposal.budget, is_needed=on_equal is not None)
        job.equal = self._equals.find(job.key) if job.key is not None and on_equal is not None else None
        if job.equal is None:
            self._equals.begin(job.key, job.number)
        else:
            job.end = job.equal.outcome
        return job

    def _submit(self, jobs: Sequence[_Job]) -> None:
        """Commit that trials are submitted, together with the state of the strategy that asked for them; start them."""
        last_new = next((job for job in reversed(jobs) if not job.is_known), None)
        with self._store.transaction():
            for job in jobs:
                if job.is_known:
                    self._checkpoints.forget(job.number)
                    self._store.restart(self._row(job))
                else:
                    self._store.submit(self._row(job), self._strategy.state_dict() if job is last_new else None)
        for job in jobs:
            job.is_known = True
            if job.equal is not None and job.end is None:
                self._following[job.number] = job
            else:
                self._running[job.number] = job
            self._watcher.on_start(job.number)
            if job.end is not None:
                self._take([Ended(job.number, job.end)])
            elif job.equal is None:
                self._executor.submit(self._task(job))

    def _row(self, job: _Job) -> Trial:
        return Trial(
            number=job.number,
            status=TrialStatus.RUNNING,
            decisions=job.candidate.decisions,
            seed=self._seed(job.number),
            fingerprint=job.candidate.fingerprint,
            budget=job.proposal.budget,
            resume_from=job.proposal.resume_from,
            reused_from=None if job.equal is None else job.equal.number,
            reused_experiment=None if job.equal is None else job.equal.experiment,
            attempts=job.attempts,
            key=job.key,
        )

    def _task(self, job: _Job) -> Task:
        parent = job.proposal.resume_from
        left_s = None if self._max_experiment_s is None else max(self._max_experiment_s - self._elapsed_s(), 0.001)
        return Task(
            number=job.number,
            decisions=job.candidate.decisions,
            seed=self._seed(job.number),
            directory=self._trials / str(job.number),
            recipe=job.candidate.recipe,
            budget=job.proposal.budget,
            parent=parent,
            checkpoint=None if parent is None else self._checkpoints.path_of(parent),
            timeout_s=self._max_trial_s,
            silence_s=self._max_silence_s,
            budget_s=left_s,
        )

    # What comes back

    def _take(self, events: Sequence[Event]) -> None:
        """Commit what happened, all of it at once; only then tell the strategy and the watcher."""
        events = [event for event in events if event.number in self._running or event.number in self._following]
        with self._store.transaction() if events else contextlib.nullcontext():
            for event in events:
                if isinstance(event, Reported):
                    self._store.add_intermediate(event.number, event.step, event.metric)
                elif not self._is_retried(event):
                    self._store.finish(event.number, event.outcome, self._elapsed_s())
        for event in events:
            if isinstance(event, Reported):
                if self._strategy.report(event.number, event.step, event.metric):
                    self._executor.request_stop(event.number)
                self._watcher.on_report(event.number, event.step, event.metric)
            else:
                self._end(event.number, event.outcome, is_retried=self._is_retried(event))

    def _hear(self, report: Reported) -> None:
        """Take a report while its trial runs in this very thread, where its code must not see what breaks here."""
        if self._broken is None:
            try:
                self._take([report])
            except Exception as error:
                self._broken = error

    def _end(self, number: int, outcome: Outcome, *, is_retried: bool) -> None:
        job = self._running.pop(number, None) or self._following.pop(number)
        self._equals.end(job.key, number)
        if is_retried:
            job.attempts += 1
            self._again.append(job)
            self._watcher.on_retry(number, outcome)
            return
        metric = default_metric(outcome.metric)
        if outcome.status.is_final:
            self._failures.add(outcome)
            self._strategy.tell(
                Observation(
                    number=number,
                    decisions=job.candidate.decisions,
                    metric=metric,
                    metrics=outcome.metric if isinstance(outcome.metric, dict) else None,
                    status=outcome.status,
                    resume_from=job.proposal.resume_from,
                    budget=job.proposal.budget,
                    intermediate=outcome.intermediate,
                )
            )
            self._checkpoints.ended(number, metric, self._needed)
        self._watcher.on_end(number, outcome)
        self._release(number, outcome)

    def _release(self, number: int, outcome: Outcome) -> None:
        """Give those that waited for a trial its result, or let them run if it has none."""
        followers = [job for job in self._following.values() if job.equal is not None and job.equal.number == number]
        if outcome.status is TrialStatus.COMPLETED:
            self._take([Ended(job.number, replace(outcome, duration_s=0.0, worker="")) for job in followers])
        elif outcome.status.is_final:
            for job in followers:
                del self._following[job.number]
                self._again.append(job)

    def _is_retried(self, event: Ended) -> bool:
        job = self._running.get(event.number)
        is_lost = event.outcome.status is TrialStatus.LOST
        return is_lost and job is not None and job.attempts < self._config.max_retries_lost

    def _needed(self) -> Callable[[int], bool]:
        """Return what tells whether the checkpoint of a trial may still be continued."""
        jobs = (*self._running.values(), *self._following.values(), *self._again)
        parents = {job.proposal.resume_from for job in jobs}
        return lambda number: number in parents or self._strategy.may_resume(number)

    # Ends

    def _reason_to_end(self) -> Reason | None:
        if self._signals.received is not None:
            return Reason.INTERRUPTED
        if self._stop_requested:
            return Reason.STOPPED
        if self._max_experiment_s is not None and self._elapsed_s() >= self._max_experiment_s:
            return Reason.TIME_BUDGET
        return Reason.FAILING if self._failures.are_hopeless(self._executor.concurrency) else None

    def _is_spent(self) -> bool:
        limit = self._config.max_trial_number
        return limit is not None and self._next_number >= limit

    def _wind_down(self, *, patient: bool) -> None:
        """Give running trials a moment to end by themselves, then cancel them; they run again when resumed."""
        deadline = time.monotonic() + (_GRACE_S if patient else 0.0)
        try:
            for number in self._running:
                self._executor.request_stop(number)
            while self._running and not self._executor.runs_here and time.monotonic() < deadline:
                events = self._executor.wait(min(_TICK_S, max(0.0, deadline - time.monotonic())))
                self._take([_cancelled(event) for event in events])
        except KeyboardInterrupt:
            pass  # asked for twice: no more waiting
        self._executor.close()
        outcome = Outcome(TrialStatus.CANCELLED, error="the run ended while the trial was running")
        self._take([Ended(number, outcome) for number in (*self._running, *self._following)])
        with self._store.transaction():
            for job in self._again:
                self._store.finish(job.number, outcome, self._elapsed_s())

    # Places and numbers

    def _seed(self, number: int) -> int:
        return derive_seed(self._config.seed, "trial", number)

    def _elapsed_s(self) -> float:
        return self._elapsed_before_s + time.monotonic() - self._started_at


def _proposal_of(trial: Trial) -> Proposal:
    return Proposal(trial.decisions, trial.resume_from, trial.budget)


def _refused(error: Exception) -> Outcome:
    """Return how a trial ends whose decisions make no candidate."""
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, REFUSALS):
        return Outcome(TrialStatus.INVALID, error=message)
    return Outcome(TrialStatus.FAILED, error=message, traceback="".join(traceback.format_exception(error)))


def _cancelled(event: Event) -> Event:
    """Return the event of a trial that was asked to stop since the run ends: that is no verdict on the trial."""
    if isinstance(event, Ended) and event.outcome.status is TrialStatus.PRUNED:
        return Ended(event.number, replace(event.outcome, status=TrialStatus.CANCELLED, metric=None))
    return event
