"""A search without trials: a space of numbers, a strategy that follows a script, an executor that does as told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from graphnas.errors import MutationError, StoreError
from graphnas.experiment.config import RetiariiExeConfig
from graphnas.experiment.executors import Ended, Event, Executor, Reported, Task
from graphnas.experiment.executors.base import Workload
from graphnas.experiment.search import Ending, Search
from graphnas.experiment.signals import Signals
from graphnas.experiment.store import Description, Reader, Store
from graphnas.experiment.strategies import Answer, Observation, Proposal, Strategy
from graphnas.experiment.trial import Metric, Outcome, TrialStatus
from graphnas.mutators.domain import Categorical, Decisions, Domain


class Product:
    """The fingerprint of a candidate: `width * depth`, so that 2 x 6 and 3 x 4 are one architecture."""

    def __init__(self, decisions: Mapping[str, Any]) -> None:
        self.fingerprint = f"product {decisions['width'] * decisions['depth']}"


class ProductSpace:
    """Widths and depths up to 12; a width of 11 is refused, one of 12 breaks the mutator."""

    def __init__(self) -> None:
        self.domains: Mapping[str, Domain] = {
            name: Categorical(name, tuple(range(1, 13))) for name in ("width", "depth")
        }
        self.frozen = 0

    def validate(self, decisions: Mapping[str, Any]) -> Decisions:
        if decisions["width"] == 11:
            raise MutationError("nothing is that wide", site="width")
        if decisions["width"] == 12:
            raise KeyError("layer12")
        return dict(decisions)

    def freeze(self, decisions: Mapping[str, Any]) -> Product:
        self.frozen += 1
        return Product(decisions)

    def instantiate(self, decisions: Mapping[str, Any]) -> Any:
        raise NotImplementedError

    def to_json(self) -> dict[str, Any] | None:
        return None


def point(width: int, depth: int, **rest: Any) -> Proposal:
    return Proposal({"width": width, "depth": depth}, **rest)


class Script(Strategy):
    """Asks what it is given, one after the other, and keeps what it is told."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        super().__init__()
        self.answers = list(answers)
        self.told: list[Observation] = []
        self.rejected: list[Proposal] = []
        self.recalled: list[Proposal] = []
        self.resumable: set[int] = set()
        self.on_tell: Callable[[Observation], None] = lambda _: None

    def ask(self) -> Answer:
        if self._cursor >= len(self.answers):
            return None
        self._cursor += 1
        return self.answers[self._cursor - 1]

    def tell(self, observation: Observation) -> None:
        self.told.append(observation)
        self.on_tell(observation)

    def reject(self, proposal: Proposal) -> None:
        self.rejected.append(proposal)

    def recall(self, proposal: Proposal) -> None:
        self.recalled.append(proposal)

    def may_resume(self, number: int) -> bool:
        return number in self.resumable


class Scripted(Executor):
    """Ends its tasks in the order of their submission, one for each `wait`, as `behave` says.

    `behave` returns the metric or the outcome of a task; every task reports 0.5 before.
    """

    def __init__(self, behave: Callable[[Task], Metric | Outcome], concurrency: int = 1) -> None:
        self.concurrency = concurrency
        self.tasks: list[Task] = []
        self.stopped: list[int] = []
        self._behave = behave
        self._open: list[Task] = []

    @property
    def running(self) -> int:
        return len(self._open)

    def open(self, load_workload: bytes | Workload) -> None:
        pass

    def submit(self, task: Task) -> None:
        assert len(self._open) < self.concurrency
        self.tasks.append(task)
        self._open.append(task)

    def wait(self, timeout_s: float) -> list[Event]:
        if not self._open:
            return []
        task = self._open.pop(0)
        result = self._behave(task)
        outcome = result if isinstance(result, Outcome) else Outcome(TrialStatus.COMPLETED, result, (0.5,), worker="n1")
        return [Reported(task.number, 0, 0.5), Ended(task.number, outcome)]

    def request_stop(self, number: int) -> None:
        self.stopped.append(number)

    def close(self) -> None:
        self._open.clear()


class Watching:
    """Keeps what a watcher is shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def on_start(self, number: int) -> None:
        self.shown.append(f"start {number}")

    def on_report(self, number: int, step: int, metric: Metric) -> None:
        self.shown.append(f"report {number}")

    def on_retry(self, number: int, outcome: Outcome) -> None:
        self.shown.append(f"retry {number}")

    def on_end(self, number: int, outcome: Outcome) -> None:
        self.shown.append(f"end {number} {outcome.status.value}")


def description(**config: Any) -> Description:
    return Description("here", config, {}, None, {"type": {"import": "a:b"}, "arguments": {}}, None)


def opened(folder: Path) -> Store:
    try:
        return Store.create(folder, description())
    except StoreError:  # there is one
        return Store.open(folder, writable=True)


def search(
    folder: Path,
    strategy: Strategy,
    executor: Executor,
    *,
    space: Any = None,
    watcher: Watching | None = None,
    earlier: Sequence[Reader] = (),
    **fields: Any,
) -> Ending:
    """Run a search to its end in `folder`, or go on with the one that is there."""
    space = space or ProductSpace()
    strategy.bind(space.domains, 0)
    config = RetiariiExeConfig(**fields)
    store = opened(folder)
    try:
        return Search(store, space, strategy, executor, config, watcher or Watching(), Signals(), earlier).run()
    finally:
        store.close()
