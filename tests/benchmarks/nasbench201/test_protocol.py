"""The protocol of NATS-Bench (arXiv 2009.00437) on the published table gives the published accuracies."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from graphnas.benchmarks.compare import Summary, compare, read_contestants, summarise
from graphnas.benchmarks.database import DIRECTORY_VARIABLE

PUBLISHED = {
    "cifar10": {"random": (93.86, 0.26), "evolution": (94.06, 0.31)},
    "cifar100": {"random": (71.56, 0.93), "evolution": (72.30, 0.87)},
    "imagenet16-120": {"random": (45.23, 1.02), "evolution": (45.78, 0.86)},
}
"""Mean and standard deviation of the test accuracy over 500 runs."""

RUNS = 500
STRATEGIES = "random, evolution(population_size=10, sample_size=3), local"


def standard_errors(ours: Summary, mean: float, std: float) -> float:
    """Return by how many standard errors of the difference our mean is better than a published one."""
    return (ours.mean - mean) / math.sqrt(ours.std**2 / ours.runs + std**2 / RUNS)


def check(dataset: str, runs: int, whole: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Summary, ...]:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(whole))
    comparison = compare(f"nasbench201-{dataset}", read_contestants(STRATEGIES), runs=runs, jobs=1)
    random, evolution, local = summarise(comparison)
    assert abs(standard_errors(random, *PUBLISHED[dataset]["random"])) < 3
    assert abs(standard_errors(evolution, *PUBLISHED[dataset]["evolution"])) < 3
    return random, evolution, local


def test_published_accuracies_are_met_by_a_few_runs(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random, _, local = check("cifar10", 40, whole, monkeypatch)
    assert local.mean > random.mean


@pytest.mark.slow
@pytest.mark.parametrize("dataset", PUBLISHED)
def test_published_accuracies_are_met_and_local_search_beats_evolution(
    dataset: str, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, evolution, local = check(dataset, RUNS, whole, monkeypatch)
    error = math.sqrt((evolution.std**2 + local.std**2) / RUNS)
    assert local.mean - evolution.mean > 3 * error
    assert standard_errors(local, *PUBLISHED[dataset]["evolution"]) > 3
