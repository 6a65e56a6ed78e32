"""Architectures of NAS-Bench-101 in all their forms."""

from __future__ import annotations

from typing import Any

import pytest

from graphnas.benchmarks.nasbench101 import architecture
from graphnas.errors import UnknownArchitectureError

CONV, POOL = "conv3x3-bn-relu", "maxpool3x3"
ARCH = {"op1": CONV, "op2": POOL, "input1": [0], "input2": [0, 1], "input3": [0, 2]}
MATRIX = [[0, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
OPERATIONS = ["input", CONV, POOL, "output"]


def chain(length: int) -> list[list[int]]:
    return [[int(target == source + 1) for target in range(length)] for source in range(length)]


def test_every_form_leads_to_every_other() -> None:
    decisions = {
        "cell/num_nodes": 4,
        "cell/op1": CONV,
        "cell/input1": [0],
        "cell/op2": POOL,
        "cell/input2": [0, 1],
        "cell/input3": [0, 2],
    }
    assert architecture.to_matrix(ARCH) == (MATRIX, OPERATIONS)
    assert architecture.from_matrix(MATRIX, OPERATIONS) == ARCH
    assert architecture.to_decisions(ARCH) == decisions
    assert architecture.from_decisions(decisions) == ARCH


def test_the_order_of_inputs_does_not_count_and_one_may_stand_alone() -> None:
    assert architecture.checked_arch({**ARCH, "input1": 0, "input2": [1, 0]}) == ARCH


def test_what_is_not_on_the_way_is_left_out() -> None:
    matrix = [[0, 1, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    arch = architecture.from_matrix(matrix, ["input", CONV, POOL, POOL, "output"])
    assert arch == {"op1": CONV, "input1": [0], "input2": [0, 1]}
    dangling = {**ARCH, "op3": POOL, "input3": [2], "input4": [0, 2]}
    assert architecture.checked_arch(dangling) == ARCH


def test_the_smallest_architecture_has_no_operation() -> None:
    assert architecture.to_matrix({"input1": [0]}) == ([[0, 1], [0, 0]], ["input", "output"])


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ({**ARCH, "op1": "conv5x5"}, "vertex 1: expected one of conv3x3-bn-relu, .*, got 'conv5x5'"),
        ({**ARCH, "input2": [2]}, r"input2: expected a list of vertices from 0 to 1, got \[2\]"),
        ({**ARCH, "input2": []}, "input2: expected a list of vertices"),
        ({**ARCH, "input4": [0]}, "expected op1, op2, .* got op1, op2, input1"),
        ({"op1": CONV}, "expected op1, op2"),
        ("conv", "expected a dictionary of op1"),
    ],
)
def test_a_dictionary_outside_the_space_is_refused(arch: Any, message: str) -> None:
    with pytest.raises(UnknownArchitectureError, match=message):
        architecture.to_decisions(arch)


@pytest.mark.parametrize(
    ("matrix", "operations", "message"),
    [
        (chain(8), ["input", *[CONV] * 6, "output"], "at most 7 vertices, got 8"),
        (
            [[int(j > i) for j in range(6)] for i in range(6)],
            ["input", *[CONV] * 4, "output"],
            "at most 9 edges, got 15",
        ),
        ([[0, 0], [0, 0]], ["input", "output"], "a way from input to output"),
        ([[0, 2], [0, 0]], ["input", "output"], "0 or 1 above the diagonal and 0 elsewhere, got 2 in row 0, column 1"),
        ([[0, 1], [1, 0]], ["input", "output"], "got 1 in row 1, column 0"),
        ([[0, 1]], ["input", "output"], "a square"),
        ([[0, 1], [0, 0]], ["input", CONV], "'output' last, got 'input' and 'conv3x3-bn-relu'"),
    ],
)
def test_a_matrix_outside_the_space_is_refused(matrix: Any, operations: list[str], message: str) -> None:
    with pytest.raises(UnknownArchitectureError, match=message):
        architecture.from_matrix(matrix, operations)


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ({"width": 3}, "expected cell/num_nodes, cell/op1, .* got width"),
        ({"cell/num_nodes": 3, "cell/input1": [0]}, "cell/num_nodes: expected 2, .* got 3"),
    ],
)
def test_decisions_of_another_space_are_refused(decisions: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownArchitectureError, match=message):
        architecture.from_decisions(decisions)
