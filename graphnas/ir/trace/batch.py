"""Models that hold for the batch size of the example only: their source checks it.

A forward that loops over the items of a batch, or branches by their number, was traced for one number. That shows when
types are inferred for another one: guards come out differently. What belongs here is that trial, and the check.
"""

from __future__ import annotations

from dataclasses import replace

from graphnas.errors import VerificationError
from graphnas.ir.effects import is_getitem, live_nodes
from graphnas.ir.graph import Graph, Guard, Node, Operation, OperationKind
from graphnas.ir.infer import FlippedGuard, infer
from graphnas.ir.literal import Argument, FrozenDict, Value
from graphnas.ir.module import Definition, Forward
from graphnas.ir.types import MappingType, ScalarType, SequenceType, TensorType, Type

_TIMES = 3
"""The trial is made with so many times the batch: what divides a batch by a number of parts goes on doing so."""


def check_batch(root: Definition) -> tuple[Definition, str]:
    """Return a root that checks its batch size if it holds for no other, with a note for the report; else as it is."""
    if not _has_guards(root) or len(root.forwards) != 1:
        return root, ""
    graph = root.forwards[0].eval
    tensor = next((item for item in graph.inputs if isinstance(item.type, TensorType) and item.type.shape), None)
    size = tensor.type.shape[0] if tensor is not None and isinstance(tensor.type, TensorType) else 0
    if tensor is None or not size:
        return root, ""
    try:
        found = infer(root, 0, [_with_batch(item.type, size) for item in graph.inputs])
    except VerificationError:
        return root, ""  # an operation refuses another size by itself
    flipped = next((item for item in found.flipped if _matters(item)), None)
    if flipped is None:
        return root, ""
    where = flipped.guard.location or flipped.path or "the root"
    message = f"{root.class_name} was traced for {size} in the first dimension of {tensor.name}, and holds for no other"
    checked = Forward(*(_checked(item, tensor.name, size, message) for item in root.forwards[0].graphs))
    return replace(root, forwards=(checked,)), f"{where}: decides by the batch size, so the source takes {size} only"


def _has_guards(definition: Definition) -> bool:
    """Tell whether any guard hangs on a size, and not only on the number of dimensions, say."""
    return any(_hangs_on_size(graph, guard) for graph in definition.graphs for guard in graph.guards) or any(
        isinstance(child, Definition) and _has_guards(child) for child in definition.children.values()
    )


def _hangs_on_size(graph: Graph, guard: Guard) -> bool:
    pending = [Value(guard.value)]
    while pending:
        node = graph.producer(pending.pop())
        if node is None or node.operation.target in _SIZES:
            return True
        if isinstance(node.type, ScalarType) and node.operation.kind != "field":
            pending += node.inputs
    return False


_SIZES = frozenset({"shape", "size", "stride", "numel", "builtins:len"})
"""Targets of the operations that tell sizes; `operator:getitem` leads to them."""


def _with_batch(kind: Type, size: int) -> Type:
    if isinstance(kind, TensorType):
        is_batch = kind.shape[:1] == (size,)
        return TensorType((size * _TIMES, *kind.shape[1:]), kind.dtype) if is_batch else kind
    if isinstance(kind, SequenceType) and kind.kind != "size":
        return replace(kind, items=tuple(_with_batch(item, size) for item in kind.items))
    if isinstance(kind, MappingType):
        return replace(kind, items=tuple((key, _with_batch(item, size)) for key, item in kind.items))
    return kind


def _matters(flipped: FlippedGuard) -> bool:
    """Tell whether a graph hangs on a guard; a sequence of parts of any length may be passed on as a whole."""
    graph = flipped.graph
    node = graph.producer(Value(flipped.guard.value))
    if node is None or node.operation.target != "builtins:len":
        return True
    parts = node.args[0]
    return any(is_getitem(user) and user.args[0] == parts for user in live_nodes(graph))


def _checked(graph: Graph, name: str, size: int, message: str) -> Graph:
    taken = {item.name for item in graph.inputs} | {node.name for node in graph.nodes}

    def node(base: str, kind: OperationKind, target: str, args: tuple[Argument, ...], found: Type) -> Node:
        own = base
        while own in taken:
            own += "_"
        taken.add(own)
        return Node(own, Operation(kind, target), args, FrozenDict(), found)

    kind = next(item.type for item in graph.inputs if item.name == name)
    shape = SequenceType("size", tuple(map(ScalarType, kind.shape if isinstance(kind, TensorType) else ())))
    whole = node("batch_shape", "field", "shape", (Value(name),), shape)
    number = node("batch_size", "function", "operator:getitem", (whole.value, 0), ScalarType(size))
    fits = node("fits", "function", "operator:eq", (number.value, size), ScalarType(True))
    check = node("check", "function", "torch:_assert", (fits.value, message), ScalarType(None))
    return replace(graph, nodes=(whole, number, fits, check, *graph.nodes))
