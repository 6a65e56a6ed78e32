"""Queries of NAS-Bench-201, on a small table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graphnas.benchmarks.database import DIRECTORY_VARIABLE
from graphnas.benchmarks.nasbench201 import (
    PRIMITIVES,
    Nb201TrialConfig,
    Nb201TrialStats,
    Table,
    query_nb201_trial_stats,
)
from graphnas.errors import BenchmarkError, UnknownArchitectureError

NOTHING = dict.fromkeys(("2_3", "1_3", "0_3", "1_2", "0_2", "0_1"), "none")

pytestmark = pytest.mark.usefixtures("small")


def test_a_trial_is_a_dictionary_of_all_fields_with_its_configuration_inside() -> None:
    first, second = query_nb201_trial_stats(NOTHING, 200, "cifar100")
    assert first == {
        "id": 1,
        "config": {
            "id": 1,
            "arch": {"0_1": "none", "0_2": "none", "0_3": "none", "1_2": "none", "1_3": "none", "2_3": "none"},
            "num_epochs": 200,
            "num_channels": 16,
            "num_cells": 5,
            "dataset": "cifar100",
        },
        "seed": 777,
        "train_acc": 1.0,
        "valid_acc": 2.0,
        "test_acc": 3.0,
        "ori_test_acc": None,
        "train_loss": None,
        "valid_loss": None,
        "test_loss": None,
        "ori_test_loss": None,
        "parameters": 0.07,
        "latency": None,
        "flops": None,
        "training_time": 1000.0,
        "valid_evaluation_time": 0.5,
        "test_evaluation_time": None,
        "ori_test_evaluation_time": None,
    }
    assert (second["id"], second["seed"], second["config"]["id"]) == (2, 888, 1)


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ((None, None, None), [1, 2, 3, 4]),
        ((None, 200, None), [1, 2, 4]),
        ((None, None, "cifar100"), [1, 2, 3]),
        ((None, None, "ImageNet16-120"), [4]),
        ((NOTHING, None, None), [1, 2, 3]),
        (("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", 12, None), [3]),
        ((NOTHING, 12, "cifar10"), []),
    ],
)
def test_none_is_met_by_anything(arguments: tuple[Any, Any, Any], ids: list[int]) -> None:
    assert [row["id"] for row in query_nb201_trial_stats(*arguments)] == ids
    assert [row["id"] for row in query_nb201_trial_stats(*arguments, reduction="none")] == ids


def test_a_mean_is_over_the_trials_of_a_configuration() -> None:
    rows = list(query_nb201_trial_stats(None, None, None, reduction="mean", include_intermediates=True))
    assert [row["config"]["id"] for row in rows] == [1, 2, 3]
    assert [(row["id"], row["seed"]) for row in rows] == [(None, None)] * 3
    assert [row["test_acc"] for row in rows] == [4.0, 1.5, 41.0]
    assert [row["parameters"] for row in rows] == [0.07, 0.07, 0.3]
    assert [row["intermediates"] for row in rows] == [[], [], []]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "cifar"}, "dataset: expected one of 'cifar10-valid', 'cifar10', .* got 'cifar'"),
        ({"num_epochs": 90}, "num_epochs: expected one of 12, 200 or None for any, got 90"),
        ({"num_epochs": True}, "num_epochs: expected one of 12, 200"),
        ({"reduction": "max"}, "reduction: expected None, 'none' or 'mean', got 'max'"),
        ({"arch": {"0_1": "none"}}, "arch: expected the edges 0_1, "),
        ({"arch": NOTHING | {"0_1": "conv_5x5"}}, f"'0_1': expected one of {', '.join(PRIMITIVES)}, got 'conv_5x5'"),
    ],
)
def test_what_the_benchmark_has_not_is_refused_at_the_call(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        query_nb201_trial_stats(**({"arch": None, "num_epochs": None, "dataset": None} | arguments))


def test_an_unreadable_database_is_named_at_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / "elsewhere"))
    with pytest.raises(
        BenchmarkError, match=r"elsewhere/nasbench201.db: .* NAS-Bench-201-v1_1-096897.pth .* bench build"
    ):
        query_nb201_trial_stats(None, None, None)


def test_the_models_answer_queries_of_their_own() -> None:
    query = Nb201TrialStats.select().join(Nb201TrialConfig).where(Nb201TrialConfig.arch == NOTHING)
    rows = list(query.order_by(Nb201TrialStats.id))
    assert [row.test_acc for row in rows] == [3.0, 5.0, 1.5]
    assert rows[0].config.arch["0_1"] == "none"


def test_a_table_gives_the_means_and_the_cost_of_a_cell(small: Path) -> None:
    table = Table.open(small)
    assert table.metrics(NOTHING, "cifar100", 200)["valid_acc"] == 2.5
    assert table.cost_s(NOTHING, "cifar100", 200) == 1000.5
    with pytest.raises(UnknownArchitectureError, match=r"there is no measurement of .* with 12 epochs of cifar10$"):
        table.metrics(NOTHING, "cifar10", 12)
    with pytest.raises(UnknownArchitectureError, match=r"there are no latencies of .* on devices$"):
        table.device_latency_ms(NOTHING)
    with pytest.raises(UnknownArchitectureError, match=r"there are no times of .* with 12 epochs of cifar100$"):
        table.cost_s(NOTHING, "cifar100", 12)
