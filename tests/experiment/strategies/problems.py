"""Small problems with a known best point, on which learners are compared with chance."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable
from typing import Any

from graphnas.experiment.strategies import Proposal, Strategy
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.domain import Categorical
from graphnas.mutators.numeric import IntRange, LogUniform, Uniform
from graphnas.testing.strategies import SimulatedSearch

EDGES = DecisionSpace(
    {f"edge{i}": Categorical(f"edge{i}", ("none", "skip", "conv1", "conv3", "pool")) for i in range(8)}
)
_WORTH = {"none": 0.0, "skip": 2.0, "conv1": 1.5, "conv3": 3.0, "pool": 0.5}

NUMBERS = DecisionSpace(
    {
        "rate": Uniform("rate", 0.0, 1.0),
        "lr": LogUniform("lr", 1e-5, 1e-1),
        "depth": IntRange("depth", 1, 40),
        "act": Categorical("act", ("relu", "gelu", "tanh")),
    }
)


def edges(proposal: Proposal) -> float:
    """Operations have their worth, and neighbouring convolutions of the same kind are worth less; 5**8 points."""
    values: list[str] = list(proposal.decisions.values())
    same = sum(one == other for one, other in itertools.pairwise(values) if one.startswith("conv"))
    return sum((1 + 0.2 * place) * _WORTH[value] for place, value in enumerate(values)) - 0.7 * same


def numbers(proposal: Proposal) -> float:
    """The negated distance from rate 0.3, learning rate 1e-3, depth 30 and gelu; the best is 0."""
    point: dict[str, Any] = proposal.decisions
    parts: tuple[float, ...] = (
        point["rate"] - 0.3,
        (math.log10(point["lr"]) + 3) / 4,
        (point["depth"] - 30) / 40,
        0.0 if point["act"] == "gelu" else 0.2,
    )
    return -sum(part * part for part in parts)


def mean_best(
    make: Callable[[int], Strategy], space: DecisionSpace, score: Callable[[Proposal], float], trials: int, runs: int
) -> tuple[float, float]:
    """Return the mean of the best metric over runs with different seeds, and its standard error."""
    found = []
    for seed in range(runs):
        strategy = make(seed)
        strategy.bind(space, seed)
        told = SimulatedSearch(strategy, score).run(trials)
        found.append(max(observation.metric for observation in told if observation.metric is not None))
    return statistics.mean(found), statistics.stdev(found) / runs**0.5


def check_beats(
    better: Callable[[int], Strategy],
    worse: Callable[[int], Strategy],
    space: DecisionSpace,
    score: Callable[[Proposal], float],
    *,
    trials: int,
    runs: int,
) -> None:
    """Assert that one strategy finds more than another, by four standard errors of the difference.

    The other one, which is quick, runs eight times as often.
    """
    one, one_error = mean_best(better, space, score, trials, runs)
    other, other_error = mean_best(worse, space, score, trials, 8 * runs)
    assert one - other > 4 * (one_error**2 + other_error**2) ** 0.5, (
        f"{one} ± {one_error} against {other} ± {other_error}"
    )
