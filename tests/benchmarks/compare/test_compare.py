"""Comparisons: one search, many of them, what is said about them, and the chart."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from graphnas.benchmarks import compare as comparing
from graphnas.benchmarks.compare import Run, Step, compare, draw, read_contestants, search_once, summarise
from graphnas.benchmarks.compare.contest import Comparison
from graphnas.benchmarks.compare.summary import curves
from graphnas.benchmarks.search import Measured, SearchTask
from graphnas.errors import BenchmarkError, ConfigError, UnknownArchitectureError
from graphnas.experiment.strategies import WAIT, Observation, Proposal, Strategy
from graphnas.mutators import ModelSpace
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.domain import Categorical
from graphnas.strategy import ASHA, LocalSearch, Random
from tests.benchmarks.search.conftest import few_cells as few_cells


class Sum(SearchTask):
    """Ten digits, of which the sum counts; a trial takes ten seconds. Where the first is 9, nothing was measured."""

    def __init__(self) -> None:
        super().__init__("sum", 1, "sum", all_epochs=(1, 2), budget_s=100.0)

    def space(self) -> ModelSpace:
        raise NotImplementedError

    @property
    def domains(self) -> DecisionSpace:
        return DecisionSpace({f"d{place}": Categorical(f"d{place}", tuple(range(10))) for place in range(4)})

    def score(self, decisions: Mapping[str, Any]) -> float | None:
        return float(sum(decisions.values()))

    @property
    def best_score(self) -> float:
        return 35.0

    def _measure(self, decisions: Mapping[str, Any], epochs: int) -> Measured:
        if decisions["d0"] == 9:
            raise UnknownArchitectureError("there is no measurement of nines")
        return Measured(float(sum(decisions.values())), 10.0 * epochs)


class Scripted(Strategy):
    """Asks for what it is given, and keeps what it is told."""

    def __init__(self, answers: list[Any]) -> None:
        super().__init__()
        self.answers, self.told, self.rejected = list(answers), list[Observation](), list[Proposal]()

    def ask(self) -> Any:
        return self.answers.pop(0) if self.answers else None

    def tell(self, observation: Observation) -> None:
        self.told.append(observation)

    def reject(self, proposal: Proposal) -> None:
        self.rejected.append(proposal)


def digits(*values: int) -> dict[str, Any]:
    return {f"d{place}": value for place, value in enumerate(values)}


def test_the_trial_that_exceeds_the_time_counts() -> None:
    cells = [digits(1, 0, 0, place) for place in range(10)]
    run = search_once(Sum(), Scripted(cells), 0, budget_s=75)
    assert (run.trials, run.time_s) == (8, 80.0)
    assert search_once(Sum(), Scripted(cells), 0, budget_s=1_000, max_trials=3).trials == 3


def test_steps_are_the_trials_that_were_better() -> None:
    run = search_once(Sum(), Scripted([digits(1, 0, 0, 0), digits(0, 0, 0, 0), digits(2, 0, 0, 0)]), 0, max_trials=9)
    assert run == Run(0, 3, 30.0, (Step(10.0, 1, 1.0, 1.0), Step(30.0, 3, 2.0, 2.0)))


def test_what_was_not_measured_costs_nothing_and_is_told_as_a_failure() -> None:
    strategy = Scripted([digits(9, 0, 0, 0), digits(1, 0, 0, 0)])
    run = search_once(Sum(), strategy, 0, max_trials=9)
    assert (run.time_s, run.score) == (10.0, 1.0)
    assert [(told.metric, told.status.value) for told in strategy.told] == [(None, "INVALID"), (1.0, "COMPLETED")]


def test_a_budget_of_a_trial_is_its_length() -> None:
    strategy = Scripted([Proposal(digits(1, 0, 0, 0), budget=2)])
    assert search_once(Sum(), strategy, 0, max_trials=9).time_s == 20.0
    with pytest.raises(BenchmarkError, match="trainings of 1, 2 epochs were measured, none of 3"):
        search_once(Sum(), Scripted([Proposal(digits(1, 0, 0, 0), budget=3)]), 0, max_trials=9)


def test_equal_candidates_are_replayed_or_skipped() -> None:
    one = digits(1, 0, 0, 0)
    answers = [one, Proposal(one, on_equal="replay"), Proposal(one, on_equal="skip"), one, WAIT]
    strategy = Scripted(answers)
    run = search_once(Sum(), strategy, 0, max_trials=9)
    assert (run.trials, run.time_s) == (3, 20.0)
    assert [told.metric for told in strategy.told] == [1.0, 1.0, 1.0]
    assert len(strategy.rejected) == 1


def test_a_search_needs_an_end_and_something_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BenchmarkError, match="a search needs an end"):
        search_once(Sum(), Random(), 0)
    monkeypatch.setattr(comparing.run, "_IN_VAIN", 3)
    with pytest.raises(BenchmarkError, match="3 candidates in a row were not measured"):
        search_once(Sum(), Scripted([digits(9, 0, 0, 0)] * 9), 0, budget_s=50)


def test_successive_halving_trains_longer_what_is_promoted() -> None:
    run = search_once(Sum(), ASHA(max_budget=2, min_budget=1, reduction_factor=2), 0, max_trials=30)
    assert run.time_s > 30 * 10.0
    assert run.score is not None


def test_a_seed_repeats_a_search() -> None:
    runs = [search_once(Sum(), LocalSearch(), seed, budget_s=500) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_contestants_are_read() -> None:
    text = "random, RegularizedEvolution(population_size=4, sample_size=2),local_search, graphnas.strategy.GridSearch"
    found = read_contestants(text)
    assert [contestant.text for contestant in found] == [
        "random",
        "RegularizedEvolution(population_size=4, sample_size=2)",
        "local_search",
        "graphnas.strategy.GridSearch",
    ]
    assert [type(contestant.build()).__name__ for contestant in found] == [
        "Random",
        "RegularizedEvolution",
        "LocalSearch",
        "GridSearch",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected names with or without arguments"),
        ("random(", "expected names with or without arguments"),
        ("random(1)", "expected names with or without arguments"),
        ("random(seed=open('x'))", "expected names with or without arguments"),
        ("1 + 1", "there is no strategy '1 \\+ 1'"),
        ("genetic", "there is no strategy 'genetic' in 'genetic'; there are .*LocalSearch, .*Random"),
        ("chain", "there is no strategy 'chain'"),
        ("nowhere.Mine", "nowhere.Mine: cannot be imported"),
        ("pathlib.Path", "expected a strategy, got"),
        ("random(size=3)", "unexpected keyword argument 'size'"),
        ("random(seed=3)", "leave out seed"),
        ("evolution(optimize_mode='minimize')", "leave out seed, .* and optimize_mode"),
    ],
)
def test_contestants_that_cannot_take_part_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_contestants(text)


def test_jobs_change_nothing(few_cells: Path) -> None:
    contestants = read_contestants("random, local")
    settings: dict[str, Any] = {"runs": 26, "seed": 5, "max_trials": 200}
    progress: list[tuple[int, int]] = []
    one = compare("nasbench201-cifar100", contestants, **settings, jobs=1, progress=lambda *done: progress.append(done))
    two = compare("nasbench201-cifar100", contestants, **settings, jobs=2)
    assert one == two
    assert [run.seed for run in one.runs["local"]] == list(range(5, 31))
    assert progress[-1] == (52, 52)
    assert one.best_score == 103.0
    assert json.loads(json.dumps(one.to_json()))["runs"]["random"][0]["seed"] == 5


def test_a_comparison_needs_runs_jobs_and_a_budget(few_cells: Path) -> None:
    contestants = read_contestants("random")
    with pytest.raises(BenchmarkError, match="runs: expected a whole number of at least 1, got 0"):
        compare("nasbench201-cifar100", contestants, runs=0)
    with pytest.raises(BenchmarkError, match="jobs: expected a whole number of at least 1, got 0"):
        compare("nasbench201-cifar100", contestants, jobs=0)


def example(*scores: tuple[float, ...]) -> Comparison:
    runs = {
        f"s{place}": tuple(
            Run(seed, 10, 100.0, (Step(10.0, 1, 0.0, 1.0), Step(50.0, 5, 1.0, score))) for seed, score in enumerate(of)
        )
        for place, of in enumerate(scores)
    }
    return Comparison("a & b", 100.0, None, 10.0, runs)


def test_summaries_are_means_deviations_and_regret() -> None:
    first, second = summarise(example((4.0, 6.0), (8.0, 10.0)))
    assert (first.mean, first.regret, first.trials, first.runs, first.ahead) == (5.0, 5.0, 10.0, 2, None)
    assert first.std == pytest.approx(math.sqrt(2))
    assert second.ahead == pytest.approx(4 / math.sqrt(2))
    assert summarise(example((4.0,), (5.0,)))[1].ahead is None


def test_curves_are_steps_from_the_first_result_to_the_end() -> None:
    (curve,) = curves(example((4.0, 6.0)))
    assert (curve.at[0], curve.at[-1]) == (10.0, 100.0)
    assert (curve.mean[0], curve.mean[-1]) == (9.0, 5.0)
    assert curve.error[-1] == pytest.approx(1.0)
    assert list(curve.at) == sorted(curve.at)


def test_a_chart_is_valid_and_the_same_every_time() -> None:
    comparison = example((4.0, 6.0), (8.0, 10.0))
    svg = draw(comparison)
    root = ET.fromstring(svg)
    words = [element.text for element in root.iter() if element.text]
    assert {"a & b", "s0", "s1", "simulated seconds"} <= set(words)
    assert svg == draw(comparison)
    assert "nan" not in svg
