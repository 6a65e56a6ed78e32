from __future__ import annotations

import os
from pathlib import Path

import pytest

from graphnas.errors import StoreError
from graphnas.experiment.folders import find_experiment, home_of, list_experiments, remove_experiment
from graphnas.experiment.store import Description, Store


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("20260101-aa11", "20260101-bb22", "20260202-cc33"):
        Store.create(tmp_path / name, Description(name, {}, {}, None, None, None)).close()
    (tmp_path / "notes").mkdir()
    (tmp_path / "file.txt").touch()
    return tmp_path


def test_experiments_are_found_by_id_by_its_beginning_and_by_path(home: Path) -> None:
    expected = home / "20260202-cc33"
    for identifier in ("20260202-cc33", "202602", str(expected), os.path.relpath(expected)):
        assert find_experiment(identifier, str(home)) == expected
    assert [folder.name for folder in list_experiments(home)] == ["20260101-aa11", "20260101-bb22", "20260202-cc33"]


def test_a_beginning_of_several_ids_is_refused(home: Path) -> None:
    with pytest.raises(StoreError, match="2 experiments begin so: 20260101-aa11, 20260101-bb22; give more of the id"):
        find_experiment("20260101", str(home))
    for identifier in ("2027", "", "notes"):
        with pytest.raises(StoreError, match=r"there is no experiment\.db in .* nor in "):
            find_experiment(identifier, str(home))


def test_a_home_that_is_not_there_holds_no_experiments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHNAS_HOME", str(tmp_path / "none"))
    assert list_experiments(home_of(None)) == []


def test_removing_leaves_what_others_put_there(home: Path) -> None:
    (home / "20260101-aa11" / "trials" / "0").mkdir(parents=True)
    assert remove_experiment(home / "20260101-aa11") == ()
    assert not (home / "20260101-aa11").exists()
    (home / "20260101-bb22" / "mine.txt").touch()
    assert remove_experiment(home / "20260101-bb22") == ("mine.txt",)
    assert [path.name for path in (home / "20260101-bb22").iterdir()] == ["mine.txt"]


def test_a_running_experiment_is_not_removed(home: Path) -> None:
    store = Store.open(home / "20260202-cc33", writable=True)
    with pytest.raises(StoreError, match=r"another process \(pid \d+\) runs this experiment"):
        remove_experiment(home / "20260202-cc33")
    store.close()
    assert find_experiment("20260202", str(home))
