"""Architectures of NAS-Bench-101 in their forms: matrix and operations, NNI's dictionary, and decisions of its space.

A dictionary holds `op1`, … of the vertices between input and output, and `input1`, …, the list of vertices before that
each takes, up to the output.

>>> matrix = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
>>> arch = from_matrix(matrix, ["input", "conv3x3-bn-relu", "maxpool3x3", "output"])
>>> arch  # vertex 2 led nowhere
{'op1': 'conv3x3-bn-relu', 'input1': [0], 'input2': [1]}
>>> to_matrix(arch)
([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ['input', 'conv3x3-bn-relu', 'output'])
>>> to_decisions(arch)
{'cell/num_nodes': 3, 'cell/op1': 'conv3x3-bn-relu', 'cell/input1': [0], 'cell/input2': [1]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphnas.benchmarks.nasbench101.constants import INPUT, MAX_EDGES, MAX_VERTICES, OPERATIONS, OUTPUT
from graphnas.errors import UnknownArchitectureError

LABEL = "cell"
"""Beginning of the labels of the space."""

_COUNT = f"{LABEL}/num_nodes"


def checked_arch(arch: Mapping[str, Any]) -> dict[str, Any]:
    """Return an architecture with sorted inputs, operations first, and without vertices that lead nowhere.

    Raises:
        UnknownArchitectureError: It is no graph of the space.
    """
    if not isinstance(arch, Mapping):
        raise UnknownArchitectureError(f"arch: expected a dictionary of op1, ..., input1, ..., got {arch!r:.200}")
    vertices = _vertices(arch)
    expected = {f"op{vertex}" for vertex in range(1, vertices - 1)} | {
        f"input{vertex}" for vertex in range(1, vertices)
    }
    if vertices < 2 or set(arch) != expected:
        raise UnknownArchitectureError(
            "arch: expected op1, op2, ... of the vertices between input and output, and input1, input2, ... up to the "
            f"output, got {', '.join(map(str, arch)) or 'none'}"
        )
    sources = [_checked_sources(arch[f"input{vertex}"], vertex) for vertex in range(1, vertices)]
    return from_matrix(*_matrix(arch, sources))


def from_matrix(matrix: Sequence[Sequence[int]], operations: Sequence[str]) -> dict[str, Any]:
    """Return the architecture of an adjacency matrix, without vertices that lead nowhere or are not reached.

    Args:
        matrix: Upper triangular; row `i`, column `j` is 1 where vertex `j` takes vertex `i`.
        operations: Of each vertex, `input` and `output` included.

    Raises:
        UnknownArchitectureError: The matrix or an operation is none of the space, there is no way from input to
            output, or there are too many vertices or edges.
    """
    rows, labels = [list(row) for row in matrix], list(operations)
    _check_matrix(rows, labels)
    kept = _on_the_way(rows)
    if len(kept) < 2:
        raise UnknownArchitectureError(f"matrix: expected a way from input to output, got {rows}")
    if len(kept) > MAX_VERTICES:
        raise UnknownArchitectureError(f"matrix: expected at most {MAX_VERTICES} vertices, got {len(kept)}")
    sources = [[place for place, source in enumerate(kept) if rows[source][target]] for target in kept[1:]]
    edges = sum(map(len, sources))
    if edges > MAX_EDGES:
        raise UnknownArchitectureError(f"matrix: expected at most {MAX_EDGES} edges, got {edges}")
    arch: dict[str, Any] = {f"op{vertex}": labels[kept[vertex]] for vertex in range(1, len(kept) - 1)}
    arch.update({f"input{vertex}": taken for vertex, taken in enumerate(sources, 1)})
    return arch


def to_matrix(arch: Mapping[str, Any]) -> tuple[list[list[int]], list[str]]:
    """Return adjacency matrix and operations of an architecture; vertices that lead nowhere are left out.

    Raises:
        UnknownArchitectureError: It is none of the space.
    """
    checked = checked_arch(arch)
    return _matrix(checked, [checked[f"input{vertex}"] for vertex in range(1, _vertices(checked))])


def to_decisions(arch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the decisions of an architecture in the benchmark's space, in the order of its labels.

    Raises:
        UnknownArchitectureError: It is none of the space.
    """
    checked = checked_arch(arch)
    vertices = _vertices(checked)
    decisions: dict[str, Any] = {_COUNT: vertices}
    for vertex in range(1, vertices):
        for key in (f"op{vertex}", f"input{vertex}"):
            if key in checked:
                decisions[f"{LABEL}/{key}"] = checked[key]
    return decisions


