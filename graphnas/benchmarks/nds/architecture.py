"""Networks of NDS as its files write them, a `model_spec` and a `cell_spec`, and as decisions of their spaces.

>>> decisions = to_decisions("resnet", {"ds": [1, 12, 12, 12], "ss": [1, 1, 2, 2], "ws": [16, 24, 24, 40]})
>>> decisions["depth_1"], decisions["width_3"]
(12, 40)
>>> from_decisions("resnet", decisions)
({'ds': [1, 12, 12, 12], 'ss': [1, 1, 2, 2], 'ws': [16, 24, 24, 40]}, {})
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphnas.benchmarks.nds.designs import (
    CELL_DESIGNS,
    DESIGNED,
    STAGED_DESIGNS,
    STEM_WIDTH,
    STRIDES,
    CellDesign,
    check_proposer,
)
from graphnas.errors import UnknownArchitectureError

_INPUTS = 2
_SIDES = ("x", "y")
_LISTS = {"ds": "depth", "ws": "width", "bot_muls": "bottleneck", "num_gs": "groups"}
_STEM = {"ds": 1, "ws": STEM_WIDTH, "bot_muls": 0.0, "num_gs": 1}


def to_decisions(
    proposer: str, model_spec: Mapping[str, Any], cell_spec: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the decisions of a network in the space of its proposer.

    Raises:
        UnknownArchitectureError: It is none of the space.
        BenchmarkError: There is no such proposer.
    """
    read = _cell_decisions if _is_cell(proposer) else _stage_decisions
    try:
        decisions = read(proposer, model_spec, cell_spec or {})
        spec, cells = from_decisions(proposer, decisions)
    except (KeyError, TypeError, IndexError) as error:
        if isinstance(error, UnknownArchitectureError):
            raise
        raise UnknownArchitectureError(
            f"{proposer}: expected the fields of a published record, got {dict(model_spec)} and {cell_spec}"
        ) from error
    for name, given, built in (("model_spec", model_spec, spec), ("cell_spec", cell_spec or {}, cells)):
        for key in dict.fromkeys((*built, *given)):
            if given.get(key) != built.get(key):
                raise UnknownArchitectureError(
                    f"{proposer}: {name}: {key!r}: expected {built.get(key)!r}, got {given.get(key)!r}"
                )
    return decisions


def from_decisions(proposer: str, decisions: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return `model_spec` and `cell_spec` of decisions of the space of a proposer.

    Raises:
        UnknownArchitectureError: They are no decisions of it.
        BenchmarkError: There is no such proposer.
    """
    write = _cell_specs if _is_cell(proposer) else _stage_specs
    try:
        return write(proposer, decisions)
    except KeyError as error:
        raise UnknownArchitectureError(
            f"{proposer}: expected a decision for {error.args[0]!r}, got {', '.join(decisions) or 'none'}"
        ) from error


def _is_cell(proposer: str) -> bool:
    check_proposer(proposer, DESIGNED)
    return proposer in CELL_DESIGNS


def _cell_decisions(proposer: str, model_spec: Mapping[str, Any], cell_spec: Mapping[str, Any]) -> dict[str, Any]:
    decisions = {"width": model_spec["width"], "depth": model_spec["depth"]}
    for cell in ("normal", "reduce"):
        for node in range(CELL_DESIGNS[proposer].nodes):
            for place, side in enumerate(_SIDES):
                decisions[f"{cell}/input_{node + _INPUTS}_{place}"] = cell_spec[f"{cell}_{node}_input_{side}"]
                decisions[f"{cell}/op_{node + _INPUTS}_{place}"] = cell_spec[f"{cell}_{node}_op_{side}"]
    return decisions


def _cell_specs(proposer: str, decisions: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    design = CELL_DESIGNS[proposer]
    model_spec = {
        "num_nodes_normal": design.nodes,
        "num_nodes_reduce": design.nodes,
        "depth": decisions["depth"],
        "width": decisions["width"],
        "aux": False,
        "drop_prob": 0.0,
    }
    cell_spec: dict[str, Any] = {}
    for cell in ("normal", "reduce"):
        for node in range(design.nodes):
            for place, side in enumerate(_SIDES):
                cell_spec[f"{cell}_{node}_op_{side}"] = decisions[f"{cell}/op_{node + _INPUTS}_{place}"]
                cell_spec[f"{cell}_{node}_input_{side}"] = decisions[f"{cell}/input_{node + _INPUTS}_{place}"]
        cell_spec[f"{cell}_concat"] = _joined(design, cell, cell_spec)
    return model_spec, cell_spec


def _joined(design: CellDesign, cell: str, cell_spec: Mapping[str, Any]) -> list[int]:
    """Return the nodes that make the output of a cell."""
    taken = {cell_spec[f"{cell}_{node}_input_{side}"] for node in range(design.nodes) for side in _SIDES}
    nodes = range(_INPUTS, _INPUTS + design.nodes)
    return [node for node in nodes if design.merge == "all" or node not in taken]


def _stage_decisions(proposer: str, model_spec: Mapping[str, Any], cell_spec: Mapping[str, Any]) -> dict[str, Any]:
    fields = [field for field in _LISTS if field in model_spec]
    return {
        f"{_LISTS[field]}_{place}": model_spec[field][place] for place in range(1, len(STRIDES) + 1) for field in fields
    }


def _stage_specs(proposer: str, decisions: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    is_bottleneck = STAGED_DESIGNS[proposer].family == "residual_bottleneck"
    fields = [*(["bot_muls"] if is_bottleneck else []), "ds", *(["num_gs"] if is_bottleneck else [])]
    spec: dict[str, Any] = {
        field: [_STEM[field], *(decisions[f"{_LISTS[field]}_{place}"] for place in range(1, len(STRIDES) + 1))]
        for field in fields
    }
    spec["ss"] = [1, *STRIDES]
    spec["ws"] = [STEM_WIDTH, *(decisions[f"width_{place}"] for place in range(1, len(STRIDES) + 1))]
    return spec, {}
