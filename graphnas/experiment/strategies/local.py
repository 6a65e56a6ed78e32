"""Local search."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, ClassVar

from graphnas.experiment.strategies import checks
from graphnas.experiment.strategies.asked import Asked, digest
from graphnas.experiment.strategies.base import Observation, Proposal, Strategy
from graphnas.mutators.domain import Domain

_RETRIES = 100


class LocalSearch(Strategy):
    """Ask for the neighbours of the best point, move as soon as one is better, and start elsewhere when none is.

    White, Nolen and Savani 2021, "Exploring the Loss Landscape in Neural Architecture Search", arXiv:2005.02960,
    algorithm 1, moving at the first improvement. The first climb begins at the best of `initial` random points, every
    later one at a random point. A neighbour differs in one decision: in any value of a choice, in one step of a number.
    No point is asked for twice; one that is met again counts with the metric that it had.

    Nothing ever waits: while all neighbours are still being evaluated, random points are asked for.

    Args:
        optimize_mode: `'maximize'` or `'minimize'`.
        initial: Number of random points before the first climb.
        seed: Seed of all random choices; None takes one that derives from the experiment's.

    Raises:
        ConfigError: An argument is of a wrong type or out of range.
    """

    arguments: ClassVar[tuple[str, ...]] = ("optimize_mode", "initial", "seed")

    def __init__(self, optimize_mode: str = "maximize", initial: int = 10, *, seed: int | None = None) -> None:
        super().__init__(optimize_mode=optimize_mode, seed=seed)
        self.initial = checks.whole("initial", initial)
        self._begin()

    def bind(self, domains: Mapping[str, Domain], seed: int) -> None:
        super().bind(domains, seed)
        self._begin()

    def _begin(self) -> None:
        self._asked = Asked(self.domains, self._root_seed)
        self._known: dict[bytes, float] = {}
        self._told = 0
        self._since = 0  # what was told before does not count for this climb
        self._starts = self.initial
        self._best: tuple[float, dict[str, Any]] | None = None
        self._center: tuple[float, dict[str, Any]] | None = None
        self._position = 0
        self._moves: list[tuple[str, Any]] = []

    def ask(self) -> dict[str, Any] | None:
        if self._asked.is_all:
            return None
        rng = self.next_rng()
        decisions = None
        if self._starts == 0 and self._best is not None:
            if self._center is None or self._best[0] > self._center[0]:
                self._move(self._best)
            decisions = self._next_neighbour()
            if decisions is None:
                self._since, self._starts, self._best, self._center = self._told, 1, None, None
        if decisions is None:
            decisions = self._start(rng)
            self._starts = max(0, self._starts - 1)
        if decisions is not None:
            self._asked.add(decisions)
        return decisions

    def tell(self, observation: Observation) -> None:
        fitness = self.fitness(observation.metric)
        self._told += 1
        if fitness is None:
            return
        self._known[digest(observation.decisions)] = fitness
        if self._told > self._since and (self._best is None or fitness > self._best[0]):
            self._best = (fitness, observation.decisions)

    def recall(self, proposal: Proposal) -> None:
        self._asked.add(proposal.decisions)

    def reject(self, proposal: Proposal) -> None:
        self._asked.remove(proposal.decisions)

    def state_dict(self) -> dict[str, Any]:
        state = {name: getattr(self, f"_{name}") for name in ("cursor", "since", "starts", "position")}
        return {**state, "center": None if self._center is None else list(self._center)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._since, self._starts = state["since"], state["starts"]
        if state["center"] is not None:
            fitness, decisions = state["center"]
            self._move((fitness, decisions))
            self._position = state["position"]

    def _start(self, rng: random.Random) -> dict[str, Any] | None:
        for _ in range(_RETRIES):
            decisions = self.domains.sample(rng)
            if decisions not in self._asked:
                return decisions
        return self._asked.any_left()

    def _move(self, to: tuple[float, dict[str, Any]]) -> None:
        self._center, self._best, self._position = to, to, 0
        center = to[1]
        self._moves = [(label, near) for label in center for near in self.domains[label].neighbours(center[label])]
        random.Random(f"{self._root_seed}/{digest(center).hex()}").shuffle(self._moves)

    def _next_neighbour(self) -> dict[str, Any] | None:
        """Return a neighbour that was not asked for, moving on through those that were and are better."""
        while self._center is not None and self._position < len(self._moves):
            fitness, center = self._center
            neighbour = self.domains.moved(center, *self._moves[self._position])
            self._position += 1
            if neighbour is None:
                continue
            if neighbour not in self._asked:
                return neighbour
            known = self._known.get(digest(neighbour))
            if known is not None and known > fitness:
                self._move((known, neighbour))
        return None
