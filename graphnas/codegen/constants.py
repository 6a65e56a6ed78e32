"""The constants of a definition: where they stand, and the definition with others in their place.

One walk serves three purposes, so that they cannot disagree on the order: collecting constants, putting constructor
parameters in their place, and the *skeleton*, a key of everything else that a class is made of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from graphnas.ir.graph import Graph, Node
from graphnas.ir.keyed import digest
from graphnas.ir.literal import Argument, FrozenDict, FrozenList, Literal, Value
from graphnas.ir.module import BufferSpec, Child, Definition, Forward, ModuleSpec, ParameterSpec
from graphnas.ir.types import ScalarType, SequenceType, TensorType, Type


@dataclass(frozen=True, slots=True)
class Site:
    """Where a constant stands.

    Attributes:
        name: Its keyword, or what comes closest.
        owner: The child or variable that it belongs to.
        in_graph: Whether it stands in a graph: an expression, the initialisation or a forward.
        in_forward: Whether it stands in a forward.
    """

    name: str
    owner: str
    in_graph: bool = False
    in_forward: bool = False


Replace = Callable[[Site, Literal], Literal]
NamesOf = Callable[[ModuleSpec], tuple[str, ...]]


def map_constants(definition: Definition, change: Replace, names_of: NamesOf) -> Definition:
    """Return a definition with `change(site, value)` in place of each constant, called in a fixed order."""
    children = FrozenDict((name, _child(child, name, change, names_of)) for name, child in definition.children.items())
    base = None if definition.base is None else _leaf(definition.base, "", change, names_of)
    parameters = FrozenDict((name, _parameter(item, name, change)) for name, item in definition.parameters.items())
    buffers = FrozenDict((name, _buffer(item, name, change)) for name, item in definition.buffers.items())
    init = _graph(definition.init, "init", change, in_forward=False)
    forwards = tuple(
        Forward(*(_graph(item, "", change, in_forward=True) for item in forward.graphs))
        for forward in definition.forwards
    )
    return replace(
        definition,
        children=children,
        parameters=parameters,
        buffers=buffers,
        forwards=forwards,
        init=init,
        base=base,
    )


def skeleton(definition: Definition, names_of: NamesOf) -> str:
    """Return a key of a definition, its constants left out, and all that does not show in a class."""
    bare = map_constants(definition, lambda site, value: "?", names_of)
    return digest("graphnas-skeleton", _skeleton(bare))


def _child(child: Child, name: str, change: Replace, names_of: NamesOf) -> Child:
    if isinstance(child, Definition):
        return map_constants(child, change, names_of)
    return _leaf(child, name, change, names_of)


def _leaf(spec: ModuleSpec, name: str, change: Replace, names_of: NamesOf) -> ModuleSpec:
    known = names_of(spec)
    args = tuple(
        _whole(item, Site(known[index] if index < len(known) else "value", name), change)
        for index, item in enumerate(spec.args)
    )
    kwargs = FrozenDict((key, _whole(item, Site(key, name), change)) for key, item in spec.kwargs.items())
    return replace(spec, args=args, kwargs=kwargs)


def _whole(item: Argument, site: Site, change: Replace) -> Argument:
    if type(item) is tuple and len(item) == 1:
        return (change(site, item[0]),)
    return change(site, item)


def _parameter(item: ParameterSpec, name: str, change: Replace) -> ParameterSpec:
    if item.initial is not None:
        return replace(item, initial=_graph(item.initial, name, change, in_forward=False))
    shape = tuple(change(Site("size", name), size) for size in item.type.shape)
    return replace(item, type=TensorType(shape, item.type.dtype))


def _buffer(item: BufferSpec, name: str, change: Replace) -> BufferSpec:
    if item.initial is None:
        return item
    return replace(item, initial=_graph(item.initial, name, change, in_forward=False))


def _graph(graph: Graph, owner: str, change: Replace, *, in_forward: bool) -> Graph:
    types = {**{item.name: item.type for item in graph.inputs}, **{node.name: node.type for node in graph.nodes}}
    nodes = tuple(_node(node, owner, change, in_forward, types) for node in graph.nodes)
    return replace(graph, nodes=nodes)


def _node(node: Node, owner: str, change: Replace, in_forward: bool, types: dict[str, Type]) -> Node:
    target = node.operation.target
    source = node.args[0] if target == "operator:getitem" else None
    if isinstance(source, Value) and (type(node.args[1]) is int or not isinstance(types[source.name], TensorType)):
        return node  # which item is taken says how the value is unpacked
    label = node.hint or owner or target.rpartition(":")[2].rpartition(".")[2]
    name = "size" if target in ("view", "reshape", "expand", "torch:reshape") else "value"

    def visit(item: Argument, name: str) -> Argument:
        if type(item) in (int, float, str):
            return change(Site(name, label, True, in_forward), item)
        if type(item) is tuple:
            return tuple(visit(part, name) for part in item)
        if isinstance(item, FrozenList):
            return FrozenList(visit(part, name) for part in item)
        if isinstance(item, slice):
            return slice(*(visit(part, name) for part in (item.start, item.stop, item.step)))
        return item

    args = tuple(visit(item, name) for item in node.args)
    kwargs = FrozenDict((key, visit(item, str(key))) for key, item in node.kwargs.items())
    return replace(node, args=args, kwargs=kwargs)


def _skeleton(definition: Definition) -> tuple[Any, ...]:
    children = tuple(
        (name, _skeleton(child) if isinstance(child, Definition) else _spec(child))
        for name, child in definition.children.items()
    )
    parameters = tuple(
        (name, item.requires_grad, item.type.dtype, len(item.type.shape), item.initial and _bare(item.initial))
        for name, item in definition.parameters.items()
    )
    buffers = tuple(
        (name, item.storage, item.initial and _bare(item.initial), item.data)
        for name, item in definition.buffers.items()
    )
    forwards = tuple(tuple(_bare(graph) for graph in forward.graphs) for forward in definition.forwards)
    base = None if definition.base is None else _spec(definition.base)
    own = (base, children, parameters, buffers, forwards, definition.ties, _bare(definition.init))
    return (definition.class_name, definition.kind, *own, _order(definition))


def _order(definition: Definition) -> tuple[Any, ...]:
    places = {f"%{node.name}": index for index, node in enumerate(definition.init.nodes)}
    return tuple(places.get(step, step) for step in definition.steps)


def _spec(spec: ModuleSpec) -> tuple[Any, ...]:
    return (spec.target, spec.args, spec.kwargs, spec.frozen, spec.wrappers)


def _bare(graph: Graph) -> tuple[Any, ...]:
    """A graph without names of values and without shapes; what decides on unpacking and inlining stays."""
    numbers = {
        name: index for index, name in enumerate([*(i.name for i in graph.inputs), *(n.name for n in graph.nodes)])
    }

    def visit(item: Argument) -> Any:
        if isinstance(item, Value):
            return ("value", numbers[item.name])
        if isinstance(item, FrozenList):
            return ("list", *(visit(part) for part in item))
        if type(item) is tuple:
            return ("tuple", *(visit(part) for part in item))
        if isinstance(item, FrozenDict):
            return ("dict", *((key, visit(part)) for key, part in item.items()))
        if isinstance(item, slice):
            return ("slice", *(visit(part) for part in (item.start, item.stop, item.step)))
        return item

    iterated = {
        node.args[0].name
        for node in graph.nodes
        if node.operation.target == "operator:getitem" and isinstance(node.args[0], Value) and type(node.args[1]) is int
    }
    inputs = tuple((item.name, item.keyword_only, _kind(item.type)) for item in graph.inputs)
    nodes = tuple(
        (node.operation, visit(node.args), visit(node.kwargs), node.hint, _kind(node.type, node.name in iterated))
        for node in graph.nodes
    )
    return (inputs, nodes, visit(graph.output))


def _kind(kind: Type, with_length: bool = False) -> Any:
    if isinstance(kind, TensorType):
        return ("tensor", kind.shape[:1] if with_length else ())
    if isinstance(kind, SequenceType):
        return (kind.kind, *(_kind(item) for item in kind.items))
    return "scalar" if isinstance(kind, ScalarType) else "object"
