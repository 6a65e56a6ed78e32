"""Open choices of a traced model, decided by rewriting it: what one would get by tracing the decided module.

A definition of kind `choice` gives way to the chosen candidate, one of kind `repeat` to the sequential of its first
blocks, and what names anything below them (calls, steps of the initialisation, ties) follows. This is right as long as
the user's code only calls open choices; whether it also looks at them (`isinstance`, `len`) a graph cannot tell.

What belongs here: one definition tree into another. Which decisions are allowed is the caller's business, and so is the
verification of the result, whose types are still those of the first candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from graphnas.errors import MutationError
from graphnas.ir.describe import NodeNames
from graphnas.ir.graph import EMPTY_GRAPH, Graph, Input, Node, Operation
from graphnas.ir.literal import Argument, FrozenDict, Value, map_values
from graphnas.ir.lru import LRU
from graphnas.ir.module import Child, Definition, Forward, Tie, ordered

Chosen = Mapping[str, str | int]
"""Label to the name of a candidate or the number of blocks."""

_REMEMBERED = 4096


class OpenModel:
    """A definition with open choices in it, and what was made of its parts before.

    Attributes:
        root: The definition.
        labels: Labels of the open choices, in the order of their places.
    """

    def __init__(self, root: Definition) -> None:
        self.root = root
        self._labels: dict[int, tuple[str, ...]] = {}
        self._done: LRU[Child] = LRU(_REMEMBERED)
        for item in root.bottom_up(lambda item: id(item) in self._labels):
            found = [item.label] if item.kind in ("choice", "repeat") else []
            for child in item.children.values():
                found += self._labels[id(child)] if isinstance(child, Definition) else ()
            self._labels[id(item)] = tuple(dict.fromkeys(found))
        self.labels = self._labels[id(root)]

    def decide(self, chosen: Chosen) -> Definition:
        """Return the definition in which every open choice is decided.

        Raises:
            MutationError: An open choice is used in another way than by calling it, so that a rewrite would not do.
        """
        decided = self._decided(self.root, chosen)
        if not isinstance(decided, Definition):
            raise MutationError("the model itself is a choice of a leaf; put the choice into a model")
        return decided

    def _decided(self, child: Child, chosen: Chosen) -> Child:
        if not isinstance(child, Definition) or not self._labels[id(child)]:
            return child
        memo = (id(child), tuple(chosen[label] for label in self._labels[id(child)]))
        known = self._done.get(memo)
        if known is None:
            known = _Decision(self, child, chosen).run()
            self._done.put(memo, known)
        return known


class _Decision:
    """One definition on its way from open to decided; paths in it are those of the open one."""

    def __init__(self, model: OpenModel, definition: Definition, chosen: Chosen) -> None:
        self.model = model
        self.definition = definition
        self.chosen = chosen

    def run(self) -> Child:
        open_one = self.definition
        if open_one.kind == "choice":
            return self.model._decided(open_one.children[str(self.chosen[open_one.label])], self.chosen)
        names = list(open_one.children)
        if open_one.kind == "repeat":
            names = names[: int(self.chosen[open_one.label])]
        forwards = tuple(
            Forward(self.graph(forward.eval, False), None if forward.train is None else self.graph(forward.train, True))
            for forward in open_one.forwards
        )
        children = FrozenDict((name, self.model._decided(open_one.children[name], self.chosen)) for name in names)
        init, gone, renamed = self.init()
        steps = (renamed.get(step, step) for step in open_one.order if step not in gone)
        decided = replace(
            open_one, children=children, forwards=forwards, ties=self.ties(), init=init, order=tuple(steps)
        )
        if open_one.kind == "repeat":
            decided = as_sequential(decided)
        return replace(decided, order=ordered(decided)) if decided.order else decided

    # The forward.

    def graph(self, graph: Graph, training: bool) -> Graph:
        nodes = tuple(self.node(node, training) for node in graph.nodes)
        if self.definition.kind != "repeat":
            return replace(graph, nodes=nodes)
        depth = int(self.chosen[self.definition.label])
        if len(nodes) != len(self.definition.children) or graph.guards:
            raise self.refusal("runs something besides its blocks")
        output = nodes[depth - 1].value if depth else Value(graph.inputs[0].name)
        return replace(graph, nodes=nodes[:depth], output=output)

    def node(self, node: Node, training: bool) -> Node:
        kind, target = node.operation.kind, node.operation.target
        if kind not in ("module", "attribute", "assign"):
            return node
        above = target.rpartition(".")[0]
        if self.is_open(above) or (kind != "module" and self.is_open(target)):
            raise self.refusal(f"uses {target}, which is part of an open choice")
        if kind != "module":
            return node
        callee = self.definition.child(target)
        while isinstance(callee, Definition) and callee.kind == "choice":
            name = str(self.chosen[callee.label])
            node = self.called(node, callee, name, training)
            callee = callee.children[name]
        if isinstance(callee, Definition) and callee.kind == "repeat" and node.kwargs:
            raise self.refusal(f"calls the blocks of {target} with keyword arguments")
        return node

    def called(self, node: Node, choice: Definition, name: str, training: bool) -> Node:
        """Return the call of a choice as that of a candidate, which takes what the choice hands on to it."""
        forward = choice.forwards[node.operation.forward]
        graph = forward.train if training and forward.train is not None else forward.eval
        calls = [item for item in graph.nodes if item.operation.kind == "module" and item.operation.target == name]
        if len(calls) != 1:
            raise self.refusal(f"runs candidate {name!r} of {choice.label!r} {len(calls)} times")
        positional = (item.name for item in graph.inputs if not item.keyword_only)
        given: dict[str, Argument] = {**dict(zip(positional, node.args, strict=False)), **node.kwargs}

        def taken(value: Value) -> Argument:
            if value.name not in given:
                raise self.refusal(f"hands {value} to candidate {name!r} of {choice.label!r}, which it does not take")
            return given[value.name]

        call = calls[0]
        args = tuple(map_values(item, taken) for item in call.args)
        kwargs: FrozenDict[Argument] = FrozenDict((key, map_values(item, taken)) for key, item in call.kwargs.items())
        operation = Operation("module", node.operation.target, call.operation.forward)
        return replace(node, operation=operation, args=args, kwargs=kwargs)

    def is_open(self, path: str) -> bool:
        """Tell whether a path leads to an open choice, or to something below one."""
        here: Child | None = self.definition
        for name in path.split(".") if path else ():
            here = here.children.get(name) if isinstance(here, Definition) else None
            if isinstance(here, Definition) and here.kind in ("choice", "repeat"):
                return True
        return False

    # What names parts by their path.

    def moved(self, path: str) -> str | None:
        """Return where something stands once everything is decided, None if it is gone."""
        here: Child | None = self.definition
        names: list[str] = []
        for name in path.split("."):
            if isinstance(here, Definition) and here.kind == "choice" and here.children:
                if name != self.chosen[here.label]:
                    return None
            elif isinstance(here, Definition) and here.kind == "repeat":
                if name not in list(here.children)[: int(self.chosen[here.label])]:
                    return None
                names.append(name)
            else:
                names.append(name)
            here = here.children.get(name) if isinstance(here, Definition) else None
        return ".".join(names)

    def ties(self) -> tuple[Tie, ...]:
        """Return the ties of what is left; where a source is gone, the first of what was tied to it is the source."""
        sources: dict[str, str] = {}
        found: list[Tie] = []
        for tie in self.definition.ties:
            source, path = self.moved(tie.source), self.moved(tie.path)
            if path is None:
                continue
            first = source if source is not None else sources.setdefault(tie.source, path)
            if first != path:
                found.append(Tie(path, first))
        return tuple(found)

    def init(self) -> tuple[Graph, set[str], dict[str, str]]:
        """Return what is left of the initialisation, the steps that are gone, and those that have another name."""
        gone: dict[str, None] = {}
        kept: list[Node] = []
        for node in self.definition.init.nodes:
            target: str | None = node.operation.target
            if node.operation.kind == "attribute":
                target = self.moved(node.operation.target)
            if target is None or any(value.name in gone for value in node.inputs):
                gone[node.name] = None
            else:
                kept.append(replace(node, operation=replace(node.operation, target=target)))
        used = {value.name for node in kept for value in node.inputs}
        left = [node for node in kept if node.operation.kind != "attribute" or node.name in used]
        names = NodeNames()
        renamed = {node.name: names.of(node.operation) for node in left}
        nodes = tuple(_renamed(node, renamed) for node in left)
        gone.update((node.name, None) for node in kept if node.name not in renamed)
        steps = {f"%{old}": f"%{new}" for old, new in renamed.items()}
        return Graph((), nodes, None) if nodes else EMPTY_GRAPH, {f"%{name}" for name in gone}, steps

    def refusal(self, what: str) -> MutationError:
        name = self.definition.class_name
        return MutationError(f"{name} {what}; its open choices can only be decided by constructing it anew")


def as_sequential(repeat: Definition) -> Definition:
    """Return decided blocks as what `nn.Sequential` of them would be."""
    forwards = tuple(
        Forward(_with_input(forward.eval), None if forward.train is None else _with_input(forward.train))
        for forward in repeat.forwards
    )
    origin = "torch.nn.modules.container:Sequential"
    return replace(repeat, class_name="Sequential", kind="sequential", forwards=forwards, label="", origin=origin)


def _with_input(graph: Graph) -> Graph:
    """Return a chain whose input has the name that it has in `nn.Sequential`."""
    (item,) = graph.inputs
    names = {item.name: "input"}
    output = Value(names.get(graph.output.name, graph.output.name)) if isinstance(graph.output, Value) else graph.output
    nodes = tuple(_renamed(node, names) for node in graph.nodes)
    return replace(graph, inputs=(Input("input", item.type, item.keyword_only),), nodes=nodes, output=output)


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    def rename(value: Value) -> Argument:
        return Value(names.get(value.name, value.name))

    args = tuple(map_values(item, rename) for item in node.args)
    kwargs: FrozenDict[Argument] = FrozenDict((key, map_values(item, rename)) for key, item in node.kwargs.items())
    return replace(node, name=names.get(node.name, node.name), args=args, kwargs=kwargs)
