"""Building databases: as a whole or not at all, and on from where it was stopped."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from graphnas.benchmarks import build as building
from graphnas.benchmarks.build import build
from graphnas.benchmarks.layouts import Step
from graphnas.benchmarks.nasbench201.benchmark import BENCHMARK
from graphnas.errors import BenchmarkError

ROWS = 40
LAYOUT = BENCHMARK.layouts[-1]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Write a table of forty trials."""
    cell = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    lines = [f"{cell},cifar100,200,{seed},{seed % 7}.5" for seed in range(ROWS)]
    path = tmp_path / "trials.csv"
    path.write_text("\n".join(["arch,dataset,num_epochs,seed,test_acc", *lines]) + "\n", encoding="utf-8")
    return path


def rows(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        ((count,),) = connection.execute("SELECT COUNT(*) FROM nb201trialstats")
    return int(count)


def test_a_build_that_fails_leaves_the_former_database_and_goes_on_where_it_stopped(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "_ROWS_PER_COMMIT", 10)
    whole = build(BENCHMARK, [table], directory=tmp_path / "whole")
    starts = []

    def breaks_once(paths: Sequence[Path], start: int) -> Iterator[Step]:
        starts.append(start)
        for step in LAYOUT.read(paths, start):
            if step.position == 35 and len(starts) == 1:
                raise OSError("the disk is gone")
            yield step

    breaking = replace(BENCHMARK, layouts=(replace(LAYOUT, read=breaks_once),))
    former = tmp_path / "nasbench201.db"
    former.write_bytes(b"the former database")
    with pytest.raises(BenchmarkError, match="cannot be built: the disk is gone; a former database is as it was"):
        build(breaking, [table], directory=tmp_path)
    assert former.read_bytes() == b"the former database"
    assert rows(tmp_path / "nasbench201.db.partial") == 30
    report = build(breaking, [table], directory=tmp_path)
    assert starts == [0, 30]
    assert report == replace(whole, path=former)
    assert rows(former) == ROWS
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "nasbench201.db",
        "nasbench201.lock",
        "trials.csv",
        "whole",
    ]


KILLED = """
import os, signal, sys
from dataclasses import replace
from graphnas.benchmarks import build as building
from graphnas.benchmarks.nasbench201.benchmark import BENCHMARK
building._ROWS_PER_COMMIT = 10
layout = BENCHMARK.layouts[-1]
def read(paths, start):
    for step in layout.read(paths, start):
        if step.position == 35:
            os.kill(os.getpid(), signal.SIGKILL)
        yield step
building.build(replace(BENCHMARK, layouts=(replace(layout, read=read),)), [sys.argv[1]], directory=sys.argv[2])
"""


def test_a_build_that_was_killed_leaves_no_half_database(table: Path, tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(table), str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "nasbench201.db").exists()
    assert rows(tmp_path / "nasbench201.db.partial") == 30
    report = build(BENCHMARK, [table], directory=tmp_path)
    assert report.checksum == build(BENCHMARK, [table], directory=tmp_path / "whole").checksum


def test_what_was_begun_of_other_sources_is_thrown_away(table: Path, tmp_path: Path) -> None:
    (tmp_path / "nasbench201.db.partial").write_bytes(b"no database at all")
    assert build(BENCHMARK, [table], directory=tmp_path).trials == ROWS
    subprocess.run([sys.executable, "-c", KILLED, str(table), str(tmp_path)], check=False)
    table.write_text(table.read_text().replace("cifar100", "cifar10"), encoding="utf-8")
    report = build(BENCHMARK, [table], directory=tmp_path)
    assert (report.trials, report.configs) == (ROWS, 1)


def test_one_process_builds_at_a_time(table: Path, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / "nasbench201.lock").open("a+b") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(BenchmarkError, match=r"nasbench201.lock: another process builds this database"):
            build(BENCHMARK, [table], directory=tmp_path)


def test_progress_is_told(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "_ROWS_PER_COMMIT", 10)
    told: list[tuple[str, float]] = []
    build(BENCHMARK, [table], directory=tmp_path, progress=lambda what, done: told.append((what, done)))
    assert list(dict.fromkeys(what for what, _ in told)) == [
        "checksum of trials.csv",
        "reading",
        "indices",
        "checksum",
    ]
    assert all(0 <= done <= 1 for _, done in told)


def test_sources_that_do_not_fit_are_refused(table: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="NAS-Bench-201: expected at least one file to build from, got none"):
        build(BENCHMARK, [])
    with pytest.raises(BenchmarkError, match=r"missing.csv: there is no such file; NAS-Bench-201 is built from: NAS-"):
        build(BENCHMARK, [tmp_path / "missing.csv"])
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(BenchmarkError, match=r"other.csv: is of no layout of NAS-Bench-201 that is known"):
        build(BENCHMARK, [other])
    with pytest.raises(BenchmarkError, match="a file is given twice"):
        build(BENCHMARK, [table, table])
    folder = tmp_path / "file"
    folder.write_text("")
    with pytest.raises(BenchmarkError, match="cannot be built: "):
        build(BENCHMARK, [table], directory=folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("|none~0|,cifar100,200,1,2", r"trials.csv: arch: expected a string such as"),
        ("{},cifar100,200,1,2", "arch: expected the edges"),
        ("CELL,cifar,200,1,2", "dataset: expected one of"),
        ("CELL,cifar10,100,1,2", "num_epochs: expected one of"),
        ("CELL,cifar10,many,1,2", r"trials.csv: invalid literal"),
        ("CELL,cifar10,200,1.5,2", "expected a whole number, got '1.5'"),
        ("CELL,cifar10,200,1,good", "expected a number, got 'good'"),
        ("CELL,cifar10,200,1", r"trials.csv:42: expected 5 fields, got 4"),
    ],
)
def test_bad_rows_of_a_table_are_refused(line: str, message: str, table: Path, tmp_path: Path) -> None:
    line = line.replace("CELL", "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    table.write_text(f"{table.read_text()}{line}\n", encoding="utf-8")
    with pytest.raises(BenchmarkError, match=message):
        build(BENCHMARK, [table], directory=tmp_path)
    assert not (tmp_path / "nasbench201.db").exists()
