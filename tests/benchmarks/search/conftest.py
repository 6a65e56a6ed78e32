"""A database of the 25 cells of NAS-Bench-201 in which only two edges are anything but `none`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from graphnas.benchmarks.layouts import Benchmark
from graphnas.benchmarks.nasbench201.architecture import to_string
from graphnas.benchmarks.nasbench201.benchmark import BENCHMARK
from graphnas.benchmarks.nasbench201.constants import EDGES, NONE, PRIMITIVES

HEAD = "arch,dataset,num_epochs,seed,valid_acc,test_acc,training_time,valid_evaluation_time"


@pytest.fixture
def few_cells(installed: Callable[[Benchmark, str], Path]) -> Path:
    """Build it, and let it be the one that is queried."""
    rows = [HEAD]
    for one, other in product(range(5), range(5)):
        arch = {**dict.fromkeys(EDGES, NONE), "0_3": PRIMITIVES[one], "2_3": PRIMITIVES[other]}
        for epochs, more in ((12, 0), (200, 20)):
            valid = 40 + 10 * one + other + more
            rows.append(f"{to_string(arch)},cifar100,{epochs},777,{valid},{valid - 1},{10 * epochs},0.5")
    return installed(BENCHMARK, "\n".join(rows) + "\n")
