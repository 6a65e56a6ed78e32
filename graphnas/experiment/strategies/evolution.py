"""Regularised evolution."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

from graphnas.errors import ConfigError
from graphnas.experiment.strategies import checks
from graphnas.experiment.strategies.asked import Distinct, Predicate
from graphnas.experiment.strategies.base import Observation
from graphnas.mutators.domain import Domain


class RegularizedEvolution(Distinct):
    """Ask for mutated copies of the best of a random sample of the youngest candidates.

    Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search", arXiv:1802.01548, algorithm 1,
    made asynchronous: a parent is chosen among the candidates told so far, and random points are asked until the first
    population has been asked for (and as long as there is none to choose from).

    Each label is mutated with `mutation_prob`; where none is, one is picked, so that a child differs from its parent.
    Where conditions and constraints allow no such child, it is drawn like the first ones.

    Args:
        optimize_mode: `'maximize'` or `'minimize'`.
        population_size: Number of candidates that live; the oldest dies first.
        sample_size: Number of draws, with replacement, of which the best is the parent; at most `population_size`.
        cycles: Number of candidates altogether, after which `ask` returns None.
        mutation_prob: Probability with which each label of a child is changed.
        dedup: Whether never to ask for the same decisions twice. Once a finite space is exhausted `ask` returns None.
        dedup_retries: Number of children that are tried for one that was not asked before; then comes a random one.
        on_failure: `'ignore'` leaves failed candidates out; `'worst'` lets them live with the worst possible metric.
        model_filter: A further constraint: function of the decisions that says whether to ask for them; None takes all.
        crossover: Whether a child is mutated from a mixture of two parents instead of from one.
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
        "model_filter",
        "crossover",
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
        model_filter: Predicate | None = None,
        *,
        crossover: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            optimize_mode=optimize_mode, dedup=dedup, dedup_retries=dedup_retries, model_filter=model_filter, seed=seed
        )
        self.population_size = checks.whole("population_size", population_size)
        self.sample_size = checks.whole("sample_size", sample_size)
        self.cycles = checks.whole("cycles", cycles)
        if sample_size > population_size:
            raise ConfigError(
                f"sample_size: expected at most population_size = {population_size}, got {sample_size}",
                field="sample_size",
            )
        self.mutation_prob = checks.probability("mutation_prob", mutation_prob)
        self.on_failure = checks.one_of("on_failure", on_failure, ("ignore", "worst"))
        self.crossover = checks.flag("crossover", crossover)
        self._population: deque[tuple[float, dict[str, Any]]] = deque(maxlen=population_size)

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(domains, seed)
        self._population.clear()

    def ask(self) -> dict[str, Any] | None:
        return None if self._cursor >= self.cycles else super().ask()

    def tell(self, observation: Observation) -> None:
        if observation.metric is None and self.on_failure == "ignore":
            return
        fitness = self.fitness(observation.metric)
        self._population.append((-math.inf if fitness is None else fitness, observation.decisions))

    def _propose(self, rng: random.Random) -> dict[str, Any]:
        if self._cursor <= self.population_size or not self._population:
            return self.domains.sample(rng)
        parent = self._pick(rng)
        if self.crossover:
            parent = self.domains.crossover(parent, self._pick(rng), rng)
        return self._mutate(parent, rng)

    def _pick(self, rng: random.Random) -> dict[str, Any]:
        sample = [rng.randrange(len(self._population)) for _ in range(self.sample_size)]
        # The first of equals in the order of the sample, so that nothing depends on how decisions compare.
        return self._population[max(sample, key=lambda index: self._population[index][0])][1]

    def _mutate(self, parent: dict[str, Any], rng: random.Random) -> dict[str, Any]:
        mutable = [label for label, domain in self.domains.items() if label in parent and domain.size != 1]
        if not mutable:
            return dict(parent)
        chosen = [label for label in mutable if rng.random() < self.mutation_prob] or [rng.choice(mutable)]
        child = self.domains.vary(parent, chosen, rng)
        return self.domains.sample(rng) if child is None else child
