"""Which nodes may be left out when nobody takes their value.

The lists are of what is known to be free of effects, not of what has them: an operation that is on none of them is
kept. What belongs here is knowledge of operations; walking a model does not.
"""

from __future__ import annotations

from graphnas.ir.graph import Graph, Node
from graphnas.ir.literal import values_in
from graphnas.ir.lru import LRU
from graphnas.ir.module import Definition

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


def live_nodes(graph: Graph) -> tuple[Node, ...]:
    """Return the nodes that something comes of: the output or an effect. Guards do not keep a node alive."""
    wanted = {value.name for value in graph.output_values}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if node.name in wanted or not is_pure(node):
            kept.append(node)
            wanted.update(value.name for value in values_in((node.args, node.kwargs)))
    return tuple(reversed(kept))
