"""Every strategy keeps the contract that ships."""

from __future__ import annotations

from collections.abc import Mapping

from graphnas.experiment.strategies import (
    ASHA,
    CMAES,
    GP,
    NSGA2,
    TPE,
    Chain,
    Deduplication,
    Filter,
    GridSearch,
    HalvingStop,
    Hyperband,
    LocalSearch,
    MedianStop,
    PolicyBasedRL,
    Proposal,
    Random,
    RegularizedEvolution,
    Retry,
    Strategy,
)
from graphnas.experiment.trial import Metric
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


class TestASHA(StrategyContract):
    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        return ASHA(9, reduction_factor=3, optimize_mode=optimize_mode, seed=seed)


class TestHyperband(StrategyContract):
    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        return Hyperband(9, optimize_mode=optimize_mode, seed=seed)


class TestTPE(StrategyContract):
    is_exhaustive = True
    asks = 14

    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        return TPE(optimize_mode, startup_trials=5, seed=seed)


class TestGP(StrategyContract):
    asks = 7

    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        return GP(optimize_mode, startup_trials=6, seed=seed)


class TestCMAES(StrategyContract):
    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        return CMAES(optimize_mode, population_size=4, seed=seed)


class TestPolicyBasedRL(StrategyContract):
    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        return PolicyBasedRL(5, 7, optimize_mode=optimize_mode, seed=seed)


class TestNSGA2(StrategyContract):
    is_exhaustive = True

    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        return NSGA2({"default": optimize_mode, "size": optimize_mode}, population_size=6, seed=seed)

    def evaluate(self, proposal: Proposal) -> Metric | None:
        metric = super().evaluate(proposal)
        if not isinstance(metric, float):
            return None
        return {"default": metric, "size": -metric * metric % 7}


class TestChainOfEverything(StrategyContract):
    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        strategy = RegularizedEvolution(optimize_mode, population_size=6, sample_size=3, seed=seed)
        return Chain(strategy, Retry(2, ["FAILED"]), MedianStop(), HalvingStop(), Deduplication())


class TestFilteredChain(StrategyContract):
    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        return Chain(GridSearch(optimize_mode=optimize_mode, seed=seed), Filter(_is_wanted))


class TestChainAroundHalving(StrategyContract):
    def make(self, optimize_mode: str = "maximize", seed: int | None = None) -> Strategy:
        return Chain(Hyperband(4, reduction_factor=2, optimize_mode=optimize_mode, seed=seed), Retry(1, ["FAILED"]))


def _is_wanted(decisions: Mapping[str, object]) -> bool:
    return decisions.get("width") != 16
