"""The execution engine `'benchmark'`, which looks trials up and builds nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from graphnas.benchmarks.search.evaluator import BenchmarkEvaluator
from graphnas.benchmarks.search.task import architecture_key
from graphnas.benchmarks.search.tasks import task_names
from graphnas.errors import ExperimentError
from graphnas.experiment.config import EngineConfig
from graphnas.experiment.config.checks import one_of, optional, text, whole
from graphnas.experiment.config.fields import Field
from graphnas.experiment.engines import Candidate, Engine, Space, accepted, of_model
from graphnas.experiment.executors.base import Task


class BenchmarkEngineConfig(EngineConfig):
    """The engine `'benchmark'`, whose answers take the place of the experiment's evaluator.

    >>> BenchmarkEngineConfig("nasbench201-cifar100", epochs=200)
    BenchmarkEngineConfig(benchmark='nasbench201-cifar100', epochs=200)

    Attributes:
        benchmark: Name of a search task, as `BenchmarkEvaluator` takes it.
        epochs: Length of the training of a trial; None for that of the task.
        metric: What the strategy is told; None for the validation accuracy.

    Raises:
        ConfigError: There is no such task, or a setting has a wrong value.
    """

    name = "benchmark"
    fields = {  # noqa: RUF012  # declared in the base class
        "benchmark": Field(one_of(*task_names())),
        "epochs": Field(optional(whole(1))),
        "metric": Field(optional(text)),
    }
    benchmark: str
    epochs: int | None
    metric: str | None

    def __init__(self, benchmark: str, **settings: Any) -> None:
        super().__init__(benchmark=benchmark, **settings)

    def evaluator(self) -> BenchmarkEvaluator:
        return BenchmarkEvaluator(self.benchmark, self.epochs, self.metric)


class BenchmarkEngine(Engine):
    """Accepts decisions and builds no model: the evaluator looks the decisions up."""

    workers_need_space: ClassVar[bool] = False

    @staticmethod
    def prepare(space: Space, decisions: Mapping[str, Any], directory: Path) -> Candidate:
        found = accepted(space, decisions)
        return Candidate(found, fingerprint=architecture_key(of_model(found)))

    @staticmethod
    def build(space: Space | None, task: Task) -> Any:
        raise ExperimentError(
            "the engine 'benchmark' builds no models, since it looks trials up; for an evaluator that trains, set "
            "execution_engine to 'py' or 'graph'"
        )
