"""A budget of simulated time: a search ends when its trials would have taken so long."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from graphnas.errors import ConfigError
from graphnas.experiment.strategies import Observation
from graphnas.experiment.strategies.base import Answer
from graphnas.experiment.strategies.chain import Part
from graphnas.mutators.domain import Domain


class SimulatedTime(Part):
    """Ask for nothing more once the trials that have ended cost so many seconds altogether.

    `Chain(RegularizedEvolution(), SimulatedTime(20_000))` is the protocol of NATS-Bench (arXiv 2009.00437). The trial
    that exceeds the time still counts, and so do those that run beside it.

    Args:
        seconds: The budget.
        metric: Name of the metric that holds what a trial cost, as `BenchmarkEvaluator` gives it. A trial without it
            costs nothing.

    Raises:
        ConfigError: The budget is no positive number.
    """

    arguments: ClassVar[tuple[str, ...]] = ("seconds", "metric")

    def __init__(self, seconds: float, metric: str = "cost_s") -> None:
        super().__init__()
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
            raise ConfigError(f"seconds: expected a positive number, got {seconds!r}", field="seconds")
        self.seconds, self.metric = seconds, metric
        self._spent_s = 0.0

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(domains, seed)
        self._spent_s = 0.0

    def ask(self) -> Answer:
        return None if self._spent_s >= self.seconds else self.inner.ask()

    def note(self, observation: Observation) -> None:
        self._spent_s += (observation.metrics or {}).get(self.metric, 0.0)
