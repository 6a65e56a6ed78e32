"""What is said about the searches of a comparison: means, deviations, regret, and how it fell with time."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from graphnas.benchmarks.compare.contest import Comparison
from graphnas.benchmarks.compare.run import Run

_POINTS = 80


@dataclass(frozen=True)
class Summary:
    """What the searches of one strategy came to.

    Attributes:
        strategy: Its text.
        runs: Number of searches whose result has a score.
        trials: Mean number of trials.
        mean: Mean score, in percent.
        std: Standard deviation of the score.
        regret: Mean difference to the best score, in percentage points.
        ahead: Difference of the mean to that of the first strategy, in standard errors of this difference; None for the
            first one itself, and where neither varies.
    """

    strategy: str
    runs: int
    trials: float
    mean: float
    std: float
    regret: float
    ahead: float | None


def summarise(comparison: Comparison) -> tuple[Summary, ...]:
    """Return a summary of each strategy, in their order."""
    found: list[Summary] = []
    for text, runs in comparison.runs.items():
        scores = [run.score for run in runs if run.score is not None]
        mean = statistics.fmean(scores) if scores else math.nan
        std = statistics.stdev(scores) if len(scores) > 1 else 0.0
        trials = statistics.fmean(run.trials for run in runs)
        ahead = None
        if found and scores:
            error = math.sqrt(std**2 / len(scores) + found[0].std ** 2 / max(found[0].runs, 1))
            ahead = (mean - found[0].mean) / error if error else None
        found.append(Summary(text, len(scores), trials, mean, std, comparison.best_score - mean, ahead))
    return tuple(found)


@dataclass(frozen=True)
class Curve:
    """Regret of one strategy against the simulated time, or against trials where the comparison counts these.

    Attributes:
        strategy: Its text.
        at: Times in seconds, or numbers of trials.
        mean: Mean regret.
        error: Standard error of it.
    """

    strategy: str
    at: tuple[float, ...]
    mean: tuple[float, ...]
    error: tuple[float, ...]


def curves(comparison: Comparison) -> tuple[Curve, ...]:
    """Return the curve of each strategy; each begins where all its searches have a result."""
    by_time = comparison.budget_s is not None
    end = comparison.budget_s if comparison.budget_s is not None else float(comparison.max_trials or 1)
    found = []
    for text, runs in comparison.runs.items():
        lines = [_line(run, comparison.best_score, by_time) for run in runs]
        lines = [line for line in lines if line]
        begin = max((line[0][0] for line in lines), default=end)
        at = _spread(begin, max(end, begin))
        values = [_at(line, at) for line in lines]
        columns = list(zip(*values, strict=True)) if values else []
        mean = tuple(statistics.fmean(column) for column in columns)
        error = tuple(_error(column) for column in columns)
        found.append(Curve(text, at[: len(mean)], mean, error))
    return tuple(found)


def _line(run: Run, best: float, by_time: bool) -> list[tuple[float, float]]:
    return [
        (step.time_s if by_time else float(step.trials), best - step.score)
        for step in run.steps
        if step.score is not None
    ]


def _spread(begin: float, end: float) -> tuple[float, ...]:
    """Return places from begin to end, evenly spread on a logarithmic axis."""
    if end <= begin:
        return (begin,)
    ratio = math.log(end / begin) / (_POINTS - 1)
    return (*(begin * math.exp(ratio * place) for place in range(_POINTS - 1)), end)


def _at(line: Sequence[tuple[float, float]], places: Sequence[float]) -> list[float]:
    """Return the value of a stepwise line at each place; places ascend, none is before the line begins."""
    values, index = [], 0
    for place in places:
        while index + 1 < len(line) and line[index + 1][0] <= place:
            index += 1
        values.append(line[index][1])
    return values


def _error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
