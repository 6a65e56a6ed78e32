"""The loop of an experiment: ask, prepare, submit, commit, tell; and every way in which it ends."""

from __future__ import annotations

import enum
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from graphnas.errors import EvaluationError, ExperimentError
from graphnas.experiment.config import RetiariiExeConfig, load_engine
from graphnas.experiment.engines import Candidate, Space
from graphnas.experiment.executors import Ended, Executor, Reported, Task
from graphnas.experiment.executors.runner import REFUSALS
from graphnas.experiment.signals import Signals
from graphnas.experiment.store import Store
from graphnas.experiment.strategies import WAIT, Observation, Proposal, Strategy
from graphnas.experiment.trial import Metric, Outcome, Trial, TrialStatus, default_metric, derive_seed
from graphnas.mutators.decision_space import DecisionSpace

_TICK_S = 0.2
_GRACE_S = 1.0
_HOPELESS_TRIALS = 100


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

    def on_end(self, number: int, outcome: Outcome) -> None:
        """A trial ended, and that is committed."""


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
    ) -> None:
        self._store = store
        self._space = space
        self._strategy = strategy
        self._executor = executor
        self._config = config
        self._watcher = watcher
        self._signals = signals
        self._engine = load_engine(config.execution_engine)
        self._running: dict[int, dict[str, Any]] = {}
        self._unfinished: deque[Trial] = deque()
        self._next_number = 0
        self._exhausted = False
        self._stop_requested = False
        self._failures: list[Outcome] | None = []
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
        try:
            reason = self._loop()
        except KeyboardInterrupt:
            reason = Reason.INTERRUPTED
        if reason not in (Reason.TRIAL_BUDGET, Reason.SPACE_EXHAUSTED, Reason.STRATEGY_DONE):
            self._wind_down(patient=self._signals.received is None)
        self._store.set_ended(reason.value, self._elapsed_s())
        return Ending(reason, self._signals.received, self._failure(reason))

    def _take_up(self) -> None:
        """Continue what the store holds: number, strategy, and the trials that were running when it ended."""
        trials = self._store.trials()
        self._next_number = len(trials)
        self._unfinished.extend(trial for trial in trials if not trial.status.is_final)
        if any(trial.status is TrialStatus.COMPLETED for trial in trials):
            self._failures = None
        state = self._store.strategy_state()
        if state is not None:
            asked = (Proposal(trial.decisions) for trial in trials)
            told = (
                Observation(
                    number=trial.number,
                    decisions=trial.decisions,
                    metric=trial.metric,
                    metrics=trial.metrics,
                    status=trial.status,
                    intermediate=tuple(self._store.intermediate(trial.number)),
                )
                for trial in self._store.told()
            )
            self._strategy.restore(state, asked, told)

    def _loop(self) -> Reason:
        while True:
            reason = self._reason_to_end() or self._fill()
            if reason is not None:
                return reason
            if self._executor.runs_here:
                with self._signals.raising():
                    events = self._executor.wait(_TICK_S)
            else:
                events = self._executor.wait(_TICK_S)
            for event in events:
                self._handle(event)

    def _fill(self) -> Reason | None:
        """Submit trials while slots are free; return why the run is over once nothing runs and nothing is left."""
        while len(self._running) < self._executor.concurrency and self._reason_to_end() is None:
            if self._unfinished:
                trial = self._unfinished.popleft()
                self._start(trial.number, trial.decisions, again=True)
                continue
            asked = None if self._is_spent() else self._strategy.ask()
            if asked is WAIT:
                self._check_waiting()
                break
            if asked is None:
                self._exhausted = not self._is_spent()
                break
            self._next_number += 1
            self._start(self._next_number - 1, Proposal.of(asked).decisions, again=False)
        early = self._reason_to_end()
        if early is not None or self._running:
            return early
        if not self._exhausted:
            return Reason.TRIAL_BUDGET
        size = DecisionSpace.of(self._space.domains).size
        return Reason.SPACE_EXHAUSTED if size is not None and self._next_number >= size else Reason.STRATEGY_DONE

    def _check_waiting(self) -> None:
        if not self._running:
            raise ExperimentError(
                f"strategy {type(self._strategy).__name__}: ask() returned WAIT although no trial is running, so the "
                "search would wait for ever; return None where nothing is left to ask"
            )

    def _start(self, number: int, decisions: Mapping[str, Any], *, again: bool) -> None:
        directory = self._store.directory / "trials" / str(number)
        directory.mkdir(parents=True, exist_ok=True)
        seed = derive_seed(self._config.seed, "trial", number)
        refusal: Exception | None = None
        try:
            candidate = self._engine.prepare(self._space, decisions, directory)
        except REFUSALS as error:
            refusal, candidate = error, Candidate(dict(decisions))
        if again:
            self._store.restart(number, candidate.fingerprint)
        else:
            trial = Trial(number, TrialStatus.RUNNING, candidate.decisions, seed, fingerprint=candidate.fingerprint)
            self._store.submit(trial, self._strategy.state_dict())
        self._running[number] = candidate.decisions
        self._watcher.on_start(number)
        if refusal is not None:
            message = f"{type(refusal).__name__}: {refusal}"
            self._finish(number, Outcome(TrialStatus.INVALID, error=message))
            return
        budget_s = None if self._config.max_experiment_s is None else self._config.max_experiment_s - self._elapsed_s()
        self._executor.submit(
            Task(
                number=number,
                decisions=candidate.decisions,
                seed=seed,
                directory=directory,
                recipe=candidate.recipe,
                timeout_s=self._config.max_trial_s,
                budget_s=None if budget_s is None else max(budget_s, 0.001),
            )
        )

    def _handle(self, event: Ended | Reported) -> None:
        if isinstance(event, Ended):
            self._finish(event.number, event.outcome)
            return
        self._store.add_intermediate(event.number, event.step, event.metric)
        if event.number in self._running and self._strategy.report(event.number, event.step, event.metric):
            self._executor.request_stop(event.number)
        self._watcher.on_report(event.number, event.step, event.metric)

    def _finish(self, number: int, outcome: Outcome) -> None:
        """Commit how a trial ended; only then tell the strategy and the watcher."""
        self._store.finish(number, outcome, self._elapsed_s())
        decisions = self._running.pop(number)
        if outcome.status.is_final:
            self._strategy.tell(
                Observation(
                    number=number,
                    decisions=decisions,
                    metric=default_metric(outcome.metric),
                    metrics=outcome.metric if isinstance(outcome.metric, dict) else None,
                    status=outcome.status,
                    intermediate=outcome.intermediate,
                )
            )
            if not outcome.status.is_failure:
                self._failures = None
            elif self._failures is not None:
                self._failures.append(outcome)
        self._watcher.on_end(number, outcome)

    def _reason_to_end(self) -> Reason | None:
        if self._signals.received is not None:
            return Reason.INTERRUPTED
        if self._stop_requested:
            return Reason.STOPPED
        if self._config.max_experiment_s is not None and self._elapsed_s() >= self._config.max_experiment_s:
            return Reason.TIME_BUDGET
        return Reason.FAILING if self._is_hopeless() else None

    def _is_spent(self) -> bool:
        limit = self._config.max_trial_number
        return limit is not None and self._next_number >= limit

    def _is_hopeless(self) -> bool:
        """Whether the first trials all failed in the same way, or very many in any."""
        if not self._failures:
            return False
        enough = max(3, self._executor.concurrency + 1)
        kinds = {outcome.failure_key for outcome in self._failures}
        # One refusal of a mutator says nothing about the next candidate; an error in the evaluator does.
        systematic = len(kinds) == 1 and self._failures[0].status is not TrialStatus.INVALID
        return len(self._failures) >= (enough if systematic else _HOPELESS_TRIALS)

    def _failure(self, reason: Reason) -> EvaluationError | None:
        if not self._failures or reason in (Reason.INTERRUPTED, Reason.STOPPED):
            return None
        first = self._failures[0]
        count = len(self._failures)
        return EvaluationError(
            f"no trial has completed: {count} of {count} failed, the first as {first.status.value}: {first.error}\n"
            f"{first.traceback}".rstrip(),
            traceback=first.traceback,
        )

    def _wind_down(self, *, patient: bool) -> None:
        """Give running trials a moment to end by themselves, then cancel them; they run again when resumed."""
        deadline = time.monotonic() + (_GRACE_S if patient else 0.0)
        try:
            for number in self._running:
                self._executor.request_stop(number)
            while self._running and not self._executor.runs_here and time.monotonic() < deadline:
                for event in self._executor.wait(min(_TICK_S, max(0.0, deadline - time.monotonic()))):
                    if isinstance(event, Ended) and event.outcome.status is TrialStatus.PRUNED:
                        event = Ended(event.number, replace(event.outcome, status=TrialStatus.CANCELLED, metric=None))
                    self._handle(event)
        except KeyboardInterrupt:
            pass  # asked for twice: no more waiting
        self._executor.close()
        for number in tuple(self._running):
            self._finish(number, Outcome(TrialStatus.CANCELLED, error="the run ended while the trial was running"))

    def _elapsed_s(self) -> float:
        return self._elapsed_before_s + time.monotonic() - self._started_at
