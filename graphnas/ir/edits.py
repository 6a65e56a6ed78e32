"""The steps that edits are made of: pure functions from graphs and definitions to others.

What belongs here: how one graph or one definition changes. What does not: where it stands in the model, what is
reported, and whether the result is sound; that is `graphnas.ir.rewrite`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from keyword import iskeyword

from torch import nn

from graphnas.errors import MutationError, VerificationError
from graphnas.ir.graph import Graph, Node, Operation
from graphnas.ir.infer import attribute_type, node_type
from graphnas.ir.literal import Argument, FrozenDict, Value, map_values
from graphnas.ir.module import Child, Definition, ModuleSpec, join
from graphnas.ir.resolve import format_spec, resolve
from graphnas.ir.types import ObjectType, TensorType, Type


def position(graph: Graph, name: str) -> int:
    """Return the place of a node in the order of execution."""
    return next(index for index, node in enumerate(graph.nodes) if node.name == name)


def insert(graph: Graph, node: Node, index: int) -> Graph:
    """Return a graph in which `node` is executed as number `index`."""
    return replace(graph, nodes=(*graph.nodes[:index], node, *graph.nodes[index:]))


def put(graph: Graph, node: Node) -> Graph:
    """Return a graph in which `node` stands in the place of the one of its name."""
    return replace(graph, nodes=tuple(node if old.name == node.name else old for old in graph.nodes))


def without(graph: Graph, name: str) -> Graph:
    """Return a graph that lacks a node."""
    return replace(graph, nodes=tuple(node for node in graph.nodes if node.name != name))


def replace_uses(graph: Graph, old: str, new: str, *, spare: str = "") -> Graph:
    """Return a graph in which every use of `old`, those by the node `spare` left out, is one of `new`."""
    nodes = tuple(node if node.name == spare else substitute(node, old, new) for node in graph.nodes)
    return replace(graph, nodes=nodes, output=map_values(graph.output, _renaming(old, new)))


def substitute(node: Node, old: str, new: str) -> Node:
    """Return a node that takes `new` where it took `old`."""
    if all(value.name != old for value in node.inputs):
        return node
    rename = _renaming(old, new)
    args = tuple(map_values(item, rename) for item in node.args)
    kwargs: FrozenDict[Argument] = FrozenDict((name, map_values(item, rename)) for name, item in node.kwargs.items())
    return replace(node, args=args, kwargs=kwargs)


def users(graph: Graph, name: str) -> tuple[str, ...]:
    """Return what keeps a value from being erased: names of nodes, `the output`, `a guard`."""
    found = [node.name for node in graph.uses(Value(name))]
    found += ["the output"] if any(value.name == name for value in graph.output_values) else []
    found += [f"a guard of {guard.location or 'the trace'}" for guard in graph.guards if guard.value == name]
    return tuple(found)


def free_name(wanted: str, taken: Callable[[str], bool]) -> str:
    """Return `wanted`, or `wanted_1`, `wanted_2`, …, whichever is the first that is not taken."""
    name, count = wanted, 0
    while taken(name):
        count += 1
        name = f"{wanted}_{count}"
    return name


def base_name(what: ModuleSpec | Definition | Operation) -> str:
    """Return the name that a person would give: `conv2d` for `Conv2d`, `relu` for `torch.nn.functional:relu`."""
    if isinstance(what, ModuleSpec):
        name = what.type
    elif isinstance(what, Definition):
        name = what.class_name
    else:
        name = re.split(r"[.:]", what.target)[-1] or what.kind
    name = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", name).lower()
    return f"{name}_" if iskeyword(name) else f"_{name}" if name.isdecimal() else name


def free_child_name(definition: Definition, wanted: str) -> str:
    """Return a name for a new child that shadows neither what the definition has nor a method of `nn.Module`."""
    own = (definition.children, definition.parameters, definition.buffers)
    base = nn.Module if definition.base is None else resolve(definition.base.target)
    return free_name(
        wanted,
        lambda name: any(name in names for names in own) or hasattr(base, name) or stands(definition, name),
    )


def add_child(
    definition: Definition, name: str, child: Child, *, neighbour: str = "", after: bool = True
) -> Definition:
    """Return a definition with one more child, registered next to `neighbour`, or last if there is none."""
    items = list(definition.children.items())
    index = len(items)
    if neighbour in definition.children:
        index = [key for key, _ in items].index(neighbour) + after
    return replace(definition, children=FrozenDict([*items[:index], (name, child), *items[index:]]))


def as_chain(definition: Definition) -> Definition:
    """Return a sequential with its children in the order of their calls, if that makes it a plain chain."""
    if definition.kind != "sequential" or not definition.forwards:
        return definition
    called = [node.operation.target for node in definition.forwards[0].eval.nodes]
    if sorted(called) != sorted(definition.children):
        return definition
    ordered = replace(definition, children=FrozenDict((name, definition.children[name]) for name in called))
    return ordered if ordered.is_chain else definition


_NAMING_KINDS = ("module", "attribute", "assign")


def references(definition: Definition, path: str, kinds: tuple[str, ...] = _NAMING_KINDS) -> Iterator[str]:
    """Yield the names of the nodes, in all graphs, that name what stands at or below `path`."""
    for graph in definition.graphs:
        for node in graph.nodes:
            if node.operation.kind in kinds and is_below(node.operation.target, path):
                yield node.name


def is_below(path: str, above: str) -> bool:
    """Tell whether `path` is `above`, or below it."""
    return path == above or path.startswith(f"{above}.") or above == ""


def drop_dangling(definition: Definition, path: str) -> tuple[Definition, tuple[str, ...]]:
    """Drop ties and steps of the initialisation that refer to what no longer stands at or below `path`, or fits there.

    Returns:
        The definition, and one sentence for each thing that was dropped.
    """
    notes: list[str] = []
    ties = []
    for tie in definition.ties:
        ends = [end for end in (tie.source, tie.path) if is_below(end, path) and not stands(definition, end)]
        if ends:
            notes.append(f"Dropped the tie of {tie.path} to {tie.source}, since there is no {ends[0]} any more.")
        else:
            ties.append(tie)
    init, steps = _without_misfits(definition, path)
    notes += steps
    if not notes and init is definition.init:
        return definition, ()
    left = {node.name for node in init.nodes}
    gone = {node.name for node in definition.init.nodes if node.name not in left}
    order = tuple(step for step in definition.order if step.removeprefix("%") not in gone and step != path)
    return replace(definition, ties=tuple(ties), init=init, order=order), tuple(notes)


def _without_misfits(definition: Definition, path: str) -> tuple[Graph, list[str]]:
    """Return the initialisation without what reads something that is gone, or does not fit its present shape."""
    init = definition.init
    changed: dict[str, Node | None] = {}
    notes: list[str] = []
    for node in init.nodes:
        if node.operation.kind == "attribute" and is_below(node.operation.target, path):
            found = attribute_type(definition, node.operation.target)
            if found != node.type:
                changed[node.name] = None if found is None else replace(node, type=found)
    waiting = dict.fromkeys(user.name for name in changed for user in init.uses(Value(name)))
    for node in init.nodes if waiting else ():
        if node.name not in waiting:
            continue
        found, why = _retyped(definition, node, changed)
        if found is None:
            notes.append(f"Dropped the initialisation {node.operation.target}(%{node.inputs[0].name}, ...){why}.")
        if found != node.type:
            changed[node.name] = None if found is None else replace(node, type=found)
            waiting |= dict.fromkeys(user.name for user in init.uses(node.value))
    if None not in changed.values():
        return init, []  # the very object, since much is remembered by it; its types are those of the trace
    nodes = (changed.get(node.name, node) for node in init.nodes)
    return replace(init, nodes=tuple(node for node in nodes if node is not None)), notes


def _retyped(definition: Definition, node: Node, changed: Mapping[str, Node | None]) -> tuple[Type | None, str]:
    """Return the type that a step of the initialisation has now; None, and the reason, if it has none any more."""
    types: dict[str, Type] = {}
    for value in node.inputs:
        operand = changed.get(value.name, definition.init[value.name])
        if operand is None:
            return None, ""
        types[value.name] = operand.type
    first, *rest = types.values()
    if not rest and node.operation.target.startswith("torch.nn.init:") and _rank(first) == _rank(node.type):
        return first, ""  # they fill whatever they are given
    try:
        return node_type(definition, node, types), ""
    except VerificationError:
        return None, f", which does not fit {next(types[name] for name in types if name in changed)}"


def _rank(type: Type) -> int:
    return len(type.shape) if isinstance(type, TensorType) else -1


def stands(definition: Definition, path: str) -> bool:
    """Tell whether a module, parameter, buffer or constant stands at `path`."""
    try:
        definition.child(path)
    except KeyError:
        return attribute_type(definition, path) is not None
    return True


def twins(root: Definition, path: str) -> tuple[str, ...]:
    """Return every path at which the same module stands as at `path`, this path first: modules may be shared."""
    found = [path]
    for current in found:  # grows while it is walked: a twin may be shared once more, further up
        for above, definition in ancestors(root, current):
            below = current[len(above) + 1 :] if above else current
            for tie in definition.ties:
                for here, there in ((tie.path, tie.source), (tie.source, tie.path)):
                    if here and is_below(below, here):
                        other = join(above, there + below[len(here) :])
                        if other not in found and root.has_child(other):
                            found.append(other)
    return tuple(found)


def ancestors(root: Definition, path: str) -> Iterator[tuple[str, Definition]]:
    """Yield the path and the definition of everything above `path`, the root first."""
    names = path.split(".") if path else []
    for count in range(len(names)):
        above = ".".join(names[:count])
        try:
            definition = root.child(above)
        except KeyError:
            return
        if isinstance(definition, Definition):
            yield above, definition


def replace_at(root: Definition, path: str, child: Child) -> Definition:
    """Return a root with `child` at `path`, which may be the empty one."""
    if path:
        return root.with_child(path, child)
    if not isinstance(child, Definition):
        raise MutationError("the root of a model is a definition; it cannot be replaced by a leaf")
    return child


def listed(names: Iterable[str]) -> str:
    """Return names for a message."""
    return ", ".join(names) or "none"


def named(what: Child | Operation | None) -> str:
    """Return a module as its constructor call or class name, an operation as it is printed, for sentences."""
    if isinstance(what, ModuleSpec):
        return format_spec(what)
    return what.class_name if isinstance(what, Definition) else str(what)


def typed(definition: Definition, graph: Graph, node: Node) -> Node:
    """Return `node` with the type that its operands give, or `UNTYPED` if it cannot be executed on them."""
    operands = {value.name: graph.type_of(value) for value in node.inputs}
    try:
        return replace(node, type=node_type(definition, node, operands))
    except (VerificationError, KeyError, IndexError, StopIteration):
        return replace(node, type=UNTYPED)


UNTYPED = ObjectType("builtins:object")
"""Type of a new node whose operands do not fit it, until the edit is verified."""


def _renaming(old: str, new: str) -> Callable[[Value], Value]:
    return lambda value: Value(new) if value.name == old else value
