"""Searching a benchmark instead of training: what a trial would have measured and cost is looked up.

`task` says what a search on a benchmark is, `tasks` has one for each, `evaluator` and `engine` put them in the place of
training in an experiment, and `simulated` ends a search by the time that its trials would have taken.
"""

from __future__ import annotations

from graphnas.benchmarks.search.engine import BenchmarkEngine, BenchmarkEngineConfig
from graphnas.benchmarks.search.evaluator import BenchmarkEvaluator
from graphnas.benchmarks.search.simulated import SimulatedTime
from graphnas.benchmarks.search.task import Measured, SearchTask
from graphnas.benchmarks.search.tasks import open_task, task_names

__all__ = [
    "BenchmarkEngine",
    "BenchmarkEngineConfig",
    "BenchmarkEvaluator",
    "Measured",
    "SearchTask",
    "SimulatedTime",
    "open_task",
    "task_names",
]
