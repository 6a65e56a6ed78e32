"""Which nodes may be left out when nobody takes their value.

The lists are of what is known to be free of effects, not of what has them: an operation that is on none of them is
kept. What belongs here is knowledge of operations; walking a model does not.
"""

from __future__ import annotations

from collections.abc import Container

from graphnas.ir.graph import Graph, Node
from graphnas.ir.literal import values_in
from graphnas.ir.lru import LRU
from graphnas.ir.module import Definition
from graphnas.ir.types import MappingType, SequenceType, Type

GRAD_SWITCH = "torch:set_grad_enabled"
"""The operation that turns the recording of gradients on or off from there on."""

_PURE_KINDS = frozenset({"attribute", "training", "field"})
_PURE_MODULES = frozenset({"operator", "math"})
_PURE_BUILTINS = frozenset(
    {"abs", "bool", "divmod", "float", "getattr", "int", "isinstance", "len", "list", "max", "min", "pow", "round"}
    | {"range", "slice", "str", "sum", "tuple", "type"}
)
_PURE_METHODS = frozenset(
    {"dim", "element_size", "is_complex", "is_contiguous", "is_floating_point", "item", "ndimension", "numel", "size"}
    | {"stride", "storage_offset", "get_device", "nelement", "type"}
)
_IMPURE_OPERATORS = frozenset({"setitem", "delitem", "call", "methodcaller", "setattr"})
_IN_PLACE = frozenset(
    f"i{name}"
    for name in ("add", "and", "concat", "floordiv", "lshift", "matmul", "mod", "mul", "or", "pow", "rshift", "sub")
) | {"itruediv", "ixor"}


def is_pure(node: Node) -> bool:
    """Tell whether nothing but its own value comes of computing `node`.

    Answers False for whatever is not known: modules keep statistics and draw random numbers, and so may functions.
    """
    operation = node.operation
    if operation.kind in _PURE_KINDS:
        return True
    if operation.kind == "method":
        return operation.target in _PURE_METHODS
    if operation.kind != "function":
        return False
    module, _, name = operation.target.partition(":")
    if module in _PURE_MODULES:
        return name not in _IN_PLACE and name not in _IMPURE_OPERATORS
    return module == "builtins" and name in _PURE_BUILTINS


def assigned_paths(definition: Definition) -> frozenset[str]:
    """Return the paths of what a call of a definition, or of a definition below it, binds anew."""
    known = _ASSIGNED.get(definition.key)
    if known is None:
        nodes = [node for graph in definition.graphs for node in graph.nodes if node.operation.kind == "assign"]
        found = {node.operation.target for node in nodes}
        for name, child in definition.children.items():
            if isinstance(child, Definition):
                found |= {f"{name}.{path}" for path in assigned_paths(child)}
        known = frozenset(found)
        _ASSIGNED.put(definition.key, known)
    return known


_ASSIGNED: LRU[frozenset[str]] = LRU(16384)


_SIZE_FIELDS = frozenset({"device", "dtype", "is_complex", "is_floating_point", "itemsize", "layout", "ndim", "shape"})
_SIZE_METHODS = frozenset({"dim", "ndimension", "nelement", "numel", "size"})
RESHAPING = frozenset(
    {"resize_", "resize_as_", "set_", "squeeze_", "swapaxes_", "swapdims_", "t_", "transpose_", "unsqueeze_"}
)
"""Names of methods that change the shape of a tensor in place."""


def is_size(node: Node, sizes: Container[str]) -> bool:
    """Tell whether a node reads metadata of a tensor or computes with such: it gives the same wherever it stands.

    Args:
        node: The node.
        sizes: Names of the earlier nodes of that kind.
    """
    operation = node.operation
    if operation.kind == "field":
        return operation.target in _SIZE_FIELDS
    if operation.kind == "method":
        return operation.target in _SIZE_METHODS
    return operation.kind == "function" and is_pure(node) and all(value.name in sizes for value in node.inputs)


def is_item(node: Node, type: Type | None) -> bool:
    """Tell whether a node takes an item out of a tuple, list or dictionary; `type` is that of its first argument."""
    return node.operation.target == "operator:getitem" and isinstance(type, (SequenceType, MappingType))


def reshapes(node: Node) -> bool:
    """Tell whether a node changes the shape of a tensor in place, so that sizes differ before and after it."""
    return node.operation.kind == "method" and node.operation.target in RESHAPING


def live_nodes(graph: Graph) -> tuple[Node, ...]:
    """Return the nodes that something comes of: the output or an effect. Guards do not keep a node alive."""
    wanted = {value.name for value in graph.output_values}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if node.name in wanted or not is_pure(node):
            kept.append(node)
            wanted.update(value.name for value in values_in((node.args, node.kwargs)))
    return tuple(reversed(kept))
