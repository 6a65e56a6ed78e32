"""The published tables of NAS-Bench-101 as a database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graphnas.benchmarks.build import BuildReport, build
from graphnas.benchmarks.database import DIRECTORY_VARIABLE
from graphnas.benchmarks.nasbench101 import query_nb101_trial_stats
from graphnas.benchmarks.nasbench101.benchmark import BENCHMARK
from graphnas.errors import BenchmarkError

BEST_KNOWN = "00005c142e6f48ac74fdcf73e3439874"


@pytest.fixture
def opened(first_modules: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the first modules be what is queried."""
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(first_modules))
    return first_modules


@pytest.mark.usefixtures("opened")
def test_documented_trials_are_found_with_their_documented_values_and_true_seconds(shared_data: Path) -> None:
    documented = json.loads((shared_data / "nni_documented_queries.json").read_text(encoding="utf-8"))
    expected: list[dict[str, Any]] = documented["blocks"][1]["output"]
    found = list(query_nb101_trial_stats(expected[0]["config"]["arch"], 108, include_intermediates=True))
    assert len(found) == len(expected) == 3
    for row, wanted in zip(found, expected, strict=True):
        assert row.keys() == wanted.keys()
        assert row["config"] | {"id": 0} == wanted["config"] | {"id": 0}
        assert row["training_time"] == pytest.approx(wanted["training_time"] / 60)
        for field in ("train_acc", "valid_acc", "test_acc", "parameters"):
            assert row[field] == pytest.approx(wanted[field])
        for epoch, wanted_epoch in zip(row["intermediates"], wanted["intermediates"], strict=True):
            assert epoch == pytest.approx(wanted_epoch | {"id": epoch["id"]})


@pytest.mark.usefixtures("opened")
def test_what_tables_tell_of_one_training_is_kept_apart_from_means(
    shared_table: Callable[[str], list[dict[str, str]]],
) -> None:
    one_run = {row["hash"]: row for row in shared_table("nasbench101_valid_30k.csv.xz")[:3000]}
    means = shared_table("nasbench101.csv.xz")[:3000]
    by_hash: dict[str, list[dict[str, Any]]] = {row["hash"]: [] for row in means}
    for row in query_nb101_trial_stats(None, 108):
        by_hash[row["config"]["hash"]].append(row)
    assert {len(trials) for trials in by_hash.values()} == {1, 3}
    for row in means:
        trials = by_hash[row["hash"]]
        mean = sum(trial["test_acc"] for trial in trials) / len(trials)
        assert mean == pytest.approx(100 * float(row["test_acc_108"]), abs=3e-4)
        times = [trial["training_time"] for trial in trials if trial["training_time"] is not None]
        assert float(one_run[row["hash"]]["training_time_108_s"]) == pytest.approx(times[0]) or len(trials) == 3
    shorter = [row for row in query_nb101_trial_stats(None, 36) if row["test_acc"] is None]
    assert len(shorter) == 3000
    assert all(row["valid_acc"] is not None and row["training_time"] is None for row in shorter)


def test_a_row_whose_graph_is_not_that_of_its_hash_is_refused(first_modules: Path, tmp_path: Path) -> None:
    header, row = (first_modules / "modules.csv").read_text().splitlines()[:2]
    (tmp_path / "modules.csv").write_text(f"{header}\n{row.replace('3m331', '3m313')}\n")
    with pytest.raises(BenchmarkError, match=rf"row 1: expected the graph of {BEST_KNOWN}, got that of "):
        build(BENCHMARK, [tmp_path / "modules.csv"], directory=tmp_path)


def test_tables_that_need_another_are_refused_without_it(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"by their hashes in nasbench101.csv.xz; give that table as well"):
        build(BENCHMARK, [shared_data / "nasbench101_runs_3258.csv.gz"], directory=tmp_path)


@pytest.mark.slow
def test_the_whole_benchmark_meets_the_published_facts(whole: BuildReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(whole.path.parent))
    with sqlite3.connect(whole.path) as connection:
        facts = list(BENCHMARK.facts(connection))
    assert [(fact.found, fact.holds) for fact in facts] == [("423,624", True), (None, None), ("94.32 %", True)]
    modules = {row["config"]["hash"] for row in query_nb101_trial_stats(None, 108, reduction="mean")}
    assert len(modules) == 423_624
