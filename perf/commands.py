"""How quickly the command line answers: help, and what it shows of 100,000 trials."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from graphnas.experiment.store import Description, Store
from graphnas.experiment.trial import Outcome, Trial, TrialStatus
from perf.line import Line, within

_TRIALS = 100_000
_REPEATS = 5


def commands() -> Iterator[Line]:
    """Seconds of the processor from the start of a command to its end."""
    with tempfile.TemporaryDirectory() as home:
        _fill(Path(home) / "large")
        environment = {**os.environ, "GRAPHNAS_HOME": home}
        yield within("graphnas --help", _cpu_s(environment, "--help"), 0.3, "s")
        for arguments in (("ls",), ("show", "large"), ("show", "large", "77777"), ("show", "large", "--from", "90000")):
            yield within(f"graphnas {' '.join(arguments)}, 100,000 trials", _cpu_s(environment, *arguments), 1.0, "s")


def _fill(folder: Path) -> None:
    strategy = {"objectives": [["default", "maximize"]]}
    store = Store.create(folder, Description(folder.name, {"max_trial_number": _TRIALS}, {}, None, None, strategy))
    for first in range(0, _TRIALS, 1000):
        with store.transaction():
            for number in range(first, first + 1000):
                decisions = {f"choice{index}": (number * index) % 7 for index in range(12)}
                store.submit(Trial(number, TrialStatus.RUNNING, decisions, number), None)
                store.finish(number, Outcome(TrialStatus.COMPLETED, (number * 7919) % _TRIALS / _TRIALS), 1.0)
    store.set_ended("trial budget", 1.0)
    store.close()


def _cpu_s(environment: Mapping[str, str], *arguments: str) -> float:
    times = []
    for _ in range(_REPEATS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "graphnas", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(times)
