"""Successive halving: many candidates with a small budget, and the best of them again with a larger one."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, insort
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

from graphnas.errors import ConfigError, ExperimentError
from graphnas.experiment.strategies import checks
from graphnas.experiment.strategies.base import WAIT, Observation, Proposal, Strategy, Wait
from graphnas.experiment.strategies.random import Random
from graphnas.mutators.domain import Domain


class _Rung:
    """The trials that ended with one budget."""

    def __init__(self) -> None:
        self._results: list[tuple[float, int]] = []
        self._open: list[tuple[float, int, dict[str, Any]]] = []
        self._open_numbers: set[int] = set()

    def __contains__(self, number: object) -> bool:
        """Whether a trial may still be promoted."""
        return number in self._open_numbers

    def add(self, fitness: float, number: int, decisions: dict[str, Any], *, is_promoted: bool) -> None:
        insort(self._results, (-fitness, number))
        if not is_promoted:
            self.put_back((-fitness, number, decisions))

    def best_to_promote(self, reduction_factor: int) -> tuple[float, int, dict[str, Any]] | None:
        """Take the best that is not promoted, if it is among the best `1 / reduction_factor` of all."""
        if not self._open:
            return None
        if bisect_left(self._results, self._open[0][:2]) >= len(self._results) // reduction_factor:
            return None
        self._open_numbers.remove(self._open[0][1])
        return heapq.heappop(self._open)

    def put_back(self, entry: tuple[float, int, dict[str, Any]]) -> None:
        heapq.heappush(self._open, entry)
        self._open_numbers.add(entry[1])


class _SuccessiveHalving(Strategy):
    """Asynchronous successive halving over one or several brackets."""

    def __init__(
        self, brackets: list[tuple[float, ...]], shares: list[int], reduction_factor: int, mode: str, seed: int | None
    ) -> None:
        super().__init__(optimize_mode=mode, seed=seed)
        self.reduction_factor = reduction_factor
        self._budgets = brackets
        self._turns = [bracket for bracket, share in enumerate(shares) for _ in range(share)]
        self._fresh = Random(optimize_mode=mode, seed=seed)
        self._begin()

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(domains, seed)
        self._fresh.bind(domains, seed)
        self._begin()

    def _begin(self) -> None:
        self._rungs = [[_Rung() for _ in budgets] for budgets in self._budgets]
        self._bracket_of: dict[int, int] = {}
        self._promoted: set[int] = set()
        self._open = 0
        self._new = 0
        self._taken: tuple[_Rung, tuple[float, int, dict[str, Any]]] | None = None

    def ask(self) -> Proposal | Wait | None:
        for budgets, rungs in zip(self._budgets, self._rungs, strict=True):
            for rung, budget in reversed(list(zip(rungs, budgets[1:], strict=False))):
                found = rung.best_to_promote(self.reduction_factor)
                if found is not None:
                    self._taken = rung, found
                    self._open += 1
                    return Proposal(found[2], resume_from=found[1], budget=budget)
        decisions = self._fresh.ask()
        if decisions is None:
            return WAIT if self._open else None
        self._open += 1
        self._new += 1
        bracket = self._turns[(self._new - 1) % len(self._turns)]
        return Proposal(decisions, budget=self._budgets[bracket][0])

    def tell(self, observation: Observation) -> None:
        self._open -= 1
        bracket = self._bracket(observation)
        budgets = self._budgets[bracket]
        if observation.budget not in budgets:
            raise ExperimentError(
                f"trial {observation.number}: {type(self).__name__} was told of the budget {observation.budget}; "
                f"expected one of {', '.join(map(str, budgets))}, as it was asked for"
            )
        if len(self._budgets) > 1:
            self._bracket_of[observation.number] = bracket
        fitness = self.fitness(observation.metric)
        if fitness is not None:
            self._rungs[bracket][budgets.index(observation.budget)].add(
                fitness,
                observation.number,
                observation.decisions,
                is_promoted=observation.number in self._promoted,
            )

    def recall(self, proposal: Proposal) -> None:
        self._open += 1
        if proposal.resume_from is not None:
            self._promoted.add(proposal.resume_from)
        else:
            self._new += 1
            self._fresh.recall(proposal)

    def reject(self, proposal: Proposal) -> None:
        self._open -= 1
        if proposal.resume_from is None:
            self._new -= 1
            self._fresh.reject(proposal)
        elif self._taken is not None:
            rung, entry = self._taken
            rung.put_back(entry)

    def may_resume(self, number: int) -> bool:
        return any(number in rung for rungs in self._rungs for rung in rungs[:-1])

    def state_dict(self) -> dict[str, Any]:
        return {"fresh": self._fresh.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._fresh.load_state_dict(state["fresh"])

    def _bracket(self, observation: Observation) -> int:
        if len(self._budgets) == 1:
            return 0
        if observation.resume_from is not None:
            return self._bracket_of[observation.resume_from]
        firsts = [budgets[0] for budgets in self._budgets]
        return firsts.index(observation.budget) if observation.budget in firsts else 0


class ASHA(_SuccessiveHalving):
    """Ask for random candidates with a small budget, and for the best of them again with larger ones.

    Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", arXiv:1810.05934, algorithm 2. A trial
    finds its budget in `current_trial().budget`, and what the smaller one left behind in `current_trial().checkpoint`.
    One of `reduction_factor` trials of a budget is promoted to the next as soon as it is known to be among the best.

    Metrics of different budgets are never compared. Once a finite space is exhausted, `ask` waits for what is running.

    Args:
        max_budget: The largest budget, in the unit of the evaluator, such as epochs.
        min_budget: The smallest.
        reduction_factor: Each budget is so many times the one before, and one of so many trials gets it.
        early_stopping_rate: So many of the smallest budgets are left out.
        optimize_mode: `'maximize'` or `'minimize'`.
        seed: Seed of the random candidates; None takes one that derives from the experiment's.

    Raises:
        ConfigError: An argument is of a wrong type or out of range.
    """

    arguments: ClassVar[tuple[str, ...]] = (
        "max_budget",
        "min_budget",
        "reduction_factor",
        "early_stopping_rate",
        "optimize_mode",
        "seed",
    )

    def __init__(
        self,
        max_budget: float,
        min_budget: float = 1,
        reduction_factor: int = 4,
        early_stopping_rate: int = 0,
        *,
        optimize_mode: str = "maximize",
        seed: int | None = None,
    ) -> None:
        budgets = _budgets(max_budget, min_budget, reduction_factor)
        self.max_budget, self.min_budget = max_budget, min_budget
        self.early_stopping_rate = checks.whole("early_stopping_rate", early_stopping_rate, least=0)
        if early_stopping_rate >= len(budgets):
            raise ConfigError(
                f"early_stopping_rate: expected less than the number of budgets, which is {len(budgets)}, got "
                f"{early_stopping_rate}",
                field="early_stopping_rate",
            )
        super().__init__([budgets[early_stopping_rate:]], [1], reduction_factor, optimize_mode, seed)


class Hyperband(_SuccessiveHalving):
    """Ask as `ASHA` does, with several smallest budgets at a time, so that none has to be chosen.

    Li et al. 2018, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", arXiv:1603.06560,
    algorithm 1, made asynchronous as in section 3.3 of arXiv:1810.05934: each bracket is an `ASHA` of its own, and new
    candidates come to the brackets in turn, as many to each as the algorithm has.

    Args:
        max_budget: The largest budget, in the unit of the evaluator, such as epochs.
        min_budget: The smallest.
        reduction_factor: Each budget is so many times the one before, and one of so many trials gets it.
        optimize_mode: `'maximize'` or `'minimize'`.
        seed: Seed of the random candidates; None takes one that derives from the experiment's.

    Raises:
        ConfigError: An argument is of a wrong type or out of range.
    """

    arguments: ClassVar[tuple[str, ...]] = ("max_budget", "min_budget", "reduction_factor", "optimize_mode", "seed")

    def __init__(
        self,
        max_budget: float,
        min_budget: float = 1,
        reduction_factor: int = 3,
        *,
        optimize_mode: str = "maximize",
        seed: int | None = None,
    ) -> None:
        budgets = _budgets(max_budget, min_budget, reduction_factor)
        self.max_budget, self.min_budget = max_budget, min_budget
        count = len(budgets)
        shares = [math.ceil(count / (left + 1) * reduction_factor**left) for left in reversed(range(count))]
        super().__init__([budgets[start:] for start in range(count)], shares, reduction_factor, optimize_mode, seed)


def _budgets(max_budget: object, min_budget: object, reduction_factor: object) -> tuple[float, ...]:
    """Return the budgets from the smallest to the largest."""
    least = checks.number("min_budget", min_budget, above=0)
    most = checks.number("max_budget", max_budget, above=0)
    factor = checks.whole("reduction_factor", reduction_factor, least=2)
    if most < least:
        raise ConfigError(f"max_budget: expected at least min_budget = {least}, got {most}", field="max_budget")
    budgets = [least]
    while budgets[-1] * factor <= most:
        budgets.append(budgets[-1] * factor)
    budgets[-1] = most
    assert all(one < other for one, other in pairwise(budgets)), "each is a multiple of the one before"
    return tuple(budgets)
