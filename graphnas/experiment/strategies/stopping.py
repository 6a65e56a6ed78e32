"""Parts of a chain that end trials early, by what they report on their way.

A trial finds out by `graphnas.should_stop()`, and counts as PRUNED with the last metric that it reported.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from typing import ClassVar

from graphnas.experiment.strategies import checks
from graphnas.experiment.strategies.base import Observation
from graphnas.experiment.strategies.chain import Part
from graphnas.experiment.trial import Metric, TrialStatus, default_metric
from graphnas.mutators.domain import Domain


class MedianStop(Part):
    """Stop a trial whose best metric so far is worse than the median of the others' averages up to the same step.

    Golovin et al. 2017, "Google Vizier: A Service for Black-Box Optimization", section 3.2.2. The others are the trials
    that have completed.

    Args:
        min_trials: Nothing is stopped before so many trials have completed the step.
        warmup_steps: Nothing is stopped before a trial has reported so many steps.

    Raises:
        ConfigError: An argument is of a wrong type or out of range.
    """

    arguments: ClassVar[tuple[str, ...]] = ("min_trials", "warmup_steps")

    def __init__(self, min_trials: int = 5, warmup_steps: int = 1) -> None:
        super().__init__()
        self.min_trials = checks.whole("min_trials", min_trials)
        self.warmup_steps = checks.whole("warmup_steps", warmup_steps, least=0)
        self._averages: list[list[float]] = []
        self._best: dict[int, float] = {}

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(domains, seed)
        self._averages, self._best = [], {}

    def report(self, number: int, step: int, metric: Metric) -> bool:
        stops = self.inner.report(number, step, metric)
        fitness = _fitness(self, metric)
        best = self._best[number] = max(fitness, self._best.get(number, fitness))
        others = self._averages[step] if step < len(self._averages) else []
        if step < self.warmup_steps or len(others) < self.min_trials:
            return stops
        middle = len(others) // 2
        median = others[middle] if len(others) % 2 else (others[middle - 1] + others[middle]) / 2
        return stops or best < median

    def note(self, observation: Observation) -> None:
        self._best.pop(observation.number, None)
        if observation.status is not TrialStatus.COMPLETED:
            return
        total = 0.0
        for step, metric in enumerate(observation.intermediate):
            total += _fitness(self, metric)
            if step == len(self._averages):
                self._averages.append([])
            insort(self._averages[step], total / (step + 1))


class HalvingStop(Part):
    """Stop a trial at a rung unless it is among the best of those that have been there.

    The rungs are after `min_steps`, `min_steps * reduction_factor`, ... reports. Li et al. 2020, "A System for
    Massively Parallel Hyperparameter Tuning", arXiv:1810.05934, as a rule for stopping: with n trials at a rung, one
    goes on that is among the best `n / reduction_factor`. Nothing is stopped before so many trials were there that one
    of them goes on.

    Args:
        min_steps: Number of reports before the first rung.
        reduction_factor: One of so many goes on.

    Raises:
        ConfigError: An argument is of a wrong type or out of range.
    """

    arguments: ClassVar[tuple[str, ...]] = ("min_steps", "reduction_factor")

    def __init__(self, min_steps: int = 1, reduction_factor: int = 4) -> None:
        super().__init__()
        self.min_steps = checks.whole("min_steps", min_steps)
        self.reduction_factor = checks.whole("reduction_factor", reduction_factor, least=2)
        self._rungs: dict[int, list[float]] = {}
        self._reached: dict[int, int] = {}

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(domains, seed)
        self._rungs, self._reached = {}, {}

    def report(self, number: int, step: int, metric: Metric) -> bool:
        stops = self.inner.report(number, step, metric)
        self._reached[number] = step
        return stops or (self._is_rung(step + 1) and not self._passes(step + 1, metric))

    def note(self, observation: Observation) -> None:
        reached = self._reached.pop(observation.number, -1)
        for step, metric in enumerate(observation.intermediate):
            if step > reached and self._is_rung(step + 1):  # it was not reported to this object: an earlier life
                self._passes(step + 1, metric)

    def _is_rung(self, steps: int) -> bool:
        steps, rest = divmod(steps, self.min_steps)
        while steps % self.reduction_factor == 0 and steps:
            steps //= self.reduction_factor
        return rest == 0 and steps == 1

    def _passes(self, steps: int, metric: Metric) -> bool:
        cost = -_fitness(self, metric)
        results = self._rungs.setdefault(steps, [])
        better = bisect_left(results, cost)
        insort(results, cost)
        return len(results) < self.reduction_factor or better < len(results) // self.reduction_factor


def _fitness(part: Part, metric: Metric) -> float:
    fitness = part.fitness(default_metric(metric))
    assert fitness is not None, "a reported metric is a number"
    return fitness
