"""All searches of a comparison, in this process or in several; the results are the same."""

from __future__ import annotations

import math
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphnas.benchmarks.compare.contestants import Contestant
from graphnas.benchmarks.compare.run import Run, search_once
from graphnas.benchmarks.search.task import SearchTask
from graphnas.benchmarks.search.tasks import open_task
from graphnas.errors import BenchmarkError

_RUNS_AT_A_TIME = 25

Progress = Callable[[int, int], None]
"""Is told how many searches are done, and how many there are."""


@dataclass(frozen=True)
class TaskSettings:
    """What a process opens a task by."""

    name: str
    epochs: int | None = None
    metric: str | None = None

    def open(self) -> SearchTask:
        """Return the task; one that this process has opened already is returned again."""
        return _opened(self)


@dataclass(frozen=True)
class Comparison:
    """What a comparison came to.

    Attributes:
        task: Name of the search task.
        budget_s: Simulated seconds of each search; None for no limit.
        max_trials: Number of trials of each search; None for no limit.
        best_score: The best score that there is; NaN where the data has none.
        runs: The searches of each strategy, by its text, in the order of their seeds.
    """

    task: str
    budget_s: float | None
    max_trials: int | None
    best_score: float
    runs: Mapping[str, tuple[Run, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return everything, as JSON."""
        return {
            "task": self.task,
            "budget_s": self.budget_s,
            "max_trials": self.max_trials,
            "best_score": None if math.isnan(self.best_score) else self.best_score,
            "runs": {text: [_run_to_json(run) for run in runs] for text, runs in self.runs.items()},
        }


def compare(
    task: str,
    contestants: Sequence[Contestant],
    *,
    runs: int = 100,
    seed: int = 0,
    budget_s: float | None = None,
    max_trials: int | None = None,
    epochs: int | None = None,
    metric: str | None = None,
    jobs: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Comparison:
    """Search a task with every strategy, many times each.

    Run `i` of each strategy has the seed `seed + i`; nothing else of a search is random, so a comparison can be
    repeated to the last digit, with any number of jobs.

    Args:
        task: Name of the search task.
        contestants: The strategies, as `read_contestants` returns them.
        runs: Number of searches of each.
        seed: The first seed.
        budget_s: Simulated seconds of each search. Where neither this nor `max_trials` is given: those of the task's
            protocol.
        max_trials: Number of trials of each search.
        epochs: Length of the training of a trial; None for that of the task.
        metric: What a strategy is told; None for the validation accuracy.
        jobs: Number of processes; None for as many as there are processors, 1 for this one.
        progress: Is told how far it is.

    Raises:
        BenchmarkError: There is no such task or no database, there is no budget, or nothing was measured.
    """
    settings = TaskSettings(task, epochs, metric)
    opened = settings.open()
    if budget_s is None and max_trials is None:
        budget_s = opened.budget_s
    if budget_s is None and max_trials is None:
        raise BenchmarkError(f"{task}: no protocol says how long to search; give a budget or a number of trials")
    if runs < 1:
        raise BenchmarkError(f"runs: expected a whole number of at least 1, got {runs!r}")
    seeds = range(seed, seed + runs)
    work = [
        _Chunk(settings, contestant, seeds[start : start + _RUNS_AT_A_TIME], budget_s, max_trials)
        for contestant in contestants
        for start in range(0, runs, _RUNS_AT_A_TIME)
    ]
    found: dict[str, list[Run]] = {contestant.text: [] for contestant in contestants}
    done = 0
    for chunk, results in _all(work, _processes(jobs, len(work))):
        found[chunk.contestant.text].extend(results)
        done += len(results)
        progress(done, runs * len(contestants))
    ordered = {text: tuple(sorted(results, key=lambda run: run.seed)) for text, results in found.items()}
    return Comparison(task, budget_s, max_trials, opened.best_score, ordered)


@dataclass(frozen=True)
class _Chunk:
    """Some searches of one strategy."""

    settings: TaskSettings
    contestant: Contestant
    seeds: Sequence[int]
    budget_s: float | None
    max_trials: int | None

    def run(self) -> list[Run]:
        task = self.settings.open()
        return [
            search_once(task, self.contestant.build(), seed, budget_s=self.budget_s, max_trials=self.max_trials)
            for seed in self.seeds
        ]


@lru_cache(maxsize=8)
def _opened(settings: TaskSettings) -> SearchTask:
    return open_task(settings.name, settings.epochs, settings.metric)


def _processes(jobs: int | None, chunks: int) -> int:
    if jobs is not None and jobs < 1:
        raise BenchmarkError(f"jobs: expected a whole number of at least 1, got {jobs!r}")
    return min(jobs or os.cpu_count() or 1, chunks)


def _all(work: Sequence[_Chunk], processes: int) -> Iterator[tuple[_Chunk, list[Run]]]:
    if processes == 1:
        for chunk in work:
            yield chunk, chunk.run()
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(chunk.run): chunk for chunk in work}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _run_to_json(run: Run) -> dict[str, Any]:
    steps = [[step.time_s, step.trials, step.metric, step.score] for step in run.steps]
    return {"seed": run.seed, "trials": run.trials, "time_s": run.time_s, "steps": steps}
