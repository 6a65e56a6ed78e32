"""The search tasks of the three benchmarks, by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from graphnas.benchmarks import nasbench101, nasbench201, nds
from graphnas.benchmarks.nasbench101.architecture import from_decisions as module_of
from graphnas.benchmarks.nasbench101.constants import EPOCHS as EPOCHS_101
from graphnas.benchmarks.nasbench101.network import space as space_101
from graphnas.benchmarks.nasbench201.architecture import from_decisions as cell_of
from graphnas.benchmarks.nasbench201.constants import CIFAR10, CIFAR10_VALID, CIFAR100, IMAGENET16_120
from graphnas.benchmarks.nasbench201.constants import EPOCHS as EPOCHS_201
from graphnas.benchmarks.nasbench201.network import space as space_201
from graphnas.benchmarks.nds.architecture import from_decisions as network_of
from graphnas.benchmarks.nds.designs import DESIGNED
from graphnas.benchmarks.nds.network import space as space_nds
from graphnas.benchmarks.nds.schema import DATABASE as NDS_DATABASE
from graphnas.benchmarks.search.task import Measured, SearchTask
from graphnas.errors import BenchmarkError, UnknownArchitectureError
from graphnas.mutators import ModelSpace

_BUDGETS_S = {CIFAR10: 20_000.0, CIFAR100: 40_000.0, IMAGENET16_120: 120_000.0}
"""Of the protocol of NATS-Bench (Dong et al. 2021, arXiv 2009.00437)."""


class NasBench101Task(SearchTask):
    """Search NAS-Bench-101: the validation accuracy at 108 epochs is told, the test accuracy is the score.

    Raises:
        BenchmarkError: There is no database, or that length of training was not measured.
    """

    def __init__(self, epochs: int = 108, metric: str = "valid_acc") -> None:
        super().__init__("nasbench101", epochs, metric, all_epochs=EPOCHS_101, budget_s=None)
        self._table = nasbench101.Table.open()

    def space(self) -> ModelSpace:
        return space_101()

    def score(self, decisions: Mapping[str, Any]) -> float | None:
        return _found(lambda: self._table.metrics(module_of(decisions), max(EPOCHS_101)))

    @cached_property
    def best_score(self) -> float:
        return _best(nasbench101.query_nb101_trial_stats(None, max(EPOCHS_101), reduction="mean"))

    def _measure(self, decisions: Mapping[str, Any], epochs: int) -> Measured:
        found = self._table.metrics(module_of(decisions), epochs)
        return Measured(_measured(found.get(self.metric), self, decisions, epochs), self._table.cost_of(found))


class NasBench201Task(SearchTask):
    """Search NAS-Bench-201 by the protocol of NATS-Bench (Dong et al. 2021, arXiv 2009.00437, section 4).

    A trial trains for 12 epochs and is told the validation accuracy, which for CIFAR-10 is that of a training on half
    of its images. The score is the test accuracy after 200 epochs.

    Args:
        dataset: `cifar10`, `cifar100` or `imagenet16-120`.
        epochs: Length of the training of a trial.
        metric: What a strategy is told.

    Raises:
        BenchmarkError: There is no database, or that length of training was not measured.
    """

    def __init__(self, dataset: str, epochs: int = 12, metric: str = "valid_acc") -> None:
        super().__init__(f"nasbench201-{dataset}", epochs, metric, all_epochs=EPOCHS_201, budget_s=_BUDGETS_S[dataset])
        self.dataset = dataset
        self._searched = CIFAR10_VALID if dataset == CIFAR10 else dataset
        self._table = nasbench201.Table.open()

    def space(self) -> ModelSpace:
        return space_201(self.dataset)

    def score(self, decisions: Mapping[str, Any]) -> float | None:
        return _found(lambda: self._table.metrics(cell_of(decisions), self.dataset, max(EPOCHS_201)))

    @cached_property
    def best_score(self) -> float:
        return _best(nasbench201.query_nb201_trial_stats(None, max(EPOCHS_201), self.dataset, reduction="mean"))

    def _measure(self, decisions: Mapping[str, Any], epochs: int) -> Measured:
        found = self._table.metrics(cell_of(decisions), self._searched, epochs)
        return Measured(_measured(found.get(self.metric), self, decisions, epochs), self._table.cost_of(found))


class NdsTask(SearchTask):
    """Search a design space of NDS on CIFAR-10: the test accuracy after the last of 100 epochs is told, and the score.

    NDS measured samples of its spaces, so most networks of a space have no measurement. It held no images back to
    validate on. An iteration is one of 128 images (arXiv 1905.13214, appendix).

    Args:
        proposer: Whose design space.
        epochs: Length of the training.
        metric: What a strategy is told.

    Raises:
        BenchmarkError: There is no database, or that length of training was not measured.
    """

    def __init__(self, proposer: str, epochs: int = 100, metric: str = "final_test_acc") -> None:
        super().__init__(f"nds-{proposer}", epochs, metric, all_epochs=(100,), budget_s=None)
        self.proposer = proposer
        NDS_DATABASE.reader()  # what is missing is said here, not at the first trial

    def space(self) -> ModelSpace:
        return space_nds(self.proposer)

    def score(self, decisions: Mapping[str, Any]) -> float | None:
        return _found(lambda: self._record(decisions), "final_test_acc")

    @cached_property
    def best_score(self) -> float:
        records = nds.query_nds_trial_stats(None, self.proposer, "random", None, None, "cifar10", reduction="mean")
        return _best(records, "final_test_acc")

    def _measure(self, decisions: Mapping[str, Any], epochs: int) -> Measured:
        record = self._record(decisions)
        metric = _measured(record.get(self.metric), self, decisions, epochs)
        return Measured(metric, record["iter_time"] * math.ceil(50_000 / 128) * epochs)

    def _record(self, decisions: Mapping[str, Any]) -> dict[str, Any]:
        model_spec, cell_spec = network_of(self.proposer, decisions)
        found = nds.query_nds_trial_stats(
            None, self.proposer, "random", model_spec, cell_spec, "cifar10", reduction="mean"
        )
        for record in found:
            return record
        raise UnknownArchitectureError(f"{self.name}: there is no measurement of {dict(decisions)}")


def _of_proposer(proposer: str) -> Callable[..., SearchTask]:
    return lambda **settings: NdsTask(proposer, **settings)


def _of_dataset(dataset: str) -> Callable[..., SearchTask]:
    return lambda **settings: NasBench201Task(dataset, **settings)


_TASKS: dict[str, Callable[..., SearchTask]] = {
    "nasbench101": NasBench101Task,
    **{f"nasbench201-{dataset}": _of_dataset(dataset) for dataset in _BUDGETS_S},
    **{f"nds-{proposer}": _of_proposer(proposer) for proposer in DESIGNED},
}


def task_names() -> tuple[str, ...]:
    """Return the names that `open_task` knows."""
    return tuple(_TASKS)


def open_task(name: str, epochs: int | None = None, metric: str | None = None) -> SearchTask:
    """Return the search task of a name, with the database of its benchmark open.

    Args:
        name: One of `task_names()`.
        epochs: Length of the training of a trial; None for that of the task.
        metric: What a strategy is told; None for the validation accuracy.

    Raises:
        BenchmarkError: There is no such task, no database, or that length of training was not measured.
    """
    if name not in _TASKS:
        raise BenchmarkError(f"benchmark: expected one of {', '.join(_TASKS)}, got {name!r}")
    given = {"epochs": epochs, "metric": metric}
    return _TASKS[name](**{key: value for key, value in given.items() if value is not None})


def _measured(value: Any, task: SearchTask, decisions: Mapping[str, Any], epochs: int) -> float:
    if not isinstance(value, int | float):
        raise UnknownArchitectureError(
            f"{task.name}: the data has no {task.metric} of {dict(decisions)} with {epochs} epochs"
        )
    return float(value)


def _found(look_up: Callable[[], dict[str, Any]], column: str = "test_acc") -> float | None:
    try:
        value = look_up()[column]
    except UnknownArchitectureError:
        return None
    return None if value is None else float(value)


def _best(trials: Iterator[dict[str, Any]], column: str = "test_acc") -> float:
    return max((float(trial[column]) for trial in trials if trial[column] is not None), default=math.nan)
