"""Architectures of NAS-Bench-201 in their forms: operation by edge, the benchmark's string, and decisions of its space.

>>> arch = from_string("|nor_conv_3x3~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|skip_connect~2|")
>>> arch["0_1"], arch["2_3"]
('conv_3x3', 'skip_connect')
>>> to_string(arch)
'|nor_conv_3x3~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|skip_connect~2|'
>>> from_decisions(to_decisions(arch)) == arch
True
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from graphnas.benchmarks.nasbench201.constants import EDGES, PRIMITIVES
from graphnas.errors import UnknownArchitectureError

LABEL = "cell"
"""Beginning of the labels of the space; that of the operation from tensor 0 to tensor 1 is `cell/0_1`."""

_LABELS = {f"{LABEL}/{edge}": edge for edge in EDGES}
_PREFIX = "nor_"
_STRING = re.compile(r"\|(\w+)~0\|\+\|(\w+)~0\|(\w+)~1\|\+\|(\w+)~0\|(\w+)~1\|(\w+)~2\|")


def checked_arch(arch: Mapping[str, Any] | str) -> dict[str, str]:
    """Return an architecture, given by edge or as the benchmark's string, by edge in the order of the benchmark.

    Raises:
        UnknownArchitectureError: An edge is unknown or missing, or an operation is none of the benchmark's.
    """
    if isinstance(arch, str):
        return from_string(arch)
    if not isinstance(arch, Mapping):
        raise UnknownArchitectureError(
            f"arch: expected a dictionary of edge to operation or a string of the benchmark, got {arch!r:.100}"
        )
    if set(arch) != set(EDGES):
        raise UnknownArchitectureError(f"arch: expected the edges {', '.join(EDGES)}, got {_listed(arch)}")
    for edge in EDGES:
        if arch[edge] not in PRIMITIVES:
            raise UnknownArchitectureError(
                f"arch: edge {edge!r}: expected one of {', '.join(PRIMITIVES)}, got {arch[edge]!r}"
            )
    return {edge: arch[edge] for edge in EDGES}


def from_string(text: str) -> dict[str, str]:
    """Return the operation of each edge of the benchmark's string, `|nor_conv_3x3~0|+|…|…|+|…|…|…|`.

    Raises:
        UnknownArchitectureError: The string has another form, or names an operation that there is not.
    """
    match = _STRING.fullmatch(text)
    if match is None:
        raise UnknownArchitectureError(
            f"arch: expected a string such as '|none~0|+|none~0|none~1|+|none~0|none~1|none~2|', got {text!r:.200}"
        )
    return checked_arch({edge: name.removeprefix(_PREFIX) for edge, name in zip(EDGES, match.groups(), strict=True)})


def to_string(arch: Mapping[str, Any]) -> str:
    """Return the benchmark's string of an architecture given by edge.

    Raises:
        UnknownArchitectureError: It is none of the space.
    """
    checked = checked_arch(arch)
    names = {edge: f"{_PREFIX}{name}" if name.startswith("conv") else name for edge, name in checked.items()}
    nodes = ("".join(f"{names[edge]}~{edge[0]}|" for edge in EDGES if edge.endswith(node)) for node in "123")
    return "+".join(f"|{inputs}" for inputs in nodes)


def to_decisions(arch: Mapping[str, Any] | str) -> dict[str, Any]:
    """Return the decisions of an architecture in the benchmark's space.

    Raises:
        UnknownArchitectureError: It is none of the space.
    """
    return {f"{LABEL}/{edge}": name for edge, name in checked_arch(arch).items()}


def from_decisions(decisions: Mapping[str, Any]) -> dict[str, str]:
    """Return the architecture, by edge, of decisions of the benchmark's space.

    Raises:
        UnknownArchitectureError: They are no decisions of it.
    """
    if set(decisions) != set(_LABELS):
        raise UnknownArchitectureError(f"decisions: expected the labels {', '.join(_LABELS)}, got {_listed(decisions)}")
    return checked_arch({edge: decisions[label] for label, edge in _LABELS.items()})


def _listed(keys: Mapping[str, Any]) -> str:
    return ", ".join(map(str, keys)) or "none"
