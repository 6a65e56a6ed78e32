"""The graph hash of NAS-Bench-101."""

from __future__ import annotations

from collections.abc import Callable

from graphnas.benchmarks.nasbench101 import hash_module, infer_num_vertices, nasbench_format_to_architecture_repr
from graphnas.benchmarks.nasbench101.tables import architecture_of


def test_real_modules_have_their_published_hashes(shared_table: Callable[[str], list[dict[str, str]]]) -> None:
    for row in shared_table("nasbench101.csv.xz")[::200]:
        arch = architecture_of(row["adjacency"], row["operations"])
        assert infer_num_vertices(arch) == int(row["num_vertices"])
        assert hash_module(arch) == hash_module(arch, int(row["num_vertices"])) == row["hash"]


def test_a_matrix_with_a_dead_end_is_the_module_without_it() -> None:
    matrix = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert nasbench_format_to_architecture_repr(matrix, ["input", "conv1x1-bn-relu", "maxpool3x3", "output"]) == (
        3,
        {"op1": "conv1x1-bn-relu", "input1": [0], "input2": [1]},
    )
