"""Which values of a graph get a statement of their own, and which are written where they are used.

A person writes `x = self.relu(self.bn1(self.conv1(x)))`, the graph holds three nodes. A value is written inside its
consumer when nobody named it, it is used once, and everything is still evaluated in the order of the graph: operations
may change tensors in place or draw random numbers. Only reads of sizes, of attributes and arithmetic on sizes are free
to move. Guards and values that nothing comes of are left out.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile

import torch

from graphnas.ir.effects import (
    assigned_paths,
    is_getitem,
    is_grad_switch,
    is_in_place_operator,
    is_pure,
    is_setitem,
    live_nodes,
)
from graphnas.ir.graph import Graph, Node
from graphnas.ir.literal import Argument, FrozenDict, Value, values_in
from graphnas.ir.module import Definition
from graphnas.ir.types import MappingType, ScalarType, SequenceType, Type

_MAX_DEPTH = 4
_MAX_SIZE = 22
_UPDATING_METHODS = {"add_": "iadd", "sub_": "isub", "mul_": "imul", "div_": "itruediv"}


@dataclass(frozen=True)
class Loop:
    """A chain of calls over all children of a container, each fed with what the one before returned."""

    container: str
    node: Node


@dataclass
class Schedule:
    """The statements of a forward.

    Attributes:
        steps: Nodes with a statement of their own, in order.
        inlined: Nodes that are written where they are used, by name.
        unpacked: For a tuple that is unpacked: the value that each item goes to, None for an item nobody uses.
        loops: Steps that are loops, by name of the value.
        updates: Operators of the assignments to items that are written `x[i] += y`, by name of the value.
        last_use: Position of the last step that reads a value; the return is the step after the last.
    """

    steps: list[Node] = field(default_factory=list)
    inlined: dict[str, Node] = field(default_factory=dict)
    unpacked: dict[str, tuple[Node | None, ...]] = field(default_factory=dict)
    loops: dict[str, Loop] = field(default_factory=dict)
    updates: dict[str, str] = field(default_factory=dict)
    last_use: dict[str, int] = field(default_factory=dict)

    def variables(self, argument: Argument) -> tuple[str, ...]:
        """Return the values that the source of an argument reads from variables."""
        found: list[str] = []
        for value in values_in(argument):
            inner = self.inlined.get(value.name)
            found += [value.name] if inner is None else self.variables((inner.args, inner.kwargs))
        return tuple(found)


def schedule(graph: Graph, definition: Definition) -> Schedule:
    """Return the statements of a graph; `definition` says what its paths stand for."""
    return _Scheduler(graph, definition).run()


class _Pending:
    """Values that wait for their consumer, in the order of execution; what it answers costs no look at all of them."""

    def __init__(self) -> None:
        self.nodes: deque[Node] = deque()
        self.numbers: dict[str, int] = {}
        self.first = 0

    def __len__(self) -> int:
        return len(self.nodes)

    def __contains__(self, name: str) -> bool:
        return name in self.numbers

    def place(self, name: str) -> int:
        return self.numbers[name] - self.first

    def append(self, node: Node) -> None:
        self.numbers[node.name] = self.first + len(self.nodes)
        self.nodes.append(node)

    def last(self, count: int) -> list[str]:
        """Return the names of the last ones, the last first."""
        return [node.name for node in islice(reversed(self.nodes), count)]

    def matching(self, names: list[str]) -> int:
        """Return how many names at the end are those of the last ones."""
        pairs = zip(reversed(names), reversed(self.nodes), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1].name, pairs))

    def pop_first(self, count: int) -> list[Node]:
        self.first += count
        return self._forget([self.nodes.popleft() for _ in range(count)])

    def pop_last(self, count: int) -> list[Node]:
        return self._forget([self.nodes.pop() for _ in range(count)][::-1])

    def _forget(self, nodes: list[Node]) -> list[Node]:
        for node in nodes:
            del self.numbers[node.name]
        return nodes


class _Scheduler:
    def __init__(self, graph: Graph, definition: Definition) -> None:
        self.graph = graph
        self.definition = definition
        self.plan = Schedule()
        self.pending = _Pending()
        self.depth: dict[str, int] = {}
        self.size: dict[str, int] = {}
        self.assigned = assigned_paths(definition)

    def run(self) -> Schedule:
        live = _named_alike(live_nodes(self.graph))
        self.types: dict[str, Type] = {
            **{item.name: item.type for item in self.graph.inputs},
            **{node.name: node.type for node in live},
        }
        nodes = self._find_updates(self._find_loops(live))
        self.uses = _count_uses(nodes, self.graph.output)
        members = self._find_unpacked(nodes)
        nodes = [self._as_read(node) if node.name not in members else node for node in nodes]
        self.listed = self._find_listed(nodes)
        forced = self._forced(nodes)
        for node in nodes:
            if node.name not in members:
                self._place(node, forced)
        rest = self._consume([self.graph.output])
        self._spill(len(self.pending) - rest)
        self._take(rest)
        self._measure()
        return self.plan

    def _place(self, node: Node, forced: frozenset[str]) -> None:
        name, uses = node.name, self.uses.get(node.name, 0)
        operands = [*node.args, *node.kwargs.values()]
        if is_setitem(node) and name not in self.plan.updates:
            operands = [node.args[2], node.args[0], node.args[1]]
        if name in self.plan.loops:
            operands = operands[:1]
        if is_grad_switch(node):
            self._spill(len(self.pending))
            self.plan.steps.append(node)
            return
        if self._is_movable(node):
            if name in self.plan.unpacked:
                self.plan.steps.append(node)
            elif node.operation.kind == "attribute" or (not node.hint and self._is_read_in_place(node, uses, forced)):
                self.plan.inlined[name] = node
            elif uses:
                self.plan.steps.append(node)
            return
        taken = self._consume(operands)
        self._spill(len(self.pending) - taken, only_operands=operands)
        taken = self._consume(operands)
        inner = self.pending.last(taken)
        depth = 1 + max((self.depth.get(item, 0) for item in inner), default=0)
        size = 2 + len(operands) + sum(self.size.get(item, 0) for item in inner if not self._is_alike(item))
        if depth > _MAX_DEPTH or size > _MAX_SIZE:
            self._spill(len(self.pending))
            depth, size = 1, 2 + len(operands)
            taken = 0
        self._take(taken)
        self.depth[name], self.size[name] = depth, size
        free = uses == 1 and name not in forced and (not node.hint or name in self.listed)
        if free and not (is_in_place_operator(node) or is_setitem(node) or self._has_statement(name)):
            self.pending.append(node)
        else:
            self._spill(len(self.pending))
            self.plan.steps.append(node)

    def _is_alike(self, name: str) -> bool:
        """Tell whether a value is an item of a list after the first, and like that one: it adds nothing to read."""
        return self.listed.get(name, 0) > 0

    def _has_statement(self, name: str) -> bool:
        return name in self.plan.loops or name in self.plan.unpacked

    def _consume(self, operands: Iterable[Argument]) -> int:
        """Return how many of the last pending values are exactly the last ones that `operands` evaluate, in order."""
        wanted = [value.name for value in values_in(tuple(operands)) for value in self._ordered(value)]
        return self.pending.matching([name for name in wanted if name in self.pending])

    def _ordered(self, value: Value) -> tuple[Value, ...]:
        node = self.plan.inlined.get(value.name)
        return (value,) if node is None or not self._is_movable(node) else values_in((node.args, node.kwargs))

    def _spill(self, count: int, only_operands: Iterable[Argument] | None = None) -> None:
        """Give the first `count` pending values statements; with operands, only up to the last one that they need."""
        if only_operands is not None:
            wanted = (value.name for value in values_in(tuple(only_operands)))
            ends = (self.pending.place(name) + 1 for name in wanted if name in self.pending)
            count = max((end for end in ends if end <= count), default=0)
        self.plan.steps += self.pending.pop_first(count)

    def _take(self, count: int) -> None:
        self.plan.inlined.update((node.name, node) for node in self.pending.pop_last(count))

    def _is_movable(self, node: Node) -> bool:
        if node.operation.kind == "attribute":
            return node.operation.target not in self.assigned  # else it is read before it is bound anew
        if node.operation.kind == "training":
            return True
        if self._is_item(node):
            return not any(value.name in self.pending for value in node.inputs)
        if not is_pure(node) or not _is_scalar(node.type) or node.operation.target == "item":
            return False
        inputs = [value.name for value in values_in((node.args, node.kwargs))]
        if any(name in self.pending for name in inputs):
            return False
        if node.operation.kind in ("field", "method") or node.operation.target == "builtins:len":
            return True
        return all(_is_scalar(self.types[name]) for name in inputs)

    def _is_read_in_place(self, node: Node, uses: int, forced: frozenset[str]) -> bool:
        """Tell whether a value that is free to move is written where it is used."""
        if self._is_item(node) and not _is_cheap(node):
            return node.name not in forced
        return uses == 1 or _is_cheap(node)

    def _is_item(self, node: Node) -> bool:
        """Tell whether the node is `items[0]` for a tuple, list or dictionary: what they hold never changes."""
        if not is_getitem(node) or not isinstance(node.args[0], Value) or values_in(node.args[1]):
            return False
        return isinstance(self.types[node.args[0].name], (SequenceType, MappingType))

    def _as_read(self, node: Node) -> Node:
        """Return a node as a trace of the source sees it: `h = items[0]` gives nothing that it knows a name."""
        return replace(node, hint="") if node.hint and self._is_item(node) and not _is_cheap(node) else node

    def _find_listed(self, nodes: list[Node]) -> dict[str, int]:
        """Find what modules return to be items of a list of three or more that are computed alike, with their places.

        They are written in the list, whatever they were called: `[block(x) for block in self.blocks]`.
        """
        known = {node.name: node for node in nodes if node.operation.kind == "module"}
        found: dict[str, int] = {}
        arguments = (item for node in nodes for item in (*node.args, *node.kwargs.values()))
        for argument in (*arguments, self.graph.output):
            for items in _sequences(argument):
                values = [known.get(item.name) if isinstance(item, Value) else None for item in items]
                kinds = dict.fromkeys(None if item is None else _likeness(item) for item in values)
                names = [item.name for item in values if item is not None and self.uses[item.name] == 1]
                if len(names) == len(items) >= 3 and len(kinds) == 1:
                    found.update((name, place) for place, name in enumerate(names))
        return found

    def _forced(self, nodes: list[Node]) -> frozenset[str]:
        """Values that need a variable: targets of in-place statements, and what a repeated read reads."""
        items = {node.name: node for node in nodes if self._is_item(node)}

        def sources(node: Node) -> Iterator[str]:
            """Yield what is read again with a node: an item of a tuple has no variable of its own for that."""
            for value in node.inputs:
                if value.name in items:
                    yield from sources(items[value.name])
                else:
                    yield value.name

        names: list[str] = []
        for node in nodes:
            if is_in_place_operator(node) or is_setitem(node):
                names += [value.name for value in values_in(node.args[0])]
            elif node.name in self.plan.loops:
                names += [value.name for value in values_in((node.args[1:], node.kwargs))]
            elif (_is_cheap(node) or self._is_item(node)) and self.uses.get(node.name, 0) > 1:
                names += sources(node)
        return frozenset(names)

    def _find_unpacked(self, nodes: list[Node]) -> frozenset[str]:
        """Find tuples whose items are all taken by index; return the names of the items."""
        takers: dict[str, list[Node]] = {}
        for node in nodes:
            if is_getitem(node) and isinstance(node.args[0], Value):
                takers.setdefault(node.args[0].name, []).append(node)
        members: list[str] = []
        for node in nodes:
            items = takers.get(node.name, [])
            length = len(node.type.items) if isinstance(node.type, SequenceType) else 0
            indices = [item.args[1] for item in items]
            if not 2 <= length <= 8 or self.uses[node.name] != len(items):
                continue
            if isinstance(node.type, SequenceType) and node.type.kind == "size" and len(items) < 2:
                continue
            if not all(type(index) is int and 0 <= index < length for index in indices):
                continue
            if len(dict.fromkeys(indices)) != len(indices) or not any(item.hint for item in items):
                continue
            by_index = {item.args[1]: item for item in items}
            self.plan.unpacked[node.name] = tuple(by_index.get(index) for index in range(length))
            members += [item.name for item in items]
        return frozenset(members)

    def _find_updates(self, nodes: list[Node]) -> list[Node]:
        """Find `x[i] += y`, which is recorded as the three steps that it takes."""
        uses = _count_uses(nodes, self.graph.output)
        found: list[Node] = []
        for node in nodes:
            update = _update(found, node, uses)
            if update is not None:
                del found[-2:]
                self.plan.updates[node.name] = update[0]
                node = replace(node, args=(*node.args[:2], update[1]))
            found.append(node)
        return found

    def _find_loops(self, nodes: list[Node]) -> list[Node]:
        uses = _count_uses(nodes, self.graph.output)
        found: list[Node] = []
        position = 0
        while position < len(nodes):
            run = self._run_at(nodes, position, uses)
            first = nodes[position]
            if len(run) < 2:
                found.append(first)
                position += 1
                continue
            container = first.operation.target.rpartition(".")[0]
            hint = next((node.hint for node in reversed(run) if node.hint), "")
            node = replace(run[-1], args=first.args, kwargs=first.kwargs, hint=hint)
            self.plan.loops[node.name] = Loop(container, node)
            found.append(node)
            position += len(run)
        return found

    def _run_at(self, nodes: list[Node], position: int, uses: dict[str, int]) -> list[Node]:
        first = nodes[position]
        container, _, name = first.operation.target.rpartition(".")
        if first.operation.kind != "module" or not container or not first.args or not isinstance(first.args[0], Value):
            return []
        parent = self.definition.child(container)
        if not isinstance(parent, Definition) or parent.kind not in ("list", "sequential"):
            return []
        if next(iter(parent.children)) != name or len(nodes) < position + len(parent.children):
            return []
        names = list(parent.children)
        run = nodes[position : position + len(names)]
        for key, node, before in zip(names[1:], run[1:], run[:-1], strict=False):
            expected = replace(first.operation, target=f"{container}.{key}")
            rest = (node.args[1:], node.kwargs)
            if node.operation != expected or node.args[:1] != (Value(before.name),) or uses[before.name] != 1:
                return []
            if rest != (first.args[1:], first.kwargs):
                return []
        return run

    def _measure(self) -> None:
        for position, node in enumerate(self.plan.steps):
            for name in self.plan.variables((node.args, node.kwargs)):
                self.plan.last_use[name] = position
        for name in self.plan.variables(self.graph.output):
            self.plan.last_use[name] = len(self.plan.steps)


def _update(before: list[Node], node: Node, uses: dict[str, int]) -> tuple[str, Argument] | None:
    """Return operator and operand where the last two nodes take an item and change it, and `node` puts it back."""
    if len(before) < 2 or not is_setitem(node) or node.args[2] != Value(before[-1].name):
        return None
    taken, changed = before[-2:]
    if not is_getitem(taken) or taken.args != node.args[:2] or changed.args[:1] != (Value(taken.name),):
        return None
    if uses[taken.name] != 1 or uses[changed.name] != 1 or len(changed.args) != 2 or changed.kwargs:
        return None
    operator = _UPDATING_METHODS.get(changed.operation.target) if changed.operation.kind == "method" else None
    if is_in_place_operator(changed):
        operator = changed.operation.target.partition(":")[2]
    return None if operator is None else (operator, changed.args[1])


def _named_alike(nodes: Sequence[Node]) -> list[Node]:
    """Give an item without a name the one that the same item has elsewhere: `states = outputs[0]` in a loop."""
    sources = {node.name: node.hint for node in nodes}
    hints: dict[tuple[str, Argument], dict[str, None]] = {}
    places: dict[str, tuple[str, Argument]] = {}
    for node in nodes:
        if is_getitem(node) and isinstance(node.args[0], Value) and type(node.args[1]) is int:
            source = sources.get(node.args[0].name)
            if source:
                places[node.name] = (source, node.args[1])
                hints.setdefault(places[node.name], {}).update({node.hint: None} if node.hint else {})
    found = []
    for node in nodes:
        known = [] if node.hint or node.name not in places else list(hints[places[node.name]])
        found.append(replace(node, hint=known[0]) if len(known) == 1 else node)
    return found


def _sequences(argument: Argument) -> Iterator[tuple[Argument, ...]]:
    """Yield the tuples and lists that stand in an argument."""
    if isinstance(argument, FrozenDict):
        argument = tuple(argument.values())
    if isinstance(argument, tuple) and not isinstance(argument, torch.Size):
        yield argument
        for item in argument:
            yield from _sequences(item)


def _likeness(node: Node) -> tuple[object, ...]:
    """Return what calls of modules in one line of a loop have in common."""
    operation = node.operation
    return (re.sub(r"\d+", "", operation.target), operation.forward, len(node.args), tuple(node.kwargs))


def _count_uses(nodes: list[Node], output: Argument) -> dict[str, int]:
    uses: dict[str, int] = {node.name: 0 for node in nodes}
    for item in (*((node.args, node.kwargs) for node in nodes), output):
        for value in values_in(item):
            uses[value.name] = uses.get(value.name, 0) + 1
    return uses


def _is_cheap(node: Node) -> bool:
    """Tell whether reading it again is what a person would do: `x.shape`, `x.shape[0]`, `self.training`."""
    if node.operation.kind in ("field", "training"):
        return _is_scalar(node.type)
    return is_getitem(node) and _is_scalar(node.type) and not values_in(node.args[1])


def _is_scalar(kind: Type) -> bool:
    if isinstance(kind, SequenceType):
        return all(_is_scalar(item) for item in kind.items)
    return isinstance(kind, ScalarType)
