"""Where databases lie, and what is said of those that cannot be read."""

from __future__ import annotations

import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from graphnas.benchmarks.build import build
from graphnas.benchmarks.database import DIRECTORY_VARIABLE, benchmark_directory
from graphnas.benchmarks.nasbench201 import Nb201TrialConfig, Nb201TrialStats, query_nb201_trial_stats
from graphnas.benchmarks.nasbench201.benchmark import BENCHMARK
from graphnas.errors import BenchmarkError

HEADER = "arch,dataset,num_epochs,seed\n"
CELL = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"


def built(folder: Path, seed: int) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "trials.csv").write_text(f"{HEADER}{CELL},cifar10,200,{seed}\n", encoding="utf-8")
    return build(BENCHMARK, [folder / "trials.csv"], directory=folder).path


def seeds() -> list[int]:
    return [row["seed"] for row in query_nb201_trial_stats(None, None, None)]


def test_the_folder_is_named_by_the_environment_or_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    assert benchmark_directory() == tmp_path
    monkeypatch.delenv(DIRECTORY_VARIABLE)
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        assert benchmark_directory() == tmp_path / "cache" / "graphnas" / "benchmarks"


def test_a_database_that_takes_the_place_of_another_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / "a"))
    built(tmp_path / "a", 1)
    reading = query_nb201_trial_stats(None, None, None)
    assert seeds() == [1]
    assert [row.seed for row in Nb201TrialStats.select()] == [1]
    built(tmp_path / "a", 2)
    assert seeds() == [2]
    assert [row.seed for row in Nb201TrialStats.select()] == [2]
    assert [row["seed"] for row in reading] == [1]  # begun before
    built(tmp_path / "b", 3)
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / "b"))
    assert seeds() == [3]
    (tmp_path / "b" / "nasbench201.db").unlink()
    with pytest.raises(BenchmarkError, match="there is no database of nasbench201"):
        seeds()


def test_every_thread_reads_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    built(tmp_path, 5)
    found: list[list[int]] = []
    begun_here = query_nb201_trial_stats(None, None, None)
    threads = [threading.Thread(target=lambda: found.append(seeds())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[5]] * 8
    elsewhere = threading.Thread(target=lambda: found.append([row["seed"] for row in begun_here]))
    elsewhere.start()
    elsewhere.join()
    assert found == [[5]] * 9


def test_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    path = built(tmp_path, 5)
    before = path.read_bytes()
    with pytest.raises(Exception, match="attempt to write a readonly database"):
        Nb201TrialConfig.delete().execute()
    assert path.read_bytes() == before


@pytest.mark.parametrize("kept", [0, 10, 4096, 6000])
def test_a_torn_database_is_named(kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    path = built(tmp_path, 5)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(
        BenchmarkError, match=r"nasbench201.db: is no database of nasbench201, or it is torn: .* bench build"
    ):
        seeds()


def test_a_database_of_another_kind_or_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    path = built(tmp_path, 5)
    for change, found in (
        ("schema_version = 99", "nasbench201 in version 99"),
        ("benchmark = 'nds'", "nds in version"),
    ):
        with sqlite3.connect(path) as connection:
            connection.execute(f"UPDATE benchmarkbuild SET {change}")
        with pytest.raises(BenchmarkError, match=f"expected the database of nasbench201 in version 1, got {found}"):
            seeds()
