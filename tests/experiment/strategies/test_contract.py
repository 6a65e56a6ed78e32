"""Every strategy keeps the contract that ships."""

from __future__ import annotations

from graphnas.experiment.strategies import GridSearch, LocalSearch, Random, RegularizedEvolution, Strategy
from graphnas.testing.strategies import StrategyContract


class TestRandom(StrategyContract):
    is_exhaustive = True

    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        return Random(optimize_mode=optimize_mode, seed=seed)


class TestRandomWithRepeats(StrategyContract):
    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        return Random(dedup=False, optimize_mode=optimize_mode, seed=seed)


class TestGridSearch(StrategyContract):
    is_exhaustive = True

    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        return GridSearch(optimize_mode=optimize_mode, seed=seed)


class TestRegularizedEvolution(StrategyContract):
    is_exhaustive = True

    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        return RegularizedEvolution(optimize_mode, population_size=6, sample_size=3, seed=seed)


class TestEvolutionWithRepeats(StrategyContract):
    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        return RegularizedEvolution(optimize_mode, population_size=6, sample_size=3, dedup=False, seed=seed)


class TestEvolutionWithCrossover(StrategyContract):
    is_exhaustive = True

    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        return RegularizedEvolution(
            optimize_mode, population_size=4, sample_size=4, on_failure="worst", crossover=True, seed=seed
        )


class TestLocalSearch(StrategyContract):
    is_exhaustive = True

    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        return LocalSearch(optimize_mode, initial=3, seed=seed)
