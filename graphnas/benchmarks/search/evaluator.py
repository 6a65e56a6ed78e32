"""An evaluator that looks up what training would have led to."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from graphnas.benchmarks.search.task import SearchTask
from graphnas.benchmarks.search.tasks import open_task
from graphnas.experiment.evaluators import Evaluator
from graphnas.experiment.trial import current_trial


class BenchmarkEvaluator(Evaluator):
    """Judge a trial by what a benchmark measured of its architecture. No model is built.

    The metrics of a trial are `default`, in percent, and, where the data has them, `cost_s`, the seconds that it would
    have taken, and `score`, the mean test accuracy of the whole training. A trial that was given a budget trains for so
    many epochs. One that the benchmark did not measure ends as INVALID.

    Args:
        benchmark: Name of a search task: `nasbench101`, `nasbench201-cifar10`, `nasbench201-cifar100`,
            `nasbench201-imagenet16-120`, or `nds-` with a proposer. The space of the experiment must be that of the
            task.
        epochs: Length of the training of a trial; None for that of the task.
        metric: What the strategy is told; None for the validation accuracy.

    Raises:
        BenchmarkError: There is no such task, no database, or that length of training was not measured.
    """

    def __init__(self, benchmark: str, epochs: int | None = None, metric: str | None = None) -> None:
        self.benchmark, self.epochs, self.metric = benchmark, epochs, metric
        self.task  # noqa: B018  # what is wrong is refused here, not in the first trial

    @cached_property
    def task(self) -> SearchTask:
        """The search task."""
        return open_task(self.benchmark, self.epochs, self.metric)

    def evaluate(self, build_model: Callable[[], Any]) -> dict[str, float]:
        trial = current_trial()
        decisions = {label: value for label, value in trial.decisions.items() if not label.startswith("@")}
        measured = self.task.measure(decisions, trial.budget)
        more = {"cost_s": measured.cost_s, "score": self.task.score(decisions)}
        return {"default": measured.metric, **{name: value for name, value in more.items() if value is not None}}

    def arguments(self) -> dict[str, Any]:
        return {"benchmark": self.benchmark, "epochs": self.epochs, "metric": self.metric}

    def __getstate__(self) -> dict[str, Any]:
        return self.arguments()  # the connection stays here; a worker opens its own

    def __repr__(self) -> str:
        return f"BenchmarkEvaluator({', '.join(f'{name}={value!r}' for name, value in self.arguments().items())})"
