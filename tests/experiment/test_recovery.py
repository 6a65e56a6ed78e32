"""The process of an experiment dies at any moment, or its disk is full; then it is resumed."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from graphnas.errors import StoreError
from graphnas.experiment.executors import Task
from graphnas.experiment.store import Store
from graphnas.experiment.strategies import RegularizedEvolution, Strategy
from graphnas.experiment.trial import Metric, Trial

from .every_strategy import EVERY_STRATEGY
from .simulated import Script, Scripted, point, search

TRIALS = 14


def evolution() -> Strategy:
    return RegularizedEvolution(population_size=4, sample_size=2, mutation_prob=0.5, seed=1)


def product(task: Task) -> Metric:
    return float(task.decisions["width"] * task.decisions["depth"])


def run(folder: Path, strategy: Strategy, concurrency: int = 1, trials: int = TRIALS) -> None:
    search(folder, strategy, Scripted(product, concurrency), max_trial_number=trials)


def kept(folder: Path) -> list[tuple[Any, ...]]:
    def row(trial: Trial) -> tuple[Any, ...]:
        return trial.number, trial.status.value, trial.decisions, trial.seed, trial.metric, trial.budget

    store = Store.read(folder)
    try:
        return [row(trial) for trial in store.trials()]
    finally:
        store.close()


def ended(folder: Path) -> list[tuple[Any, ...]]:
    """Return the trials that have ended, none if not even the experiment was created."""
    try:
        return [row for row in kept(folder) if row[1] not in ("RUNNING", "CANCELLED")]
    except StoreError as error:
        if "nothing had run" in str(error) or "no experiment here" in str(error):
            return []
        raise


class Killer:
    """Counts the calls that reach the database, before and after each, and kills this process at one of them."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.count = 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import peewee

        for name in ("begin", "execute_sql", "commit"):
            monkeypatch.setattr(peewee.SqliteDatabase, name, self.around(getattr(peewee.SqliteDatabase, name)))

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            self.pass_by()
            result = call(*args, **kwargs)
            self.pass_by()
            return result

        return called

    def pass_by(self) -> None:
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1


def in_child(work: Callable[[], None]) -> int:
    """Do something in a fork of this process, and return its status: minus a signal, or 1 if it raised."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def calls_of(work: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many moments there are at which something can be killed."""
    killer = Killer(None)
    with monkeypatch.context() as patch:
        killer.install(patch)
        work()
    return killer.count


def die_and_resume(folder: Path, at: int, concurrency: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def dying() -> None:
        Killer(at).install(monkeypatch)
        run(folder, evolution(), concurrency)

    assert in_child(dying) == -signal.SIGKILL
    before = ended(folder)
    run(folder, evolution(), concurrency)
    after = kept(folder)
    assert [row[0] for row in after] == list(range(TRIALS))
    assert all(after[row[0]] == row for row in before), "what had ended is as it was"
    points = [(row[2]["width"], row[2]["depth"]) for row in after]
    assert len(set(points)) == TRIALS, "nothing is asked for twice"
    assert {row[1] for row in after} <= {"COMPLETED", "INVALID", "FAILED"}
    with closing(sqlite3.connect(folder / "experiment.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def check_every(step: int, concurrency: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    whole = folder / "whole"
    moments = calls_of(lambda: run(whole, evolution(), concurrency), monkeypatch)
    for at in range(0, moments, step):
        die_and_resume(folder / str(at), at, concurrency, monkeypatch)
        if concurrency == 1:
            assert kept(folder / str(at)) == kept(whole)
    return moments


@pytest.mark.parametrize(("concurrency", "step"), [(1, 10), (3, 16)])
def test_an_experiment_killed_at_a_call_of_the_store_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, concurrency: int, step: int
) -> None:
    assert check_every(step, concurrency, tmp_path, monkeypatch) >= 150


@pytest.mark.slow
def test_an_experiment_can_be_killed_at_every_call_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_every(1, 1, tmp_path, monkeypatch) >= 200


@pytest.mark.parametrize("cut", [1, 4, 9])
@pytest.mark.parametrize("name", EVERY_STRATEGY)
def test_a_resumed_serial_run_asks_what_an_uninterrupted_one_would(tmp_path: Path, name: str, cut: int) -> None:
    make = EVERY_STRATEGY[name]
    run(tmp_path / "whole", make())

    def die(task: Task) -> Metric:
        if task.number >= cut:
            os.kill(os.getpid(), signal.SIGKILL)
        return product(task)

    def dying() -> None:
        search(tmp_path / "cut", make(), Scripted(die), max_trial_number=TRIALS)

    whole = kept(tmp_path / "whole")
    assert in_child(dying) == (-signal.SIGKILL if len(whole) > cut else 0)
    run(tmp_path / "cut", make())
    assert kept(tmp_path / "cut") == whole


def test_a_file_that_may_not_grow_ends_the_run_with_everything_before_intact(tmp_path: Path) -> None:
    run(tmp_path / "whole", evolution())

    class Telling(RegularizedEvolution):
        def tell(self, observation: Any) -> None:
            super().tell(observation)
            (tmp_path / "told").write_text(str(observation.number))

    def filling() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
        with pytest.raises(StoreError, match=r"cannot be written: .*; what was written before is intact"):
            run(tmp_path / "cut", Telling(population_size=4, sample_size=2, mutation_prob=0.5, seed=1))

    assert in_child(filling) == 0
    last = int((tmp_path / "told").read_text())
    before = ended(tmp_path / "cut")
    assert last in [row[0] for row in before], "what the strategy was told is there"
    assert 0 < len(before) < TRIALS
    run(tmp_path / "cut", evolution())
    assert kept(tmp_path / "cut") == kept(tmp_path / "whole")


def test_equal_trials_are_found_again_after_a_death(tmp_path: Path) -> None:
    asked = [point(2, 6, on_equal="replay"), point(3, 4, on_equal="replay"), point(1, 7, on_equal="replay")]

    def dying() -> None:
        def die(task: Task) -> Metric:
            os.kill(os.getpid(), signal.SIGKILL)
            return 0.0

        search(tmp_path, Script(asked), Scripted(die, concurrency=3))

    assert in_child(dying) == -signal.SIGKILL
    assert [row[1] for row in kept(tmp_path)] == ["RUNNING"] * 3
    executor = Scripted(product, concurrency=3)
    search(tmp_path, Script(asked), executor)
    assert [task.number for task in executor.tasks] == [0, 2]
    store = Store.read(tmp_path)
    assert [trial.reused_from for trial in store.trials()] == [None, 0, None]
    store.close()
