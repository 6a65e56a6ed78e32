"""Evolution towards several objectives."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from graphnas.errors import ConfigError
from graphnas.experiment.objectives import OPTIMIZE_MODES, crowding, point_of, ranks
from graphnas.experiment.strategies import checks
from graphnas.experiment.strategies.asked import Distinct, Predicate
from graphnas.experiment.strategies.base import Observation
from graphnas.mutators.domain import Domain


@dataclass(frozen=True)
class _Individual:
    """A candidate with its objectives, and its place among the others: the greater the better."""

    decisions: dict[str, Any]
    point: tuple[float, ...]
    place: tuple[float, float] = (0.0, 0.0)


class NSGA2(Distinct):
    """Ask for children of the candidates that are dominated by few and lie far apart.

    Deb et al. 2002, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II": non-dominated sorting, crowding
    distance, binary tournaments. A generation is made of the `population_size` next results, whichever they are, so
    nothing waits. The result is not one candidate but a front; `optimize_mode` is the mode of `'default'`, or else of
    the first objective.

    Args:
        objectives: Name of each metric with `'maximize'` or `'minimize'`. The evaluator reports a dictionary of them.
        population_size: Number of parents, and of children in a generation.
        crossover_prob: Probability with which a child has two parents, each label from either.
        mutation_prob: Probability with which each label of a child is changed; None is one label on average.
        dedup: Whether to ask for nothing twice; once a finite space is exhausted `ask` returns None.
        model_filter: A further constraint: function of the decisions that says whether to ask for them; None takes all.
        seed: Seed of all random choices; None takes one that derives from the experiment's.

    Raises:
        ConfigError: An argument is of a wrong type or out of range.
    """

    arguments: ClassVar[tuple[str, ...]] = (
        "population_size",
        "crossover_prob",
        "mutation_prob",
        "dedup",
        "model_filter",
        "seed",
    )

    def __init__(
        self,
        objectives: Mapping[str, str],
        population_size: int = 50,
        crossover_prob: float = 0.9,
        mutation_prob: float | None = None,
        dedup: bool = True,
        model_filter: Predicate | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        if not isinstance(objectives, Mapping) or not objectives:
            raise ConfigError(
                "objectives: expected a dictionary of metrics with 'maximize' or 'minimize', as in {'default': "
                f"'maximize', 'latency_ms': 'minimize'}}, got {objectives!r}",
                field="objectives",
            )
        for name, mode in objectives.items():
            checks.one_of(f"objectives[{name!r}]", mode, OPTIMIZE_MODES)
        mode = objectives.get("default", next(iter(objectives.values())))
        super().__init__(optimize_mode=mode, dedup=dedup, model_filter=model_filter, seed=seed)
        self.objectives = tuple(objectives.items())
        self.population_size = checks.whole("population_size", population_size, least=2)
        self.crossover_prob = checks.probability("crossover_prob", crossover_prob)
        self.mutation_prob = None if mutation_prob is None else checks.probability("mutation_prob", mutation_prob)
        self._parents: list[_Individual] = []
        self._children: list[_Individual] = []

    def constructor(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (dict(self.objectives),), super().constructor()[1]

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(domains, seed)
        self._parents, self._children = [], []

    def tell(self, observation: Observation) -> None:
        point = point_of(observation.metrics, observation.metric, self.objectives)
        if point is None:
            return
        self._children.append(_Individual(observation.decisions, point))
        if len(self._children) == self.population_size:
            self._parents = _best([*self._parents, *self._children], self.population_size)
            self._children = []

    def _propose(self, rng: random.Random) -> dict[str, Any]:
        if not self._parents:
            return self.domains.sample(rng)
        child = self._pick(rng)
        if rng.random() < self.crossover_prob:
            child = self.domains.crossover(child, self._pick(rng), rng)
        mutable = [label for label in child if self.domains[label].size != 1]
        probability = 1 / max(1, len(mutable)) if self.mutation_prob is None else self.mutation_prob
        chosen = [label for label in mutable if rng.random() < probability]
        varied = self.domains.vary(child, chosen, rng) if chosen else child
        return self.domains.sample(rng) if varied is None else varied

    def _pick(self, rng: random.Random) -> dict[str, Any]:
        one, other = rng.choice(self._parents), rng.choice(self._parents)
        return (other if other.place > one.place else one).decisions


def _best(individuals: list[_Individual], count: int) -> list[_Individual]:
    """Return the best, by rank and then by crowding distance; of equals the earlier."""
    ranked = ranks([individual.point for individual in individuals])
    kept: list[_Individual] = []
    for rank in range(max(ranked) + 1):
        level = [individual for individual, its in zip(individuals, ranked, strict=True) if its == rank]
        distances = crowding([individual.point for individual in level])
        placed = [
            _Individual(individual.decisions, individual.point, (float(-rank), distance))
            for individual, distance in zip(level, distances, strict=True)
        ]
        kept.extend(sorted(placed, key=lambda individual: individual.place, reverse=True))
        if len(kept) >= count:
            break
    return kept[:count]
