"""NATS-Bench's space of sizes, built of genuine records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graphnas.benchmarks.build import build
from graphnas.benchmarks.catalogue import find
from graphnas.benchmarks.database import DIRECTORY_VARIABLE
from graphnas.benchmarks.natsbench import query_nats_sss_trial_stats
from graphnas.errors import BenchmarkError

SIZES = "NATS-sss-v1_0-50262-simple"


@pytest.fixture
def built(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Build the database of three networks, and let it be the one that is queried."""
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    return build(find("natsbench_sss"), [shared_data / "samples" / "natsbench" / SIZES]).path


@pytest.mark.usefixtures("built")
def test_genuine_records_are_found_with_their_values() -> None:
    rows = list(query_nats_sss_trial_stats("8:8:8:16:32", 12, "cifar10-valid", include_intermediates=True))
    assert [row["seed"] for row in rows] == [777, 888, 999]
    row = rows[0]
    assert row["config"]["arch"] == [8, 8, 8, 16, 32]
    assert (row["parameters"], row["flops"], row["latency"]) == (0.049202, 6.84065, 0.015300797199716373)
    assert row["training_time"] == pytest.approx(12 * 2.9399166107177734)
    assert row["valid_evaluation_time"] == 1.3633019924163818
    first = row["intermediates"][0]
    assert (first["current_epoch"], first["train_acc"], first["valid_acc"]) == (
        1,
        31.344000002441405,
        37.116000004882814,
    )
    assert [epoch["current_epoch"] for epoch in row["intermediates"]] == list(range(1, 13))
    assert {row["config"]["num_epochs"] for row in query_nats_sss_trial_stats(None, None, None)} == {1, 12, 90}
    means = list(query_nats_sss_trial_stats([8, 8, 8, 16, 32], None, None, reduction="mean"))
    assert len(means) == 12


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("8:8:8:8", None, None), "arch: expected 5 numbers of channels, each of 8, 16, .*, got '8:8:8:8'"),
        (([8, 8, 8, 8, 7], None, None), "arch: expected 5 numbers of channels"),
        (("8:8:8:8:eight", None, None), "arch: expected 5 numbers of channels"),
        ((None, 200, None), "num_epochs: expected one of 1, 12, 90"),
        ((None, None, "svhn"), "dataset: expected one of "),
    ],
)
def test_what_the_benchmark_has_not_is_refused_at_the_call(arguments: tuple[Any, Any, Any], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        query_nats_sss_trial_stats(*arguments)


def test_the_spaces_are_told_apart(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="is of no layout of NAS-Bench-201 that is known"):
        build(find("nasbench201"), [shared_data / "samples" / "natsbench" / SIZES], directory=tmp_path)
