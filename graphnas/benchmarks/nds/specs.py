"""Networks of NDS in their one form, so that what means the same is found by one text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphnas.benchmarks.database import canonical_json
from graphnas.benchmarks.nds.constants import OPERATIONS
from graphnas.errors import UnknownArchitectureError

_CELLS = {"num_nodes_normal": int, "num_nodes_reduce": int, "depth": int, "width": int, "aux": bool, "drop_prob": float}
_STAGES = {"ds": int, "ws": int, "ss": int, "bot_muls": float, "num_gs": int}
_OPTIONAL = ("bot_muls", "num_gs")
_KINDS = ("normal", "reduce")


def checked_model_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes of a network, numbers by their types; empty lists are left out.

    Raises:
        UnknownArchitectureError: It has other fields than NDS, or a value is of another type.
    """
    if not isinstance(spec, Mapping):
        raise UnknownArchitectureError(f"model_spec: expected a dictionary, got {spec!r:.100}")
    given = {name: value for name, value in spec.items() if not (name in _OPTIONAL and not value)}
    of_cells = "depth" in given
    types: Mapping[str, type] = _CELLS if of_cells else _STAGES
    needed = set(types) if of_cells else set(types) - set(_OPTIONAL)
    if not needed <= set(given) <= set(types):
        raise UnknownArchitectureError(
            f"model_spec: expected {', '.join(_CELLS)}, or {', '.join(_STAGES)}, got {', '.join(map(str, given))}"
        )
    if of_cells:
        return {name: _number(f"model_spec: {name}", given[name], types[name]) for name in types}
    return {name: _numbers(f"model_spec: {name}", given[name], types[name]) for name in types if name in given}


def checked_cell_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of a network; nothing for networks that have none.

    Raises:
        UnknownArchitectureError: It has other fields than NDS, an operation is none of it, or an input is not there.
    """
    if not isinstance(spec, Mapping):
        raise UnknownArchitectureError(f"cell_spec: expected a dictionary, got {spec!r:.100}")
    if not spec:
        return {}
    checked: dict[str, Any] = {}
    for kind in _KINDS:
        for node in range(node_count(spec, kind)):
            for side in "xy":
                name, source = f"{kind}_{node}_op_{side}", f"{kind}_{node}_input_{side}"
                if spec.get(name) not in OPERATIONS:
                    raise UnknownArchitectureError(
                        f"cell_spec: {name}: expected one of {', '.join(OPERATIONS)}, got {spec.get(name)!r}"
                    )
                checked[name] = spec[name]
                checked[source] = _source(source, spec.get(source), node + 2)
        concat = f"{kind}_concat"
        nodes = node_count(spec, kind) + 2
        checked[concat] = [_source(concat, item, nodes) for item in _list(concat, spec.get(concat))]
    if unknown := sorted(map(str, set(spec) - set(checked))):
        raise UnknownArchitectureError(f"cell_spec: there is nothing such as {', '.join(unknown)} in NDS")
    return checked


def cell_key(spec: Mapping[str, Any]) -> str:
    """Return one text for all cells that mean the same as a checked one: a node adds what its two inputs give."""
    meant: dict[str, Any] = {}
    for kind in _KINDS if spec else ():
        meant[kind] = [
            sorted([spec[f"{kind}_{node}_input_{side}"], spec[f"{kind}_{node}_op_{side}"]] for side in "xy")
            for node in range(node_count(spec, kind))
        ]
        meant[f"{kind}_concat"] = sorted(spec[f"{kind}_concat"])
    return canonical_json(meant)


def node_count(spec: Mapping[str, Any], kind: str) -> int:
    """Return how many nodes a cell has, by the operations that are named."""
    count = 0
    while f"{kind}_{count}_op_x" in spec:
        count += 1
    return count


def _number(where: str, value: Any, kind: type) -> Any:
    if kind is bool:
        if isinstance(value, bool):
            return value
    elif isinstance(value, int | float) and not isinstance(value, bool) and kind(value) == value:
        return kind(value)
    raise UnknownArchitectureError(f"{where}: expected {kind.__name__}, got {value!r:.100}")


def _numbers(where: str, value: Any, kind: type) -> list[Any]:
    return [_number(where, item, kind) for item in _list(where, value)]


def _list(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple) or not value:
        raise UnknownArchitectureError(f"{where}: expected a list, got {value!r:.100}")
    return list(value)


def _source(where: str, value: Any, count: int) -> int:
    if type(value) is not int or not 0 <= value < count:
        raise UnknownArchitectureError(
            f"cell_spec: {where}: expected a number from 0 to {count - 1}, got {value!r:.100}"
        )
    return value
