"""A model as a graph of networkx, whose algorithms the IR does not repeat; `graphnas.ir.flow` asks it questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import networkx as nx

from graphnas.ir.graph import Graph, Node
from graphnas.ir.literal import Argument, FrozenDict, Value, map_values, values_in
from graphnas.ir.model import Model
from graphnas.ir.module import Definition, ModuleSpec
from graphnas.ir.sites import Site
from graphnas.ir.text import format_type
from graphnas.ir.types import Type


def to_networkx(source: Model | Definition | Graph, *, flat: bool = True) -> nx.MultiDiGraph:
    """Return the operations of a model as one graph, calls of definitions expanded in place unless `flat` is False.

    Nodes are named `path:node`, as `Site.name` is; a definition that is called more than once has the number of the
    call in its path, `block@1`. Inputs are `:x`, and the output is `:output`. Edges run from a value to what takes it,
    in the order of the arguments, one for each use.

    Node attributes: `kind` (of the operation, or `input` and `output`), `target`, `type` (text of the type), `path`
    (of the module that is called, or of the definition that holds the node), `spec` (the leaf, None for the rest),
    `label`, `order` (place in the order of execution), `site` (None for inputs and the output). Edge attributes:
    `port` (number of the use in the arguments).

    Args:
        source: A model or definition, of which the first forward in evaluation mode is taken, or a single graph.
        flat: Whether to expand calls. A graph that is not flat has one node for each module that the root calls.
    """
    definition = source.root if isinstance(source, Model) else source
    view = _Flat(flat)
    graph = definition.forwards[0].eval if isinstance(definition, Definition) and definition.forwards else definition
    if isinstance(graph, Graph):
        holder = definition if isinstance(definition, Definition) else None
        bindings: dict[str, Argument] = {}
        for item in graph.inputs:
            bindings[item.name] = view.add(f":{item.name}", (), "input", item.name, item.type)
        output = view.expand(holder, graph, "", "", bindings)
        view.add(":output", output, "output", "", None)
    return view.graph


class _Flat:
    def __init__(self, flat: bool) -> None:
        self.flat = flat
        self.graph = nx.MultiDiGraph()
        self.calls: dict[str, int] = {}

    def add(self, name: str, arguments: Argument, kind: str, target: str, type: Type | None, **rest: Any) -> Value:
        """Add a node behind what its arguments use, and return the use of it."""
        text = "" if type is None else format_type(type)
        attributes: dict[str, Any] = {"path": "", "spec": None, "label": "", "site": None, **rest}
        self.graph.add_node(name, kind=kind, target=target, type=text, order=self.graph.number_of_nodes(), **attributes)
        for port, value in enumerate(values_in(arguments)):
            self.graph.add_edge(value.name, name, port=port)
        return Value(name)

    def expand(
        self, definition: Definition | None, graph: Graph, path: str, prefix: str, known: dict[str, Argument]
    ) -> Argument:
        """Add the nodes of a graph; `known` maps its names to what they stand for in the flat graph."""
        for node in graph.nodes:
            known[node.name] = self.node(definition, graph, node, path, prefix, known)
        return substitute(graph.output, known)

    def node(
        self,
        definition: Definition | None,
        graph: Graph,
        node: Node,
        path: str,
        prefix: str,
        known: dict[str, Argument],
    ) -> Argument:
        args, kwargs = substitute(node.args, known), substitute(node.kwargs, known)
        operation = node.operation
        child = None
        if operation.kind == "module":
            child = None if definition is None else definition.child(operation.target)
            if self.flat and isinstance(child, Definition) and operation.forward < len(child.forwards):
                inner = child.forwards[operation.forward].eval
                names = [item.name for item in inner.inputs]
                below = f"{path}.{operation.target}" if path else operation.target
                count = self.calls[below] = self.calls.get(below, -1) + 1
                instance = f"{prefix}.{operation.target}" if prefix else operation.target
                instance += f"@{count}" if count else ""
                return self.expand(child, inner, below, instance, {**dict(zip(names, args, strict=False)), **kwargs})
        else:
            picked = pick(node, args)
            if picked is not None:
                return picked[0]
        site = Site(path, node, graph, child)
        return self.add(
            f"{prefix}:{node.name}",
            (args, kwargs),
            operation.kind,
            operation.target,
            node.type,
            path=site.module_path or path,
            spec=child if isinstance(child, ModuleSpec) else None,
            label=site.label,
            site=site,
        )


def substitute(argument: Argument, known: Mapping[str, Argument]) -> Argument:
    """Return `argument` with every value replaced by what `known` has for its name."""
    return map_values(argument, lambda value: known.get(value.name, value))


def pick(node: Node, args: tuple[Argument, ...]) -> tuple[Argument] | None:
    """Return, in a tuple, the item that an `operator:getitem` takes out of a tuple known item by item."""
    if node.operation.target != "operator:getitem" or len(args) != 2 or isinstance(args[0], Value):
        return None
    items, key = args
    known = isinstance(items, (tuple, FrozenDict)) and type(key) in (int, str)
    try:
        return (items[key],) if known else None
    except (IndexError, KeyError, TypeError):
        return None
