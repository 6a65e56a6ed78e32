"""What a search on a benchmark is: a space, what a trial measures and costs, and what counts in the end."""

from __future__ import annotations

import abc
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphnas.benchmarks.nasbench101.architecture import from_decisions
from graphnas.benchmarks.nasbench101.graph import hash_module
from graphnas.errors import BenchmarkError, UnknownArchitectureError
from graphnas.mutators import ModelSpace
from graphnas.mutators.decision_space import DecisionSpace


@dataclass(frozen=True)
class Measured:
    """What one trial comes to.

    Attributes:
        metric: What the strategy is told, in percent.
        cost_s: Seconds that training and evaluation took when the benchmark was made; None where the data lacks them.
    """

    metric: float
    cost_s: float | None


class SearchTask(abc.ABC):
    """A search on a benchmark.

    Attributes:
        name: Name of the task, such as `nasbench201-cifar10`.
        epochs: Length of the training of a trial, unless a strategy asks for another.
        metric: Which column a strategy is told, such as `valid_acc`.
        all_epochs: Lengths that were measured.
        budget_s: Simulated seconds of a search in the protocol that is used in publications; None where there is none.
    """

    def __init__(
        self, name: str, epochs: int, metric: str, *, all_epochs: tuple[int, ...], budget_s: float | None
    ) -> None:
        if epochs not in all_epochs:
            raise _unmeasured(name, epochs, all_epochs)
        self.name, self.epochs, self.metric = name, epochs, metric
        self.all_epochs, self.budget_s = all_epochs, budget_s
        self._known: dict[tuple[str, int], Measured | BenchmarkError] = {}

    @abc.abstractmethod
    def space(self) -> ModelSpace:
        """Return the space of the benchmark's networks."""

    @abc.abstractmethod
    def score(self, decisions: Mapping[str, Any]) -> float | None:
        """Return what publications report of the network that a search ends with: the mean test accuracy, in percent.

        None where the data has none.
        """

    @property
    @abc.abstractmethod
    def best_score(self) -> float:
        """The best score of all networks; NaN where the data has none."""

    @abc.abstractmethod
    def _measure(self, decisions: Mapping[str, Any], epochs: int) -> Measured:
        """Look up what a trial comes to."""

    @cached_property
    def domains(self) -> DecisionSpace:
        """Label to domain: what a strategy searches."""
        return self.space().domains

    def measure(self, decisions: Mapping[str, Any], epochs: float | None = None) -> Measured:
        """Return what a trial comes to.

        Args:
            decisions: Of the task's space.
            epochs: Length of the training, where it is not that of the task. Each length was trained from the start,
                so nothing of the cost is saved by continuing.

        Raises:
            UnknownArchitectureError: The data has no measurement of the network.
            BenchmarkError: That length of training was not measured.
        """
        length = self.epochs if epochs is None else epochs
        if length not in self.all_epochs:
            raise _unmeasured(self.name, length, self.all_epochs)
        key = (str(decisions), int(length))
        found = self._known.get(key)
        if found is None:
            try:
                found = self._measure(decisions, int(length))
            except BenchmarkError as error:
                found = error
            self._known[key] = found
        if isinstance(found, BenchmarkError):
            raise found
        return found


def architecture_key(decisions: Mapping[str, Any]) -> str:
    """Return what is the same for equal architectures of a benchmark.

    Those of NAS-Bench-101 have its graph hash, since the order in which they number their vertices means nothing.
    """
    try:
        return hash_module(from_decisions(decisions))
    except UnknownArchitectureError:  # of another benchmark, in which different decisions are different networks
        text = json.dumps(decisions, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def _unmeasured(name: str, epochs: float, all_epochs: tuple[int, ...]) -> BenchmarkError:
    measured = ", ".join(map(str, all_epochs))
    return BenchmarkError(
        f"{name}: trainings of {measured} epochs were measured, none of {epochs}; a strategy that sets budgets must "
        "set these"
    )
