"""Empty trials per second: what an experiment adds to building and calling a model."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import graphnas
from perf.line import Line
from perf.spaces import Tiny, no_training
from perf.timing import medians


def trials() -> Iterator[Line]:
    """Empty trials per second with the store on disk, against the bare loop of building and calling."""
    for executor, workers, count in (("inprocess", 1, 500), ("process", 2, 500)):
        with tempfile.TemporaryDirectory() as folder:
            experiment = graphnas.RetiariiExperiment(
                graphnas.ModelSpace(Tiny()),
                graphnas.FunctionalEvaluator(no_training),
                strategy=graphnas.strategy.Random(dedup=False, seed=0),
            )
            config = graphnas.RetiariiExeConfig(
                trial_concurrency=workers,
                max_trial_number=count,
                executor=executor,
                experiment_directory=Path(folder) / "run",
            )
            start = time.perf_counter()
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                experiment.run(config)
            seconds = time.perf_counter() - start
            durations = [float(row["duration_s"] or 0) for row in experiment.trials()]
        [bare] = medians(lambda: no_training(Tiny), repeats=200, clock=time.perf_counter)
        rate, bound = count / seconds, workers / bare
        yield Line(
            f"empty trials, {executor}, {workers} worker(s), start included",
            f"{rate:.0f}/s",
            f"{bound:.0f}/s build and call alone",
            f"{rate / bound:.3f} (trials themselves took {sum(durations):.2f} s of {seconds:.2f} s)",
        )
