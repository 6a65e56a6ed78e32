"""Regularised evolution."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

from graphnas.errors import ConfigError
from graphnas.experiment.strategies.asked import Asked
from graphnas.experiment.strategies.base import Observation, Proposal, Strategy
from graphnas.mutators.domain import Domain


class RegularizedEvolution(Strategy):
    """Ask for mutated copies of the best of a random sample of the youngest candidates.

    Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search", arXiv:1802.01548, algorithm 1,
    made asynchronous: a parent is chosen among the candidates told so far, and random points are asked until the first
    population has been asked for (and as long as there is none to choose from).

    Each label is mutated with `mutation_prob`; where none is, one is picked, so that a child differs from its parent.
    Where conditions and constraints allow no such child, it is drawn like the first ones.

    Args:
        optimize_mode: `'maximize'` or `'minimize'`.
        population_size: Number of candidates that live; the oldest dies first.
        sample_size: Number of candidates among which a parent is chosen; at most `population_size`.
        cycles: Number of candidates altogether, after which `ask` returns None.
        mutation_prob: Probability with which each label of a child is changed.
        dedup: Whether never to ask for the same decisions twice. Once a finite space is exhausted `ask` returns None.
        dedup_retries: Number of children that are tried for one that was not asked before; then comes a random one.
        on_failure: `'ignore'` leaves failed candidates out; `'worst'` lets them live with the worst possible metric.
        seed: Seed of all random choices; None takes one that derives from the experiment's.

    Raises:
        ConfigError: An argument is of a wrong type or out of range.
    """

    arguments: ClassVar[tuple[str, ...]] = (
        "optimize_mode",
        "population_size",
        "sample_size",
        "cycles",
        "mutation_prob",
        "dedup",
        "dedup_retries",
        "on_failure",
        "seed",
    )

    def __init__(
        self,
        optimize_mode: str = "maximize",
        population_size: int = 100,
        sample_size: int = 25,
        cycles: int = 20000,
        mutation_prob: float = 0.05,
        dedup: bool = True,
        dedup_retries: int = 500,
        on_failure: str = "ignore",
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(optimize_mode=optimize_mode, seed=seed)
        self.population_size = _positive("population_size", population_size)
        self.sample_size = _positive("sample_size", sample_size)
        self.cycles = _positive("cycles", cycles)
        self.dedup_retries = _positive("dedup_retries", dedup_retries)
        if sample_size > population_size:
            raise ConfigError(
                f"sample_size: expected at most population_size = {population_size}, got {sample_size}",
                field="sample_size",
            )
        if isinstance(mutation_prob, bool) or not isinstance(mutation_prob, int | float) or not 0 <= mutation_prob <= 1:
            raise ConfigError(
                f"mutation_prob: expected a number from 0 to 1, got {mutation_prob!r}", field="mutation_prob"
            )
        if not isinstance(dedup, bool):
            raise ConfigError(f"dedup: expected True or False, got {dedup!r}", field="dedup")
        if on_failure not in ("ignore", "worst"):
            raise ConfigError(f"on_failure: expected 'ignore' or 'worst', got {on_failure!r}", field="on_failure")
        self.mutation_prob = mutation_prob
        self.dedup = dedup
        self.on_failure = on_failure
        self._population: deque[tuple[float, dict[str, Any]]] = deque(maxlen=population_size)
        self._asked: Asked | None = None

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(domains, seed)
        self._population.clear()
        self._asked = Asked(self.domains, self._root_seed) if self.dedup else None

    def ask(self) -> dict[str, Any] | None:
        if self._cursor >= self.cycles or (self._asked is not None and self._asked.is_all):
            return None
        rng = self._next_rng()
        for _ in range(self.dedup_retries):
            decisions: dict[str, Any] | None = self._propose(rng)
            if self._asked is None or decisions not in self._asked:
                break
        else:
            decisions = self._any_unseen(rng)
        if decisions is not None:
            self.recall(Proposal(decisions))
        return decisions

    def tell(self, observation: Observation) -> None:
        if observation.metric is None and self.on_failure == "ignore":
            return
        fitness = self._fitness(observation.metric)
        self._population.append((-math.inf if fitness is None else fitness, observation.decisions))

    def recall(self, proposal: Proposal) -> None:
        if self._asked is not None:
            self._asked.add(proposal.decisions)

    def reject(self, proposal: Proposal) -> None:
        if self._asked is not None:
            self._asked.remove(proposal.decisions)

    def _propose(self, rng: random.Random) -> dict[str, Any]:
        if self._cursor <= self.population_size or not self._population:
            return self._sample(rng)
        sample = rng.sample(range(len(self._population)), min(self.sample_size, len(self._population)))
        # The first of equals in the order of the sample, so that nothing depends on how decisions compare.
        parent = self._population[max(sample, key=lambda index: self._population[index][0])][1]
        return self._mutate(parent, rng)

    def _mutate(self, parent: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        mutable = [label for label, domain in self.domains.items() if label in parent and domain.size != 1]
        if not mutable:
            return dict(parent)
        chosen = [label for label in mutable if rng.random() < self.mutation_prob] or [rng.choice(mutable)]
        child = self.domains.vary(parent, chosen, rng)
        return self._sample(rng) if child is None else child

    def _any_unseen(self, rng: random.Random) -> dict[str, Any] | None:
        assert self._asked is not None, "asked only where nothing is to be asked for twice"
        found = self._asked.any_left()
        if found is not None or self.domains.size is not None:
            return found
        drawn = (self._sample(rng) for _ in range(self.dedup_retries))
        return next((point for point in drawn if point not in self._asked), None)


def _positive(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name}: expected a whole number of at least 1, got {value!r}", field=name)
    return value
