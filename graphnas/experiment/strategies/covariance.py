"""Evolution strategies: search by a normal distribution that moves and stretches."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from graphnas.errors import ExperimentError
from graphnas.experiment.strategies import checks
from graphnas.experiment.strategies.asked import digest
from graphnas.experiment.strategies.base import Observation, Proposal, Strategy
from graphnas.experiment.strategies.model_based import extra
from graphnas.mutators.domain import Domain
from graphnas.mutators.encoding import Encoding

_DRAWS = 100


class CMAES(Strategy):
    """Ask for draws from a normal distribution over encoded points, adapted to the better ones of each generation.

    Hansen 2016, "The CMA Evolution Strategy: A Tutorial", arXiv:1604.00772, by the package `cmaes`, on which Optuna's
    sampler stands too. That one leaves choices between named values to chance; here each has a number for every value,
    and the greatest decides. Made for spaces of many numbers; points may repeat.

    A generation ends with the `population_size`-th result; nothing waits for it. Where the distribution has shrunk to a
    point, another one begins elsewhere with twice the population (Auger and Hansen 2005).

    Args:
        optimize_mode: `'maximize'` or `'minimize'`.
        population_size: Number of results in a generation, at least 4; None is `4 + 3 ln n` for n numbers.
        sigma: Standard deviation at the beginning, where the range of every number is 1.
        seed: Seed of all random choices; None takes one that derives from the experiment's.

    Raises:
        ConfigError: An argument is of a wrong type or out of range, or the package is not installed.
    """

    arguments: ClassVar[tuple[str, ...]] = ("optimize_mode", "population_size", "sigma", "seed")

    def __init__(
        self,
        optimize_mode: str = "maximize",
        population_size: int | None = None,
        sigma: float = 0.25,
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(optimize_mode=optimize_mode, seed=seed)
        self.population_size = (
            None if population_size is None else checks.whole("population_size", population_size, least=4)
        )
        self.sigma = checks.number("sigma", sigma, above=0)
        self._encoding = Encoding(self.domains)
        self._optimizer: Any = None
        self._begin()

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(domains, seed)
        self._encoding = Encoding(self.domains)
        self._begin()
        self._optimizer = self._new_optimizer(self.population_size)

    def _begin(self) -> None:
        self._starts = [0]  # the cursor with which each generation began
        self._generation = 0
        self._results: list[tuple[Any, float]] = []
        self._open: dict[bytes, list[tuple[int, Any]]] = {}

    def ask(self) -> dict[str, Any]:
        self._cursor += 1
        vector, decisions = self._draw(self._cursor)
        self._open.setdefault(digest(decisions), []).append((self._generation, vector))
        return decisions

    def tell(self, observation: Observation) -> None:
        fitness = self.fitness(observation.metric)
        drawn = self._open.get(digest(observation.decisions))
        generation, vector = drawn.pop(0) if drawn else (-1, None)
        if not drawn:
            self._open.pop(digest(observation.decisions), None)
        if fitness is None or generation != self._generation:
            return
        self._results.append((vector, -fitness))
        if len(self._results) < self._optimizer.population_size:
            return
        self._optimizer.tell(self._results)
        self._results = []
        self._generation += 1
        if self._generation == len(self._starts):
            self._starts.append(self._cursor)
        if self._optimizer.should_stop():
            self._optimizer = self._new_optimizer(2 * self._optimizer.population_size)

    def reject(self, proposal: Proposal) -> None:
        self._open[digest(proposal.decisions)].pop()

    def state_dict(self) -> dict[str, Any]:
        return {"cursor": self._cursor, "starts": self._starts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._starts = list(state["starts"])

    def restore(self, state: Mapping[str, Any], asked: Iterable[Proposal], told: Iterable[Observation]) -> None:
        """Draw again what was drawn, each time as far as the distribution had come by then."""
        self.load_state_dict(state)
        left = iter(told)
        cursor = 0
        for proposal in asked:
            key = digest(proposal.decisions)
            while True:
                cursor += 1
                if cursor > self._cursor:
                    raise ExperimentError(
                        f"strategy CMAES: {proposal.decisions} was not asked for with this seed and these results; "
                        "resume with the strategy, the model and the results as they were"
                    )
                while self._generation + 1 < len(self._starts) and self._starts[self._generation + 1] < cursor:
                    self.tell(next(left))
                vector, decisions = self._draw(cursor)
                if digest(decisions) == key:  # others were rejected
                    break
            self._open.setdefault(key, []).append((self._generation, vector))
        for observation in left:
            self.tell(observation)

    def _draw(self, cursor: int) -> tuple[Any, dict[str, Any]]:
        rng = random.Random(f"{self._root_seed}/{cursor}")
        self._optimizer.reseed_rng(rng.getrandbits(32))
        for _ in range(_DRAWS):
            vector = self._optimizer.ask()
            decisions = self._encoding.decode([*vector[: self._width], *self._mask])
            if self.domains.allows(decisions, complete=True):
                return vector, decisions
        decisions = self.domains.sample(rng)
        encoded = self._encoding.encode(decisions)[: self._width]
        vector[: self._width] = encoded
        return vector, decisions

    @property
    def _width(self) -> int:
        return self._encoding.size - len(self._encoding.mask)

    @property
    def _mask(self) -> list[float]:
        return [1.0] * len(self._encoding.mask)

    def _new_optimizer(self, population_size: int | None) -> Any:
        cmaes = extra("cmaes", "CMAES")
        np = extra("numpy", "CMAES")
        size = max(2, self._width)  # the package knows no fewer
        rng = random.Random(f"{self._root_seed}/mean/{self._generation}")
        mean = np.array([0.5 if self._generation == 0 else rng.random() for _ in range(size)])
        return cmaes.CMA(mean, self.sigma, np.array([[0.0, 1.0]] * size), population_size=population_size)
