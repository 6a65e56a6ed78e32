"""The network of NAS-Bench-201 is the one that the benchmark trained."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch

import graphnas
from graphnas.benchmarks.nasbench201 import network
from graphnas.benchmarks.nasbench201.architecture import LABEL, to_decisions
from graphnas.benchmarks.nasbench201.constants import CONV_3X3, EDGES, PRIMITIVES
from graphnas.errors import BenchmarkError
from graphnas.mutators import fixed_arch
from graphnas.mutators.choices import NasBench201Cell

Table = Callable[[str], list[dict[str, str]]]

ALL_OPERATIONS = {f"{LABEL}/{edge}": name for edge, name in zip(EDGES, (*PRIMITIVES, CONV_3X3), strict=True)}


def parameters_of(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_space_has_all_cells() -> None:
    space = network.space()
    assert space.size() == 15_625
    assert list(space.domains) == [f"{LABEL}/{edge}" for edge in EDGES]
    restored = graphnas.ModelSpace.from_json(space.to_json() or {})
    assert restored.domains == space.domains


def test_parameters_are_those_of_the_table(shared_table: Table) -> None:
    space = network.space()
    for row in random.Random(0).sample(shared_table("nasbench201.csv.xz"), 8):
        with torch.device("meta"):
            net = space.instantiate(to_decisions(row["arch_str"]))
        assert parameters_of(net) == int(row["params_c10"])


@pytest.mark.slow
def test_parameters_of_all_cells_are_those_of_the_table(shared_table: Table) -> None:
    rows = shared_table("nasbench201.csv.xz")
    with torch.device("meta"):
        rest = parameters_of(network.NasBench201(num_cells=0))
        for row in rows:
            with fixed_arch(to_decisions(row["arch_str"]), verbose=False):
                cells = [NasBench201Cell(network.operations(), width, width, label=LABEL) for width in (16, 32, 64)]
            assert rest + 5 * sum(map(parameters_of, cells)) == int(row["params_c10"]), row["arch_str"]
    assert len(rows) == 15_625


@pytest.mark.parametrize(("dataset", "classes", "more"), [("cifar100", 100, 5_850), ("imagenet16-120", 120, 7_150)])
def test_other_data_sets_have_other_heads(dataset: str, classes: int, more: int) -> None:
    with torch.device("meta"):
        net = network.space(dataset).instantiate(ALL_OPERATIONS)
        logits = net.eval()(torch.zeros(2, 3, 16, 16))
    assert parameters_of(net) == 73_306 + 2 * 243_040 + 28_000 + more
    assert logits.shape == (2, classes)


@pytest.mark.parametrize(
    ("dataset", "mega"), [("cifar10", 7.78304), ("cifar100", 7.78304 + 0.00576), ("imagenet16-120", 1.95328)]
)
def test_multiply_adds_are_those_of_the_table(dataset: str, mega: float) -> None:
    model = network.space(dataset).freeze(ALL_OPERATIONS)
    scale = 0.25 if dataset == "imagenet16-120" else 1.0
    cells = scale * (2 * 35.38944 + 3.93216)  # the table adds the biases of the head: 10, 100 or 120
    assert graphnas.costs(model).macs == pytest.approx((mega + cells) * 1e6, abs=0.5)


def test_an_output_is_computed_from_zeros_as_from_pixels() -> None:
    decisions = {f"{LABEL}/{edge}": "none" for edge in EDGES}
    net = network.space("imagenet16-120").instantiate(decisions).eval()
    assert net(torch.zeros(2, 3, 16, 16)).shape == (2, 120)


def test_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(BenchmarkError, match=r"dataset: expected one of cifar10-valid, .*, got 'mnist'"):
        network.space("mnist")
