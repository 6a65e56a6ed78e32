"""Queries of NAS-Bench-101, on a small table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graphnas.benchmarks.nasbench101 import (
    CONV3X3_BN_RELU,
    MAXPOOL3X3,
    Nb101TrialConfig,
    Nb101TrialStats,
    Table,
    query_nb101_trial_stats,
)
from graphnas.errors import BenchmarkError, UnknownArchitectureError

STORED = {"op1": CONV3X3_BN_RELU, "op2": MAXPOOL3X3, "input1": [0], "input2": [0], "input3": [1, 2]}
RENUMBERED = {"op1": MAXPOOL3X3, "op2": CONV3X3_BN_RELU, "input1": [0], "input2": [0], "input3": [1, 2]}
WITH_DEAD_END = {**STORED, "op3": CONV3X3_BN_RELU, "input3": [0], "input4": [2, 1]}

pytestmark = pytest.mark.usefixtures("small")


def test_a_trial_is_a_dictionary_of_all_fields_with_its_configuration_inside() -> None:
    first, _ = query_nb101_trial_stats(STORED, 108, include_intermediates=True)
    assert first == {
        "id": 1,
        "config": {
            "id": 1,
            "arch": STORED,
            "num_vertices": 4,
            "hash": first["config"]["hash"],
            "num_epochs": 108,
        },
        "train_acc": 99.0,
        "valid_acc": 93.0,
        "test_acc": 92.0,
        "parameters": 2.5,
        "training_time": 1000.0,
        "intermediates": [],
    }


@pytest.mark.parametrize(
    ("arch", "isomorphism", "ids"),
    [
        (STORED, True, [1, 2, 3]),
        (STORED, False, [1, 2, 3]),
        (STORED | {"input3": [2, 1]}, False, [1, 2, 3]),
        (RENUMBERED, True, [1, 2, 3]),
        (RENUMBERED, False, []),
        (WITH_DEAD_END, True, [1, 2, 3]),
        (WITH_DEAD_END, False, [1, 2, 3]),
        ({"input1": [0]}, True, [4]),
        (None, True, [1, 2, 3, 4]),
        (None, False, [1, 2, 3, 4]),
    ],
)
def test_modules_are_found_by_what_they_mean(arch: dict[str, Any] | None, isomorphism: bool, ids: list[int]) -> None:
    assert [row["id"] for row in query_nb101_trial_stats(arch, None, isomorphism)] == ids


def test_a_mean_is_over_the_trials_of_a_configuration() -> None:
    rows = list(query_nb101_trial_stats(None, None, reduction="mean"))
    assert [(row["id"], row["config"]["id"], row["test_acc"]) for row in rows] == [
        (None, 1, 91.5),
        (None, 2, 40.0),
        (None, 3, 60.5),
    ]


CHAIN = {f"op{vertex}": MAXPOOL3X3 for vertex in range(1, 7)} | {
    f"input{vertex}": [vertex - 1] for vertex in range(1, 8)
}
DENSE = {f"op{vertex}": MAXPOOL3X3 for vertex in range(1, 4)} | {
    f"input{vertex}": list(range(vertex)) for vertex in range(1, 5)
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_epochs": 100}, "num_epochs: expected one of 4, 12, 36, 108 or None for any, got 100"),
        ({"reduction": "median"}, "reduction: expected None, 'none' or 'mean', got 'median'"),
        ({"arch": CHAIN}, "expected at most 7 vertices, got 8"),
        ({"arch": DENSE}, "expected at most 9 edges, got 10"),
        ({"arch": STORED | {"op1": "conv5x5"}}, "vertex 1: expected one of .*, got 'conv5x5'"),
        ({"arch": STORED | {"input3": [3]}}, "input3: expected a list of vertices from 0 to 2, got "),
    ],
)
def test_what_the_benchmark_has_not_is_refused_at_the_call(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        query_nb101_trial_stats(**({"arch": None, "num_epochs": None} | arguments))


def test_the_models_answer_queries_of_their_own() -> None:
    query = Nb101TrialStats.select().join(Nb101TrialConfig).where(Nb101TrialConfig.arch == STORED)
    assert [row.test_acc for row in query.order_by(Nb101TrialStats.id)] == [92.0, 91.0, 40.0]


def test_a_table_gives_the_means_and_the_cost_of_a_module(small: Path) -> None:
    table = Table.open(small)
    assert table.metrics(RENUMBERED, 108)["valid_acc"] == 92.0
    assert table.cost_s(STORED, 108) == 1050.0
    with pytest.raises(UnknownArchitectureError, match=r"there is no measurement of .* with 12 epochs$"):
        table.metrics(STORED, 12)
    with pytest.raises(UnknownArchitectureError, match=r"there is no training time of .* with 4 epochs$"):
        table.cost_s(STORED, 4)
