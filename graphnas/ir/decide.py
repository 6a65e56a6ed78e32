"""Open choices of a traced model, decided by rewriting it: what one would get by tracing the decided module.

A definition of kind `choice` gives way to the chosen candidate, one of kind `repeat` to the sequential of its first
blocks, and what names anything below them (calls, steps of the initialisation, ties) follows. This is right as long as
the user's code only calls open choices; whether it also looks at them (`isinstance`, `len`) a graph cannot tell.

What belongs here: one definition tree into another. Which decisions are allowed is the caller's business, and so is the
verification of the result, whose types are still those of the first candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from graphnas.errors import MutationError
from graphnas.ir.describe import NodeNames
from graphnas.ir.effects import is_droppable
from graphnas.ir.graph import EMPTY_GRAPH, Graph, Input, Node, Operation
from graphnas.ir.literal import Argument, FrozenDict, Value, map_values
from graphnas.ir.lru import LRU
from graphnas.ir.module import Child, Definition, Forward, Tie, ordered

Chosen: TypeAlias = Mapping[str, str | int]
"""Label to the name of a candidate, or to the number of blocks."""

_REMEMBERED = 4096


class OpenModel:
    """A definition with open choices in it, and what its parts became under earlier decisions.

    Args:
        root: The definition.

    Raises:
        MutationError: An open choice is used in another way than by calling it, so that a rewrite would not do.
    """

    def __init__(self, root: Definition) -> None:
        self._root = root
        self._plans: dict[int, _Plan] = {}
        self._done: LRU[Child] = LRU(_REMEMBERED)
        labels: dict[int, tuple[str, ...]] = {}
        for item in root.bottom_up(lambda item: id(item) in labels):
            found = [item.label] if item.kind in ("choice", "repeat") else []
            for child in item.children.values():
                found += labels[id(child)] if isinstance(child, Definition) else ()
            labels[id(item)] = tuple(dict.fromkeys(found))
            if found:
                self._plans[id(item)] = _Plan(item, labels[id(item)])

    def decide(self, chosen: Chosen) -> Definition:
        """Return the definition in which every open choice is decided.

        Raises:
            MutationError: A decision is no candidate or number of blocks, or the model itself is a choice of a leaf.
        """
        decided = self._decided(self._root, chosen)
        if not isinstance(decided, Definition):
            raise MutationError("the model itself is a choice of a leaf; put the choice into a model")
        return decided

    def _decided(self, child: Child, chosen: Chosen) -> Child:
        plan = self._plans.get(id(child))
        if plan is None:
            return child
        memo = (id(child), *(chosen[label] for label in plan.labels))
        known = self._done.get(memo)
        if known is None:
            children = FrozenDict((name, self._decided(plan.children[name], chosen)) for name in plan.names(chosen))
            known = plan.decide(chosen, children)
            self._done.put(memo, known)
        return known


@dataclass(frozen=True)
class _Route:
    """Where something stands once everything is decided, and what must be decided for it to be there at all.

    Attributes:
        path: Its path in the decided definition.
        candidates: Labels of choices with the name of a candidate that the path leads through.
        blocks: Labels of repeats with the number of the block that it leads through.
    """

    path: str
    candidates: tuple[tuple[str, str], ...]
    blocks: tuple[tuple[str, int], ...]

    @property
    def is_open(self) -> bool:
        return bool(self.candidates or self.blocks)

    def leads_somewhere(self, chosen: Chosen) -> bool:
        for label, name in self.candidates:
            if chosen[label] != name:
                return False
        return all(index < int(chosen[label]) for label, index in self.blocks)


@dataclass(frozen=True)
class _Step:
    """A node of the initialisation.

    Attributes:
        node: The node.
        inputs: Names of the values that it takes.
        route: That of the parameter that it reads, if it does.
        operation: What it does once everything is decided.
        is_means: Whether it is there for the sake of other nodes only.
    """

    node: Node
    inputs: tuple[str, ...]
    route: _Route | None
    operation: Operation
    is_means: bool


class _Plan:
    """How one open definition is decided: what can be known of it before anything is."""

    def __init__(self, definition: Definition, labels: tuple[str, ...]) -> None:
        self.definition = definition
        self.labels = labels
        self.children = definition.children
        self._ties = [(self._route(tie.source), self._route(tie.path)) for tie in definition.ties]
        used = {value.name for node in definition.init.nodes for value in node.inputs}
        self._init = [self._step(node, node.name in used) for node in definition.init.nodes]
        self._nodes: dict[tuple[object, ...], Node] = {}
        self._check()

    def names(self, chosen: Chosen) -> list[str]:
        """Return the names of the children that are left."""
        definition, names = self.definition, list(self.children)
        if definition.kind not in ("choice", "repeat"):
            return names
        decision = chosen[definition.label]
        if definition.kind == "choice" and decision in names:
            return [str(decision)]
        if definition.kind == "repeat" and type(decision) is int and 0 <= decision <= len(names):
            return names[:decision]
        raise self._refusal(
            f"has a {definition.kind} {definition.label!r} with {', '.join(names)}, and none {decision!r}"
        )

    def decide(self, chosen: Chosen, children: FrozenDict[Child]) -> Child:
        """Return what the definition becomes, with the children that are left, which are decided already."""
        definition = self.definition
        if definition.kind == "choice":
            return children[str(chosen[definition.label])]
        forwards = tuple(
            Forward(
                self._graph(forward.eval, chosen, training=False),
                None if forward.train is None else self._graph(forward.train, chosen, training=True),
            )
            for forward in definition.forwards
        )
        init, renamed = self._initialisation(chosen)
        order = tuple(renamed.get(step, step) for step in definition.order)
        ties = self._tied(chosen)
        decided = replace(definition, children=children, forwards=forwards, ties=ties, init=init, order=order)
        if definition.kind == "repeat":
            decided = _as_sequential(decided)
        return replace(decided, order=ordered(decided)) if order else decided

    # The forward.

    def _check(self) -> None:
        """Refuse what uses open choices in another way than by calling them."""
        definition = self.definition
        if definition.kind == "choice":
            return
        for graph in definition.graphs:
            if definition.kind == "repeat" and (len(graph.nodes) != len(self.children) or graph.guards):
                raise self._refusal("runs something besides its blocks")
            for node in graph.nodes:
                kind, target = node.operation.kind, node.operation.target
                if kind not in ("module", "attribute", "assign"):
                    continue
                is_own_block = definition.kind == "repeat" and target in self.children
                if self._route(target).is_open and not is_own_block:
                    raise self._refusal(f"uses {target}, which is a part of an open choice")
                callee = definition.child(target) if kind == "module" else None
                if isinstance(callee, Definition) and callee.kind == "repeat" and node.kwargs:
                    raise self._refusal(f"calls the blocks of {target} with keyword arguments")

    def _graph(self, graph: Graph, chosen: Chosen, *, training: bool) -> Graph:
        nodes = tuple(self._node(node, chosen, training) for node in graph.nodes)
        if self.definition.kind != "repeat":
            return replace(graph, nodes=nodes)
        depth = int(chosen[self.definition.label])
        output = nodes[depth - 1].value if depth else Value(graph.inputs[0].name)
        return replace(graph, nodes=nodes[:depth], output=output)

    def _node(self, node: Node, chosen: Chosen, training: bool) -> Node:
        """Return a node; of a call of a choice, the call of the candidate, which may be a choice itself."""
        if node.operation.kind != "module":
            return node
        callee = self.definition.child(node.operation.target)
        while isinstance(callee, Definition) and callee.kind == "choice":
            name = str(chosen[callee.label])
            memo = (node, id(callee), name, training)
            if memo not in self._nodes:
                self._nodes[memo] = self._called(node, callee, name, training)
            node, callee = self._nodes[memo], callee.children[name]
        return node

    def _called(self, node: Node, choice: Definition, name: str, training: bool) -> Node:
        """Return the call of a choice as that of a candidate, which takes what the choice hands on to it."""
        forward = choice.forwards[node.operation.forward]
        graph = forward.train if training and forward.train is not None else forward.eval
        calls = [item for item in graph.nodes if item.operation.kind == "module" and item.operation.target == name]
        if len(calls) != 1:
            raise self._refusal(f"runs candidate {name!r} of {choice.label!r} {len(calls)} times")
        positional = (item.name for item in graph.inputs if not item.keyword_only)
        given: dict[str, Argument] = {**dict(zip(positional, node.args, strict=False)), **node.kwargs}

        def taken(value: Value) -> Argument:
            if value.name not in given:
                raise self._refusal(f"hands {value} to candidate {name!r} of {choice.label!r}, which it does not take")
            return given[value.name]

        call = calls[0]
        args = tuple(map_values(item, taken) for item in call.args)
        kwargs: FrozenDict[Argument] = FrozenDict((key, map_values(item, taken)) for key, item in call.kwargs.items())
        operation = Operation("module", node.operation.target, call.operation.forward)
        return replace(node, operation=operation, args=args, kwargs=kwargs)

    # What names parts by their path.

    def _route(self, path: str) -> _Route:
        here: Child | None = self.definition
        names: list[str] = []
        candidates: list[tuple[str, str]] = []
        blocks: list[tuple[str, int]] = []
        for name in path.split("."):
            below = here.children if isinstance(here, Definition) else {}
            if isinstance(here, Definition) and here.kind == "choice" and name in below:
                candidates.append((here.label, name))
            else:
                names.append(name)
            if isinstance(here, Definition) and here.kind == "repeat" and name in below:
                blocks.append((here.label, list(below).index(name)))
            here = below.get(name)
        return _Route(".".join(names), tuple(candidates), tuple(blocks))

    def _tied(self, chosen: Chosen) -> tuple[Tie, ...]:
        """Return the ties of what is left; where a source is gone, the first of what was tied to it is the source."""
        sources: dict[_Route, str] = {}
        found: list[Tie] = []
        for source, route in self._ties:
            if not route.leads_somewhere(chosen):
                continue
            first = source.path if source.leads_somewhere(chosen) else sources.setdefault(source, route.path)
            if first != route.path:
                found.append(Tie(route.path, first))
        return tuple(found)

    def _step(self, node: Node, is_used: bool) -> _Step:
        route = self._route(node.operation.target) if node.operation.kind == "attribute" else None
        operation = node.operation if route is None else Operation("attribute", route.path)
        is_means = route is not None or (is_used and is_droppable(node))
        return _Step(node, tuple(value.name for value in node.inputs), route, operation, is_means)

    def _initialisation(self, chosen: Chosen) -> tuple[Graph, dict[str, str]]:
        """Return what is left of the initialisation, and the steps of it that have another name now."""
        gone: set[str] = set()
        possible: list[_Step] = []
        for step in self._init:
            missing = step.route is not None and not step.route.leads_somewhere(chosen)
            if missing or not gone.isdisjoint(step.inputs):
                gone.add(step.node.name)
            else:
                possible.append(step)
        wanted: set[str] = set()
        kept: list[_Step] = []
        for step in reversed(possible):
            if not step.is_means or step.node.name in wanted:
                kept.append(step)
                wanted.update(step.inputs)
        names = NodeNames()
        renamed: dict[str, str] = {}
        nodes: list[Node] = []
        for step in reversed(kept):
            old = step.node.name
            renamed[old] = new = names.of(step.operation)
            memo = (old, new, *(renamed[name] for name in step.inputs))
            if memo not in self._nodes:
                self._nodes[memo] = replace(_renamed(step.node, renamed), operation=step.operation)
            nodes.append(self._nodes[memo])
        graph = Graph((), tuple(nodes), None) if nodes else EMPTY_GRAPH
        return graph, {f"%{old}": f"%{new}" for old, new in renamed.items() if new != old}

    def _refusal(self, what: str) -> MutationError:
        name = self.definition.class_name
        return MutationError(f"{name} {what}; its open choices can only be decided by constructing it anew")


def without_settings(root: Definition) -> Definition:
    """Return a definition without the settings of what is in it, which are names for the source."""
    done: dict[int, Definition] = {}
    for item in root.bottom_up(lambda item: id(item) in done):
        children = FrozenDict((name, done.get(id(child), child)) for name, child in item.children.items())
        done[id(item)] = replace(item, children=children, settings=FrozenDict())
    return done[id(root)]


def _as_sequential(repeat: Definition) -> Definition:
    """Return decided blocks as what `nn.Sequential` of them would be."""
    forwards = tuple(
        Forward(_with_input(forward.eval), None if forward.train is None else _with_input(forward.train))
        for forward in repeat.forwards
    )
    origin = "torch.nn.modules.container:Sequential"
    return replace(
        repeat,
        class_name="Sequential",
        kind="sequential",
        forwards=forwards,
        label="",
        settings=FrozenDict(),
        origin=origin,
    )


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
