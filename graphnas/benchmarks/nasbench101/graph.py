"""The graph hash of NAS-Bench-101: the same for graphs that differ only in the numbers of their vertices.

It is the benchmark's own (Ying et al. 2019, appendix; nasbench/lib/graph_util.py): every vertex starts from its degrees
and label and takes in the hashes of its neighbours, as often as there are vertices. Its files name modules by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import md5
from typing import Any

from graphnas.benchmarks.nasbench101.architecture import from_matrix
from graphnas.benchmarks.nasbench101.constants import INPUT, LABEL2ID, OUTPUT


def hash_module(arch: Mapping[str, Any], num_vertices: int | None = None) -> str:
    """Return the hash of an architecture, as 32 hexadecimal digits.

    It is taken of the graph as it stands: what leads nowhere changes it, so prune first (`checked_arch`).

    Args:
        arch: `op1`, … and `input1`, …, as `checked_arch` returns it.
        num_vertices: Number of vertices, where it is known.

    >>> hash_module({"op1": "conv3x3-bn-relu", "input1": [0], "input2": [1]})
    'b49ac8c578b4561d79ac7087988f1c61'
    """
    size = num_vertices or infer_num_vertices(arch)
    sources: list[Sequence[int]] = [(), *(arch[f"input{vertex}"] for vertex in range(1, size))]
    targets: list[list[int]] = [[] for _ in range(size)]
    for vertex, taken in enumerate(sources):
        for source in taken:
            targets[source].append(vertex)
    labels = [INPUT, *(arch[f"op{vertex}"] for vertex in range(1, size - 1)), OUTPUT]
    hashes = [
        _start(len(targets[vertex]), len(sources[vertex]), LABEL2ID[label]) for vertex, label in enumerate(labels)
    ]
    for _ in range(size):
        hashes = [
            md5(
                f"{''.join(sorted([hashes[source] for source in sources[vertex]]))}|"
                f"{''.join(sorted([hashes[target] for target in targets[vertex]]))}|{hashes[vertex]}".encode()
            ).hexdigest()
            for vertex in range(size)
        ]
    return md5(str(sorted(hashes)).encode()).hexdigest()


def infer_num_vertices(arch: Mapping[str, Any]) -> int:
    """Return the number of vertices of an architecture, input and output included."""
    return sum(name.startswith("input") for name in arch) + 1


def nasbench_format_to_architecture_repr(
    adjacency_matrix: Sequence[Sequence[int]], labeling: Sequence[str]
) -> tuple[int, dict[str, Any]]:
    """Return the number of vertices, and the architecture, of a matrix and the operations of all vertices.

    Raises:
        UnknownArchitectureError: They are no graph of the space.
    """
    arch = from_matrix(adjacency_matrix, labeling)
    return infer_num_vertices(arch), arch


@lru_cache(maxsize=1024)
def _start(targets: int, sources: int, label: int) -> str:
    return md5(str((targets, sources, label)).encode()).hexdigest()
