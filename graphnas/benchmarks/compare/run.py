"""One search on a benchmark, without workers, a store or a model: ask, look up, tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graphnas.benchmarks.search.task import SearchTask, architecture_key
from graphnas.errors import BenchmarkError, UnknownArchitectureError
from graphnas.experiment.strategies import WAIT, Observation, Proposal, Strategy
from graphnas.experiment.trial import TrialStatus

_IN_VAIN = 10_000
"""So many trials in a row without a measurement, or candidates that need none, end a search."""


@dataclass(frozen=True)
class Step:
    """A trial that was better than all before.

    Attributes:
        time_s: Simulated seconds since the start of the search.
        trials: Number of trials until then.
        metric: What the strategy was told.
        score: Test accuracy, in percent; None where the benchmark's data has none.
    """

    time_s: float
    trials: int
    metric: float
    score: float | None


@dataclass(frozen=True)
class Run:
    """One search.

    Attributes:
        seed: Its seed.
        trials: Number of trials.
        time_s: Simulated seconds.
        steps: The trials that were better than all before; the last one is the result.
    """

    seed: int
    trials: int
    time_s: float
    steps: tuple[Step, ...]

    @property
    def score(self) -> float | None:
        """Score of the result, None if no trial was measured."""
        return self.steps[-1].score if self.steps else None


def search_once(
    task: SearchTask,
    strategy: Strategy,
    seed: int,
    *,
    budget_s: float | None = None,
    max_trials: int | None = None,
) -> Run:
    """Search until the simulated time is spent, the number of trials is reached, or the strategy is done.

    Trials run one after the other; the one that exceeds the time still counts, as in the protocol of NATS-Bench.

    Args:
        task: What is searched.
        strategy: A fresh one; it is bound to the task.
        seed: Seed of the strategy.
        budget_s: Simulated seconds.
        max_trials: Number of trials.

    Raises:
        BenchmarkError: Neither limit is given, or nothing that the strategy asks for was measured.
    """
    if budget_s is None and max_trials is None:
        raise BenchmarkError(f"{task.name}: a search needs an end: give budget_s or max_trials")
    strategy.bind(task.domains, seed)
    search = _Search(task, strategy, needs_time=budget_s is not None)
    while (budget_s is None or search.time_s < budget_s) and (max_trials is None or search.trials < max_trials):
        if not search.advance():
            break
    return Run(seed, search.trials, search.time_s, tuple(search.steps))


class _Search:
    """A search that is going on."""

    def __init__(self, task: SearchTask, strategy: Strategy, *, needs_time: bool) -> None:
        self._task, self._strategy, self._needs_time = task, strategy, needs_time
        self._told: dict[tuple[str, float | None], Observation] = {}
        self._in_vain = 0
        self.trials = 0
        self.time_s = 0.0
        self.steps: list[Step] = []

    def advance(self) -> bool:
        """Take one candidate of the strategy to its end; tell whether there was one."""
        asked = self._strategy.ask()
        if asked is None or asked is WAIT:  # nothing runs, so there is nothing to wait for
            return False
        proposal = Proposal.of(asked)
        key = (architecture_key(proposal.decisions), proposal.budget)
        earlier = self._told.get(key) if proposal.on_equal is not None else None
        if earlier is not None:
            self._pass_over(proposal, earlier)
            return True
        observation, cost_s = self._evaluated(proposal)
        self.trials += 1
        self.time_s += cost_s
        if observation.metric is not None:
            self._in_vain = 0
            if not self.steps or observation.metric > self.steps[-1].metric:
                score = self._task.score(observation.decisions)
                self.steps.append(Step(self.time_s, self.trials, observation.metric, score))
        self._told[key] = observation
        self._strategy.tell(observation)
        return True

    def _evaluated(self, proposal: Proposal) -> tuple[Observation, float]:
        decisions, number = proposal.decisions, self.trials
        more: dict[str, Any] = {"resume_from": proposal.resume_from, "budget": proposal.budget}
        try:
            measured = self._task.measure(decisions, proposal.budget)
            if measured.cost_s is None and self._needs_time:
                raise UnknownArchitectureError(f"the data has no training time of {decisions}")
        except UnknownArchitectureError as error:
            self._count_in_vain(str(error))
            return Observation(number, decisions, None, status=TrialStatus.INVALID, **more), 0.0
        cost_s = measured.cost_s or 0.0
        metrics = {"default": measured.metric, "cost_s": cost_s}
        return Observation(number, decisions, measured.metric, metrics, **more), cost_s

    def _pass_over(self, proposal: Proposal, earlier: Observation) -> None:
        """Give a candidate that was evaluated before what it got then, or take it back, as the strategy wants it."""
        self._count_in_vain(f"{proposal.decisions} was asked for again")
        if proposal.on_equal == "skip":
            self._strategy.reject(proposal)
            return
        again = Observation(self.trials, proposal.decisions, earlier.metric, earlier.metrics, earlier.status)
        self.trials += 1
        self._strategy.tell(again)

    def _count_in_vain(self, last: str) -> None:
        self._in_vain += 1
        if self._in_vain >= _IN_VAIN:
            raise BenchmarkError(
                f"{self._task.name}: {_IN_VAIN} candidates in a row were not measured or asked for twice, the last one "
                f"since {last}"
            )
