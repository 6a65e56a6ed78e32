"""Optuna's samplers and the evolution strategy: that they learn, and what is said without their packages."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any

import pytest

from graphnas.errors import ConfigError, ExperimentError
from graphnas.experiment.strategies import CMAES, GP, TPE, Proposal, Random, Strategy, TPEStrategy
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.domain import Categorical
from graphnas.mutators.numeric import IntRange
from graphnas.mutators.subset import Subset
from graphnas.testing.strategies import SPACES, SimulatedSearch

from .problems import EDGES, NUMBERS, check_beats, edges, numbers


def test_tpe_beats_chance_on_choices_and_on_numbers() -> None:
    check_beats(lambda seed: TPE(seed=seed), lambda seed: Random(seed=seed), EDGES, edges, trials=60, runs=4)
    check_beats(lambda seed: TPE(seed=seed), lambda seed: Random(seed=seed), NUMBERS, numbers, trials=40, runs=4)


def test_gp_beats_chance_on_numbers() -> None:
    check_beats(
        lambda seed: GP(startup_trials=6, seed=seed),
        lambda seed: Random(seed=seed),
        NUMBERS,
        numbers,
        trials=14,
        runs=3,
    )


def test_cmaes_beats_chance_on_numbers_and_on_choices() -> None:
    check_beats(lambda seed: CMAES(seed=seed), lambda seed: Random(seed=seed), NUMBERS, numbers, trials=120, runs=8)
    check_beats(lambda seed: CMAES(seed=seed), lambda seed: Random(seed=seed), EDGES, edges, trials=200, runs=8)


def test_a_distribution_that_has_shrunk_begins_elsewhere() -> None:
    strategy = CMAES(population_size=4, sigma=0.25)
    strategy.bind(SPACES["only numbers"], 0)
    search = SimulatedSearch(strategy, lambda proposal: -abs(proposal.decisions["rate"] - 0.5))
    search.run(2500)
    assert strategy._optimizer.population_size > 4
    fresh = CMAES(population_size=4, sigma=0.25)
    fresh.bind(SPACES["only numbers"], 0)
    after = search.continued(fresh)
    search.run(20)
    after.run(20)
    assert after.asked == search.asked


def test_cmaes_does_not_take_up_what_it_cannot_have_asked() -> None:
    strategy = CMAES(seed=0)
    strategy.bind(SPACES["only numbers"], 0)
    asked = [Proposal({"rate": 0.5, "lr": 0.01})]
    with pytest.raises(ExperimentError, match="was not asked for with this seed and these results"):
        strategy.restore({"cursor": 1, "starts": [0]}, asked, [])


def test_domains_of_many_values_are_modelled_too() -> None:
    space = DecisionSpace(
        {
            "places": Categorical("places", tuple(range(5000))),
            "some": Subset("some", tuple(range(80)), (1, 80)),
            "steps": IntRange("steps", 0, 1_000_000, 10),
        }
    )
    strategy = TPE(startup_trials=3)
    strategy.bind(space, 0)
    told = SimulatedSearch(strategy, lambda proposal: float(proposal.decisions["steps"])).run(10)
    assert all(space.contains(item.decisions) for item in told)


def test_the_other_name_of_tpe() -> None:
    assert TPEStrategy is TPE


def test_optuna_says_nothing_by_itself(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG):
        strategy = TPE(startup_trials=2)
        strategy.bind(SPACES["conditions"], 0)
        SimulatedSearch(strategy, lambda proposal: 1.0).run(5)
    assert not caplog.records
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("make", "package"),
    [(TPE, "optuna"), (GP, "optuna"), (GP, "scipy"), (CMAES, "cmaes")],
    ids=lambda value: str(value),
)
def test_a_missing_package_is_named_with_what_to_type(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Strategy], package: str
) -> None:
    found = importlib.import_module

    def without(name: str, *rest: Any) -> Any:
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return found(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ConfigError, match=rf"needs the package {package}, .*pip install 'graphnas\[optuna\]'"):
        make().bind(EDGES, 0)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="startup_trials: expected a whole number of at least 1, got 0"):
        TPE(startup_trials=0)
    with pytest.raises(ConfigError, match="population_size: expected a whole number of at least 4, got 3"):
        CMAES(population_size=3)
    with pytest.raises(ConfigError, match="sigma: expected a number greater than 0, got -1"):
        CMAES(sigma=-1)
