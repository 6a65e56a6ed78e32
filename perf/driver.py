"""What an experiment adds to its trials, with trials that take no time: per trial, over many trials, over many slots.

Store, strategy and loop are the real ones; only what would run a trial is left out. A fleet has a clock of its own,
which jumps to the next trial that ends.
"""

from __future__ import annotations

import heapq
import itertools
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import graphnas
from graphnas.experiment.config import RetiariiExeConfig
from graphnas.experiment.executors import Ended, Event, Executor, Task
from graphnas.experiment.executors.base import Workload
from graphnas.experiment.search import Search
from graphnas.experiment.signals import Signals
from graphnas.experiment.store import Description, Store
from graphnas.experiment.strategies import Strategy
from graphnas.experiment.trial import Metric, Outcome, TrialStatus
from graphnas.mutators.domain import Categorical, Decisions, Domain, check_decisions
from perf.line import Line, within

TRIALS = 100_000
MARKS = (10, 100, 1_000, 10_000, 100_000)
SLOTS = 8_000
TRIAL_S = 60.0
FLEET_TRIALS = 480_000

STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "random": lambda: graphnas.strategy.Random(seed=0),
    "grid": lambda: graphnas.strategy.GridSearch(seed=0),
    "evolution": lambda: graphnas.strategy.RegularizedEvolution(cycles=10**9, seed=0),
    "local search": lambda: graphnas.strategy.LocalSearch(seed=0),
}


class Choices:
    """Ten choices of six, from which nothing is built."""

    def __init__(self) -> None:
        self.domains: Mapping[str, Domain] = {
            f"block{index}": Categorical(f"block{index}", tuple(range(6))) for index in range(10)
        }

    def validate(self, decisions: Mapping[str, Any]) -> Decisions:
        return check_decisions(self.domains, decisions)

    def freeze(self, decisions: Mapping[str, Any]) -> Any:
        raise NotImplementedError

    def instantiate(self, decisions: Mapping[str, Any]) -> Any:
        raise NotImplementedError

    def to_json(self) -> dict[str, Any] | None:
        return None


class Fleet(Executor):
    """Slots whose trials take about a minute each, by a clock that is ahead of ours."""

    def __init__(self, slots: int, trial_s: float) -> None:
        self.concurrency = slots
        self.clock_s = 0.0
        self._trial_s = trial_s
        self._rng = random.Random(0)
        self._ends: list[tuple[float, int, Outcome]] = []

    @property
    def running(self) -> int:
        return len(self._ends)

    def open(self, load_workload: bytes | Workload) -> None:
        pass

    def submit(self, task: Task) -> None:
        duration_s = self._trial_s * self._rng.uniform(0.5, 1.5)
        metric = sum(value * (index % 3) for index, value in enumerate(task.decisions.values())) / 60
        outcome = Outcome(TrialStatus.COMPLETED, metric + self._rng.random(), duration_s=duration_s)
        heapq.heappush(self._ends, (self.clock_s + duration_s, task.number, outcome))

    def wait(self, timeout_s: float) -> list[Event]:
        """Return the trials that end next: those of a tenth of a second, which is how often a busy driver looks."""
        if not self._ends:
            return []
        self.clock_s = max(self.clock_s + 0.1, self._ends[0][0]) if self._trial_s else 0.0
        events: list[Event] = []
        while self._ends and self._ends[0][0] <= self.clock_s:
            _, number, outcome = heapq.heappop(self._ends)
            events.append(Ended(number, outcome))
            if not self._trial_s:
                break
        return events

    def request_stop(self, number: int) -> None:
        pass

    def close(self) -> None:
        self._ends.clear()


@dataclass
class Marks:
    """A watcher that notes time and memory when so many trials have ended."""

    times_s: dict[int, float]
    memory_bytes: dict[int, int]
    _ended: Iterator[int]

    @classmethod
    def begin(cls) -> Marks:
        return cls({0: time.process_time()}, {0: resident_bytes()}, itertools.count(1))

    def on_start(self, number: int) -> None:
        pass

    def on_report(self, number: int, step: int, metric: Metric) -> None:
        pass

    def on_retry(self, number: int, outcome: Outcome) -> None:
        pass

    def on_end(self, number: int, outcome: Outcome) -> None:
        ended = next(self._ended)
        if ended in MARKS or ended % 10_000 == 0:
            self.times_s[ended] = time.process_time()
            self.memory_bytes[ended] = resident_bytes()

    def cost_s(self, first: int, last: int) -> float:
        """Return seconds for each trial between two marks."""
        return (self.times_s[last] - self.times_s[first]) / (last - first)