def from_decisions(decisions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the architecture of decisions of the benchmark's space, without vertices that lead nowhere.

    Raises:
        UnknownArchitectureError: They are no decisions of it.
    """
    arch = {
        label.removeprefix(f"{LABEL}/"): value
        for label, value in decisions.items()
        if label.startswith(f"{LABEL}/") and label != _COUNT
    }
    if len(arch) + 1 != len(decisions) or _COUNT not in decisions:
        raise UnknownArchitectureError(
            f"decisions: expected {_COUNT}, {LABEL}/op1, ... and {LABEL}/input1, ..., got {', '.join(decisions)}"
        )
    count = _vertices(arch)
    if decisions[_COUNT] != count:
        raise UnknownArchitectureError(
            f"decisions: {_COUNT}: expected {count}, the number of vertices that have decisions, got "
            f"{decisions[_COUNT]!r}"
        )
    return checked_arch(arch)


def _vertices(arch: Mapping[str, Any]) -> int:
    """Return the number of vertices: all but the input have inputs, all but the first and the last an operation."""
    return (len(arch) + 3) // 2


def _matrix(arch: Mapping[str, Any], sources: Sequence[Sequence[int]]) -> tuple[list[list[int]], list[str]]:
    """Return adjacency matrix and operations, with the vertices that each one after the input takes."""
    vertices = len(sources) + 1
    matrix = [[0] * vertices for _ in range(vertices)]
    for vertex, taken in enumerate(sources, 1):
        for source in taken:
            matrix[source][vertex] = 1
    return matrix, [INPUT, *(arch[f"op{vertex}"] for vertex in range(1, vertices - 1)), OUTPUT]


def _checked_sources(given: Any, vertex: int) -> list[int]:
    sources = [given] if type(given) is int else list(given) if isinstance(given, list | tuple) else None
    if not sources or any(type(source) is not int or not 0 <= source < vertex for source in sources):
        raise UnknownArchitectureError(
            f"arch: input{vertex}: expected a list of vertices from 0 to {vertex - 1}, got {given!r:.100}"
        )
    return sources


def _check_matrix(rows: list[list[int]], labels: list[str]) -> None:
    size = len(rows)
    if size < 2 or any(len(row) != size for row in rows) or len(labels) != size:
        raise UnknownArchitectureError(
            f"matrix: expected a square with a row for each of {len(labels)} operations, got {rows}"
        )
    for source, row in enumerate(rows):
        for target, edge in enumerate(row):
            if edge not in (0, 1) or (edge and target <= source):
                raise UnknownArchitectureError(
                    f"matrix: expected 0 or 1 above the diagonal and 0 elsewhere, got {edge!r} in row {source}, column "
                    f"{target}"
                )
    if labels[0] != INPUT or labels[-1] != OUTPUT:
        raise UnknownArchitectureError(
            f"operations: expected {INPUT!r} first and {OUTPUT!r} last, got {labels[0]!r} and {labels[-1]!r}"
        )
    for place, label in enumerate(labels[1:-1], 1):
        if label not in OPERATIONS:
            raise UnknownArchitectureError(
                f"operations: vertex {place}: expected one of {', '.join(OPERATIONS)}, got {label!r}"
            )


def _on_the_way(rows: list[list[int]]) -> list[int]:
    """Return the vertices that lie on a way from the first to the last one."""
    size = len(rows)
    reached, leading = {0}, {size - 1}
    for vertex in range(1, size):
        if any(rows[source][vertex] for source in reached):
            reached.add(vertex)
    for vertex in range(size - 2, -1, -1):
        if any(rows[vertex][target] for target in leading):
            leading.add(vertex)
    return sorted(reached & leading)
