from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graphnas.errors import StoreError
from graphnas.experiment.store import SCHEMA_VERSION, Description, Store
from graphnas.experiment.store.place import check_is_local
from graphnas.experiment.trial import Outcome, Trial, TrialStatus

DESCRIPTION = Description("id", {"seed": 0}, {}, None, {"type": {"import": "a:b"}}, None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store.create(tmp_path, DESCRIPTION)
    yield made
    made.close()


def submitted(store: Store, number: int) -> None:
    store.submit(Trial(number, TrialStatus.RUNNING, {"width": number}, 7), {"cursor": number + 1})


def fill(store: Store, numbers: Iterable[int]) -> None:
    for number in numbers:
        submitted(store, number)


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
    store.restart(store.trials()[1])
    assert store.trials()[1].status is TrialStatus.CANCELLED
    store.restart(replace(store.trials()[1], status=TrialStatus.RUNNING, attempts=2))
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


def test_what_one_transaction_holds_is_written_whole_or_not_at_all(store: Store) -> None:
    with store.transaction():
        submitted(store, 0)
        store.finish(0, Outcome(TrialStatus.COMPLETED, 1.0), 1.0)
    with pytest.raises(StoreError, match="UNIQUE constraint"), store.transaction():
        fill(store, [1, 2, 1])
    assert [trial.number for trial in store.trials()] == [0]
    assert store.strategy_state() == {"cursor": 1}
    submitted(store, 1)
    assert store.next_number() == 2


def test_trials_are_found_by_page_status_key_and_order(store: Store) -> None:
    for number in range(5):
        trial = Trial(
            number, TrialStatus.RUNNING, {"width": number}, 7, key=f"k{number // 2}", budget=2.0, resume_from=0
        )
        store.submit(trial, None)
        if number:
            store.finish(number, Outcome(TrialStatus.COMPLETED, float(number), worker="node-7"), 0.0)
    assert [trial.number for trial in store.trials(1, 2)] == [1, 2]
    assert [trial.number for trial in store.each_trial(3)] == [3, 4]
    assert [trial.number for trial in store.latest(2)] == [3, 4]
    assert [trial.number for trial in store.of_status(TrialStatus.RUNNING)] == [0]
    found = store.completed_with_key("k0")
    assert found is not None
    assert (found.number, found.budget, found.resume_from, found.worker) == (1, 2.0, 0, "node-7")
    assert found.started_at is not None
    assert found.ended_at is not None
    assert store.completed_with_key("k9") is None
    assert store.trial(4) == store.trials()[4]
    assert store.trial(9) is None
    assert store.counts() == {"RUNNING": 1, "COMPLETED": 4}


def test_a_summary_says_what_a_listing_shows(tmp_path: Path) -> None:
    store = Store.create(tmp_path, replace(DESCRIPTION, config={"experiment_name": "night"}))
    submitted(store, 0)
    store.finish(0, Outcome(TrialStatus.PRUNED), 1.5)
    summary = Store.read(tmp_path).summary()
    assert (summary.id, summary.name, summary.elapsed_s, summary.ended) == ("id", "night", 1.5, None)
    assert summary.counts == {"PRUNED": 1}
    assert summary.is_running
    store.set_ended("stopped", 2.0)
    store.close()
    summary = Store.read(tmp_path).summary()
    assert (summary.ended, summary.is_running) == ("stopped", False)


def schema(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]
        columns = [(name, *row) for name in tables for row in database.execute(f"PRAGMA table_info({name})")]
        return columns + list(database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY 1"))


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_a_store_of_every_released_schema_is_read_as_it_is_and_migrated_when_it_is_resumed(
    tmp_path: Path, version: int
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    shutil.copy(Path(__file__).with_name("databases") / f"schema_{version}.db", old / "experiment.db")
    before = (old / "experiment.db").read_bytes()
    reader = Store.open(old)
    read = reader.trials()
    assert [trial.status.value for trial in read] == [
        "COMPLETED",
        "COMPLETED",
        "FAILED",
        "INVALID",
        "CANCELLED",
        "RUNNING",
    ]
    assert read[1].metrics == {"default": 0.75, "loss": 0.5}
    assert [trial.number for trial in reader.told()] == [1, 0, 2, 3]
    assert [trial.number for trial in reader.top(5, maximize=True)] == [1, 0]
    assert reader.summary().name == "kept"
    assert reader.completed_with_key("k") is None
    reader.close()
    assert (old / "experiment.db").read_bytes() == before

    migrated = Store.open(old, writable=True)
    assert migrated.trials() == read
    assert migrated.summary().name == "kept"
    assert migrated.strategy_state() == {"cursor": 6}
    assert migrated.intermediate(1) == [0.5, {"default": 0.75, "loss": 0.5}]
    submitted(migrated, 6)
    migrated.close()
    Store.create(new, DESCRIPTION).close()
    assert schema(old / "experiment.db") == schema(new / "experiment.db")
    again = Store.open(old, writable=True)
    assert again.next_number() == 7
    again.close()


def test_another_version_is_refused(tmp_path: Path) -> None:
    Store.create(tmp_path, DESCRIPTION).close()
    with closing(sqlite3.connect(tmp_path / "experiment.db")) as database, database:
        database.execute("UPDATE schema_version SET version = 99")
    with pytest.raises(StoreError, match=f"schema version 99, this graphnas reads 1 to {SCHEMA_VERSION}"):
        Store.open(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "experiment.db").write_bytes(b"no database, but long enough to be looked at" * 100)
    for writable in (False, True):
        with pytest.raises(StoreError, match="file is not a database"):
            Store.open(tmp_path, writable=writable)


def filled(folder: Path, count: int = 200) -> Store:
    store = Store.create(folder, DESCRIPTION)
    for number in range(count):
        submitted(store, number)
        store.finish(number, Outcome(TrialStatus.COMPLETED, 1.0, error="x" * 200), 0.0)
    return store


def test_a_torn_database_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    filled(tmp_path).close()
    path = tmp_path / "experiment.db"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match=r"is damaged|cannot be read: database disk image is malformed"):
        Store.open(tmp_path, writable=True)
    assert path.read_bytes() == whole[: len(whole) // 2]


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7, 0.99])
def test_of_a_torn_log_everything_before_the_tear_is_there(tmp_path: Path, kept: float) -> None:
    store = filled(tmp_path / "whole", 60)
    torn = tmp_path / "torn"
    torn.mkdir()
    shutil.copy(tmp_path / "whole" / "experiment.db", torn)
    log = (tmp_path / "whole" / "experiment.db-wal").read_bytes()
    (torn / "experiment.db-wal").write_bytes(log[: int(len(log) * kept)])
    store.close()
    if kept == 0.0:
        with pytest.raises(StoreError, match=r"holds no experiment|no such table"):
            Store.open(torn, writable=True)
        return
    again = Store.open(torn, writable=True)
    found = again.trials()
    assert [trial.number for trial in found] == list(range(len(found)))
    assert all(trial.status is TrialStatus.COMPLETED for trial in found[:-1])
    assert abs(len(found) - 60 * kept) < 6
    submitted(again, len(found))
    again.close()


def test_a_full_disk_ends_in_an_error_with_everything_before_intact(tmp_path: Path) -> None:
    store = filled(tmp_path, 20)
    (pages,) = store._rows("PRAGMA page_count")[0]
    store._rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(
        StoreError, match="cannot be written: database or disk is full; what was written before is intact"
    ):
        fill(store, range(20, 200))
    kept = store.trials()
    assert kept[:20] == store.trials()[:20]
    store._rows("PRAGMA max_page_count = 100000")
    submitted(store, len(kept))
    store.close()
    assert len(Store.read(tmp_path).trials()) == len(kept) + 1


def test_the_creation_of_a_store_can_be_repeated_after_it_was_interrupted(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "experiment.db")) as database:
        database.execute("PRAGMA journal_mode = wal")
    for writable in (False, True):
        with pytest.raises(StoreError, match="the process that began to create it was ended; nothing had run"):
            Store.open(tmp_path, writable=writable)
    store = Store.create(tmp_path, DESCRIPTION)
    assert store.describe() == DESCRIPTION
    store.close()
    with pytest.raises(StoreError, match="holds an experiment already"):
        Store.create(tmp_path, DESCRIPTION)


