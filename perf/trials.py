"""Trials per second: what an experiment adds to trials that do next to nothing."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import graphnas
from perf.line import Line
from perf.spaces import Tiny, at_once, no_training
from perf.timing import medians


def trials() -> Iterator[Line]:
    """Trials per second with the store on disk: empty ones, and such that build and call next to no model."""
    for executor, workers, count, wanted in (("inprocess", 1, 5000, 2000), ("process", 2, 2000, 300)):
        rows, _, spent = _run(at_once, executor, workers, count)
        first, last = min(row["started_at"] for row in rows), max(row["ended_at"] for row in rows)
        rate = (count - 1) / (last - first)
        yield Line(
            f"empty trials, {executor}, {workers} worker(s), without start",
            f"{rate:.0f}/s",
            f"{wanted}/s, the least",
            f"{rate / wanted:.2f} ({1e6 * spent / count:.0f} us of processor in this process for each)",
        )
    for executor, workers, count in (("inprocess", 1, 500), ("process", 2, 500)):
        rows, seconds, _ = _run(no_training, executor, workers, count)
        durations = [float(row["duration_s"] or 0) for row in rows]
        [bare] = medians(lambda: no_training(Tiny), repeats=200, clock=time.perf_counter)
        rate, bound = count / seconds, workers / bare
        yield Line(
            f"tiny models, {executor}, {workers} worker(s), start included",
            f"{rate:.0f}/s",
            f"{bound:.0f}/s build and call alone",
            f"{rate / bound:.3f} (trials themselves took {sum(durations):.2f} s of {seconds:.2f} s)",
        )


def _run(evaluate: Any, executor: str, workers: int, count: int) -> tuple[list[dict[str, Any]], float, float]:
    """Run an experiment; return its trials, the seconds of the clock, and those of this process."""
    with tempfile.TemporaryDirectory() as folder:
        experiment = graphnas.RetiariiExperiment(
            graphnas.ModelSpace(Tiny()),
            graphnas.FunctionalEvaluator(evaluate),
            strategy=graphnas.strategy.Random(dedup=False, seed=0),
        )
        config = graphnas.RetiariiExeConfig(
            trial_concurrency=workers,
            max_trial_number=count,
            executor=executor,
            experiment_directory=Path(folder) / "run",
        )
        start, busy = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            experiment.run(config)
        return list(experiment.trials()), time.perf_counter() - start, time.process_time() - busy
