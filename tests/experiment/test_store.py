from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphnas.errors import StoreError
from graphnas.experiment.store import Description, Store
from graphnas.experiment.trial import Outcome, Trial, TrialStatus

DESCRIPTION = Description("id", {"seed": 0}, {}, None, {"type": {"import": "a:b"}}, None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store.create(tmp_path, DESCRIPTION)
    yield made
    made.close()


def submitted(store: Store, number: int) -> None:
    store.submit(Trial(number, TrialStatus.RUNNING, {"width": number}, 7), {"cursor": number + 1})


def test_a_description_is_read_as_it_was_written(store: Store) -> None:
    assert store.describe() == DESCRIPTION


def test_a_submission_and_the_strategys_state_are_one_transaction(store: Store) -> None:
    submitted(store, 0)
    with pytest.raises(StoreError, match="cannot be written: UNIQUE constraint failed"):
        store.submit(Trial(0, TrialStatus.RUNNING, {}, 0), {"cursor": 99})
    assert store.strategy_state() == {"cursor": 1}


def test_endings_are_kept_in_their_order(store: Store) -> None:
    for number in range(3):
        submitted(store, number)
    store.finish(2, Outcome(TrialStatus.COMPLETED, {"default": 1.0, "loss": 2.0}, (0.5, {"default": 0.75})), 1.0)
    store.finish(0, Outcome(TrialStatus.FAILED, error="E: x", traceback="T"), 2.0)
    store.finish(1, Outcome(TrialStatus.CANCELLED), 3.0)
    assert [trial.number for trial in store.told()] == [2, 0]
    assert store.trials()[2].metrics == {"default": 1.0, "loss": 2.0}
    assert store.intermediate(2) == [0.5, {"default": 0.75}]
    assert store.elapsed_s == 3.0
    assert store.ended is None
    store.restart(1, None)
    assert store.trials()[1].status is TrialStatus.RUNNING


def test_the_best_are_ordered_and_the_earlier_of_equals_comes_first(store: Store) -> None:
    for number, metric in enumerate((1.0, 3.0, 3.0, 2.0)):
        submitted(store, number)
        store.finish(number, Outcome(TrialStatus.COMPLETED, metric), 0.0)
    assert [trial.number for trial in store.top(3, maximize=True)] == [1, 2, 3]
    assert [trial.number for trial in store.top(1, maximize=False)] == [0]


def test_a_reader_needs_no_lock_and_cannot_write(store: Store, tmp_path: Path) -> None:
    submitted(store, 0)
    reader = Store.open(tmp_path)
    assert len(reader.trials()) == 1
    with pytest.raises(StoreError, match="open for reading"):
        submitted(reader, 1)
    reader.close()


def test_another_version_and_a_torn_file_are_refused(tmp_path: Path) -> None:
    Store.create(tmp_path, DESCRIPTION).close()
    database = sqlite3.connect(tmp_path / "experiment.db")
    with database:
        database.execute("UPDATE schema_version SET version = 99")
    database.close()
    with pytest.raises(StoreError, match="schema version 99, this graphnas reads 1"):
        Store.open(tmp_path)
    for path in tmp_path.glob("experiment.db*"):
        path.unlink()
    (tmp_path / "experiment.db").write_bytes(b"no database, but long enough to be looked at" * 100)
    with pytest.raises(StoreError, match="cannot be read: file is not a database"):
        Store.open(tmp_path)