MOUNTS = """/dev/root / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb /home/local\\040disk ext4 rw 0 0
host: /mnt/ssh fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/home/me/x", "nfs4"), ("/mnt/ssh", "fuse.sshfs"), ("/mnt/other", None), ("/home/local disk/x", None)],
)
def test_network_file_systems_are_refused_by_name(tmp_path: Path, folder: str, kind: str | None) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    if kind is None:
        check_is_local(Path(folder), mounts)
    else:
        with pytest.raises(
            StoreError, match=rf"network file system \({kind}, mounted at .*experiment_working_directory"
        ):
            check_is_local(Path(folder), mounts)
    check_is_local(Path(folder), tmp_path / "no such table")


def test_what_is_committed_durably_is_synchronised(tmp_path: Path) -> None:
    for durable, level in ((False, 1), (True, 2)):
        store = Store.create(tmp_path / str(durable), DESCRIPTION, durable=durable)
        assert store._rows("PRAGMA synchronous") == [(level,)]
        store.close()


def test_a_store_is_read_where_its_folder_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, 3).close()
    monkeypatch.setattr("os.access", lambda path, mode: False)  # what a test run by root is never told
    before = sorted(path.name for path in tmp_path.iterdir())
    reader = Store.read(tmp_path)
    assert len(reader.trials()) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    reader.close()
