"""The network of NAS-Bench-101 is the one that the benchmark trained."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch

import graphnas
from graphnas.benchmarks.nasbench101 import network
from graphnas.benchmarks.nasbench101.architecture import from_decisions, from_matrix, to_decisions
from graphnas.benchmarks.nasbench101.constants import CONV1X1_BN_RELU, CONV3X3_BN_RELU, MAXPOOL3X3

Table = Callable[[str], list[dict[str, str]]]

OPERATION = {"3": CONV3X3_BN_RELU, "1": CONV1X1_BN_RELU, "m": MAXPOOL3X3}


def decisions_of(row: dict[str, str]) -> dict[str, object]:
    size, bits = int(row["num_vertices"]), iter(row["adjacency"])
    matrix = [[int(next(bits)) if target > source else 0 for target in range(size)] for source in range(size)]
    return to_decisions(from_matrix(matrix, ["input", *(OPERATION[name] for name in row["operations"]), "output"]))


def check_parameters(rows: list[dict[str, str]]) -> None:
    space = network.space()
    for row in rows:
        with torch.device("meta"):
            net = space.instantiate(decisions_of(row))
        assert sum(map(torch.Tensor.numel, net.parameters())) == int(row["trainable_parameters"]), row["hash"]


def test_parameters_are_those_of_the_table(shared_table: Table) -> None:
    check_parameters(random.Random(0).sample(shared_table("nasbench101.csv.xz"), 20))


@pytest.mark.slow
def test_parameters_of_two_thousand_modules_are_those_of_the_table(shared_table: Table) -> None:
    check_parameters(random.Random(1).sample(shared_table("nasbench101.csv.xz"), 2_000))


def test_every_point_of_the_space_is_an_architecture() -> None:
    space = network.space()
    rng = random.Random(0)
    for _ in range(200):
        arch = from_decisions(space.domains.sample(rng))
        assert space.contains(to_decisions(arch))


def test_a_network_computes() -> None:
    matrix = [[0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    decisions = to_decisions(from_matrix(matrix, ["input", CONV3X3_BN_RELU, MAXPOOL3X3, "output"]))
    model = network.space().freeze(decisions)
    net = graphnas.to_module(model).eval()
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert torch.isfinite(net(torch.randn(1, 3, 32, 32))).all()


def test_the_space_is_kept_as_json() -> None:
    space = network.space()
    assert graphnas.ModelSpace.from_json(space.to_json() or {}).domains == space.domains