def resident_bytes() -> int:
    """Return how much memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@contextmanager
def filled(strategy: Strategy, executor: Executor, trials: int, marks: Marks | None = None) -> Iterator[Path]:
    """Run a search to its budget, and yield its folder."""
    with tempfile.TemporaryDirectory() as folder:
        space = Choices()
        strategy.bind(space.domains, 0)
        store = Store.create(Path(folder), Description("perf", {}, {}, None, None, None))
        try:
            config = RetiariiExeConfig(max_trial_number=trials)
            watcher = marks or Marks.begin()
            Search(store, space, strategy, executor, config, watcher, Signals()).run()
        finally:
            store.close()
        yield Path(folder)


def growth() -> Iterator[Line]:
    """Seconds and bytes for each trial from the first to the hundred thousandth, one slot, each strategy."""
    for name, make in STRATEGIES.items():
        marks = Marks.begin()
        with filled(make(), Fleet(1, 0.0), TRIALS, marks):
            pass
        curve = [f"{1e6 * marks.cost_s(first, last):.0f}" for first, last in itertools.pairwise((0, *MARKS))]
        early, late = marks.cost_s(1_000, 10_000), marks.cost_s(90_000, 100_000)
        yield Line(
            f"overhead of a trial, {name}: the last 10,000 of {TRIALS:,}",
            f"{1e6 * late:.0f} us",
            f"{1e6 * early:.0f} us from 1,000 to 10,000",
            f"{late / early:.2f} (us up to {', '.join(f'{mark:,}' for mark in MARKS)}: {', '.join(curve)})",
        )
        grown = (marks.memory_bytes[TRIALS] - marks.memory_bytes[10_000]) / (TRIALS - 10_000)
        yield within(f"memory of a trial, {name}", grown, 2048, "bytes")


def fleet() -> Iterator[Line]:
    """An hour of 8,000 slots with trials of one minute: whether driver, store and strategy keep up."""
    marks = Marks.begin()
    executor = Fleet(SLOTS, TRIAL_S)
    with filled(STRATEGIES["evolution"](), executor, FLEET_TRIALS, marks):
        pass
    spent_s = marks.times_s[FLEET_TRIALS] - marks.times_s[0]
    rate = FLEET_TRIALS / spent_s
    yield Line(
        f"{FLEET_TRIALS:,} trials on {SLOTS:,} slots, evolution",
        f"{rate:.0f}/s",
        f"1000/s, and {FLEET_TRIALS / executor.clock_s:.0f}/s that the fleet ends",
        f"{rate / 1000:.2f} ({spent_s:.0f} s of processor for {executor.clock_s / 60:.0f} simulated minutes)",
    )
    last = 1 / marks.cost_s(FLEET_TRIALS - 20_000, FLEET_TRIALS)
    yield Line("the last 20,000 of them", f"{last:.0f}/s", f"{rate:.0f}/s over all", f"{last / rate:.2f}")


def listing() -> Iterator[Line]:
    """What `graphnas ls` and `show` read of an experiment with a hundred thousand trials."""
    with filled(STRATEGIES["random"](), Fleet(500, TRIAL_S), TRIALS) as folder:
        for what, ask in (
            ("summary", lambda store: store.summary()),
            ("the best ten", lambda store: store.top(10, maximize=True)),
            ("the last fifty trials", lambda store: store.latest(50)),
            ("all trials, one by one", lambda store: sum(1 for _ in store.each_trial())),
        ):
            start = time.process_time()
            store = Store.read(folder)
            ask(store)
            store.close()
            yield within(f"{what} of {TRIALS:,} trials", time.process_time() - start, 1.0, "s")
