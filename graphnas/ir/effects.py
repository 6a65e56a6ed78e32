"""Which nodes may be left out when nobody takes their value.

The lists are of what is known to be free of effects, not of what has them: an operation that is on none of them is
kept. What belongs here is knowledge of operations; walking a model does not.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from graphnas.ir.graph import Graph, Node
from graphnas.ir.lru import LRU
from graphnas.ir.module import Definition
from graphnas.ir.types import MappingType, ScalarType, SequenceType, Type

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
_RANDOM = frozenset(
    {"bernoulli", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "rand"}
    | {"feature_dropout", "gumbel_softmax", "multinomial", "normal", "poisson", "rand_like", "randint", "randn"}
    | {"randint_like", "randn_like", "randperm", "rrelu", "manual_seed", "fractional_max_pool2d"}
    | {"multi_head_attention_forward", "scaled_dot_product_attention"}
)

_KEEPING_STATISTICS = {"batch_norm": ("training", False), "instance_norm": ("use_input_stats", True)}
"""Functions that change their second and third argument: names of the sixth, which says whether, and its default."""


def statistics_of(name: str, args: Sequence[object], kwargs: Mapping[str, object]) -> tuple[object, ...]:
    """Return the arguments with statistics that a call changes, nothing if it changes none."""
    if name not in _KEEPING_STATISTICS:
        return ()
    flag, default = _KEEPING_STATISTICS[name]
    if (args[5] if len(args) > 5 else kwargs.get(flag, default)) is False:
        return ()
    given = (*args[1:3], kwargs.get("running_mean"), kwargs.get("running_var"))
    return tuple(item for item in given if item is not None)


def is_in_place_operator(node: Node) -> bool:
    """Tell whether the node is `x += y` or one of its like."""
    module, _, name = node.operation.target.partition(":")
    return node.operation.kind == "function" and module == "operator" and name in _IN_PLACE


def is_setitem(node: Node) -> bool:
    """Tell whether the node is `x[i] = y`."""
    return node.operation.kind == "function" and node.operation.target == "operator:setitem"


def is_getitem(node: Node) -> bool:
    """Tell whether the node is `x[i]`."""
    return node.operation.kind == "function" and node.operation.target == "operator:getitem"


def is_grad_switch(node: Node) -> bool:
    """Tell whether the node turns the recording of gradients on or off from there on."""
    return node.operation.target == GRAD_SWITCH and len(node.args) == 1 and type(node.args[0]) is bool


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


def is_droppable(node: Node) -> bool:
    """Tell whether a value that nobody takes need not be computed: nothing else comes of it, and no random number."""
    if is_pure(node):
        return True
    operation = node.operation
    name = operation.target.rpartition(":")[2].rpartition(".")[2]
    if (
        operation.kind in ("module", "assign")
        or name in _RANDOM
        or operation.target in (GRAD_SWITCH, "torch:_assert", "torch:_assert_async")
        or is_in_place_operator(node)
        or is_setitem(node)
    ):
        return False
    if statistics_of(name, node.args, node.kwargs):
        return False
    if name.endswith("_") or any(key in node.kwargs for key in ("inplace", "out")):
        return False
    if operation.kind == "function" and not operation.target.startswith(("torch:", "torch.")):
        return False
    return not any(item is True for item in node.args)


def live_nodes(graph: Graph) -> tuple[Node, ...]:
    """Return the nodes that something comes of: the output or an effect. Guards do not keep a node alive.

    They are remembered with the graph.
    """
    known: tuple[Node, ...] | None = vars(graph).get(_LIVE)
    if known is None:
        known = vars(graph)[_LIVE] = _find_live(graph)
    return known


_LIVE = "_live_nodes"


def _find_live(graph: Graph) -> tuple[Node, ...]:
    wanted = {value.name for value in graph.output_values}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if node.name in wanted or not is_droppable(node):
            kept.append(node)
            wanted.update(value.name for value in node.inputs)
    return _without_idle_switches(kept[::-1])


def _without_idle_switches(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Leave out switches of gradients that switch to what is in force, or are undone before any tensor."""
    switches = [node.args[0] for node in nodes if is_grad_switch(node)]
    if not switches:
        return tuple(nodes)
    enabled = switches[-1]  # what is put back at the end was in force at the start
    waiting: Node | None = None
    found: list[Node] = []
    for node in nodes:
        if is_grad_switch(node):
            waiting = node
            continue
        if waiting is not None and not _is_without_gradient(node):
            if waiting.args[0] is not enabled:
                found.append(waiting)
                enabled = waiting.args[0]
            waiting = None
        found.append(node)
    if waiting is not None and waiting.args[0] is not enabled:
        found.append(waiting)
    return tuple(found)


def _is_without_gradient(node: Node) -> bool:
    """Tell whether computing a node records nothing for gradients: it reads an attribute, a size or a number."""
    if node.operation.kind in ("attribute", "training"):
        return True
    return is_pure(node) and isinstance(node.type, ScalarType)
