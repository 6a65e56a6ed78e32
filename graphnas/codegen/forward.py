"""The body of one forward, statement by statement, and how the two modes share one body."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence

import torch

from graphnas.codegen import names, syntax
from graphnas.codegen.expressions import Expressions
from graphnas.codegen.holders import Holders
from graphnas.codegen.literals import Literals
from graphnas.codegen.modes import merge_modes
from graphnas.codegen.outline import outline
from graphnas.codegen.rolling import roll
from graphnas.codegen.schedule import Schedule, schedule
from graphnas.codegen.syntax import Expression, Function, Parameter, Statement
from graphnas.ir.effects import is_grad_switch, is_in_place_operator, is_setitem
from graphnas.ir.graph import ITEM, Graph, Node
from graphnas.ir.literal import FrozenDict, FrozenList, Value
from graphnas.ir.lru import LRU
from graphnas.ir.module import Definition, Forward
from graphnas.ir.types import MappingType, ObjectType, ScalarType, SequenceType, TensorType, Type

_ADDING = frozenset({"operator:add", "operator:iadd", "torch:add"})
_TENSOR = syntax.reference("torch:Tensor")


def forward_method(definition: Definition, number: int) -> Function:
    """Return the method for forward `number`: `forward`, then `forward_1` and so on.

    What was written before is remembered: it hangs on the graphs, and on what paths stand for.
    """
    forward = definition.forwards[number]
    key = (outline(definition), number, *(graph.key for graph in forward.graphs))
    found = _METHODS.get(key)
    if found is None:
        found = _written(definition, number)
        _METHODS.put(key, found)
    return found


_METHODS: LRU[Function] = LRU(4096)


def forget_forwards() -> None:
    """Forget what was written so far; only measurements of a cold start need this."""
    _METHODS.clear()


def _written(definition: Definition, number: int) -> Function:
    forward = definition.forwards[number]
    inputs = forward.eval.inputs
    return Function(
        f"forward_{number}" if number else "forward",
        tuple(_parameter(item.name, item.type) for item in inputs if not item.keyword_only),
        tuple(_both_modes(forward, definition)),
        tuple(_parameter(item.name, item.type) for item in inputs if item.keyword_only),
        _returned(forward.eval),
    )


def graph_body(graph: Graph, definition: Definition, *, owner: str = "init") -> tuple[list[Statement], Expression]:
    """Return the statements of a graph of the constructor, and the expression of its output.

    Args:
        graph: What is run.
        definition: What paths start from.
        owner: What it builds.
    """
    writer = _Writer(graph, definition, owner)
    return roll(writer.statements(), writer.output(), definition, writer.lists)


def _parameter(name: str, kind: Type) -> Parameter:
    return Parameter(name, _annotation(kind))


def _returned(graph: Graph) -> Expression | None:
    """Return the type of what a graph returns, as far as variants of a class would agree on it."""
    output = graph.output
    if isinstance(output, Value):
        return _annotation(graph.type_of(output))
    if isinstance(output, FrozenDict):
        return syntax.identifier("dict")
    if output is None or not isinstance(output, tuple) or isinstance(output, torch.Size):
        return None
    types = [graph.type_of(item) if isinstance(item, Value) else ObjectType("") for item in output]
    return _annotation(SequenceType("list" if isinstance(output, FrozenList) else "tuple", tuple(types)))


def _annotation(kind: Type) -> Expression | None:
    if isinstance(kind, TensorType):
        return _TENSOR
    if isinstance(kind, ScalarType):
        name = type(kind.value).__name__
        return syntax.identifier(name) if name in ("bool", "float", "int", "str") else None
    if isinstance(kind, MappingType):
        return syntax.identifier("dict")
    if not isinstance(kind, SequenceType):
        return None
    if kind.kind == "size":
        return syntax.reference("torch:Size")
    whole = syntax.identifier(kind.kind)
    if not kind.items or not all(isinstance(item, TensorType) for item in kind.items):
        return whole
    return syntax.subscript(whole, [_TENSOR] if kind.kind == "list" else [_TENSOR, syntax.literal("...")])


def _both_modes(forward: Forward, definition: Definition) -> list[Statement]:
    bodies: list[list[Statement]] = []
    for graph in forward.graphs:
        writer = _Writer(graph, definition)
        body, output = roll(writer.statements(), writer.output(), definition, writer.lists)
        bodies.append([*body, syntax.return_of(syntax.bare(output))])
    return bodies[0] if len(bodies) == 1 else merge_modes(*bodies)


def _gradient_blocks(steps: Sequence[Node]) -> tuple[dict[int, bool], dict[int, int]]:
    """Pair the switches of gradients that a `with` block makes.

    Returns:
        Positions that open a block, each with whether gradients are on in it; positions that close one, each with the
        position that opened it. Both are empty where the switches are no blocks one inside the other.
    """
    switches = [(position, node.args[0]) for position, node in enumerate(steps) if is_grad_switch(node)]
    opens: dict[int, bool] = {}
    closes: dict[int, int] = {}
    open_blocks: list[tuple[int, bool]] = []
    current = switches[-1][1] if switches else True  # what is put back at the end was in force at the start
    for position, enabled in switches:
        if open_blocks and open_blocks[-1][1] == enabled:
            closes[position] = open_blocks.pop()[0]
        else:
            opens[position] = enabled
            open_blocks.append((position, current))
        current = enabled
    return ({}, {}) if open_blocks else (opens, closes)


class _Writer:
    def __init__(
        self,
        graph: Graph,
        definition: Definition,
        owner: str = "",
    ) -> None:
        self.graph = graph
        self.plan: Schedule = schedule(graph, definition)
        self.literals = Literals(self._value)
        returned = graph.output.name if isinstance(graph.output, Value) and not graph.uses(graph.output) else ""
        self.expressions = Expressions(definition, self.literals, owner, unnamed=(returned,))
        self.variable: dict[str, str] = {item.name: item.name for item in graph.inputs}
        self.types: dict[str, Type] = {
            **{item.name: item.type for item in graph.inputs},
            **{node.name: node.type for node in graph.nodes},
        }
        self.last_use = self._last_uses()
        self.rebound = self._rebound()
        self.holders = Holders(self.last_use, self.variable)
        self.hints = {node.name: node.variable for node in graph.nodes}
        self.places = {node.name: place for place, node in enumerate(graph.nodes)}
        self.taken = {*self.variable}  # by a variable so far
        self.copies: dict[str, int] = {}
        self.values = {name: [name] for name in self.variable}
        self.body: list[Statement] = []
        self.bound: list[str] = []
        self.ends: dict[str, tuple[list[Statement], int]] = dict.fromkeys(self.variable, (self.body, 0))
        self.waiting: list[tuple[list[Statement], int, Statement]] = []
        self.lists: dict[str, str] = {}

    def statements(self) -> list[Statement]:
        opens, closes = _gradient_blocks(self.plan.steps)
        outer: list[list[Statement]] = []
        for position, node in enumerate(self.plan.steps):
            if position in opens:
                outer.append(self.body)
                self.body = []
            elif position in closes:
                self._insert_copies()
                inner, self.body = self.body, outer.pop()
                if inner:
                    context = syntax.reference("torch:enable_grad" if opens[closes[position]] else "torch:no_grad")
                    self.body.append(syntax.with_statement(syntax.call(context), inner))
            else:
                self._step(position, node)
                self.ends.update((value, (self.body, len(self.body))) for value in self.bound)
                self.bound.clear()
        self._insert_copies()
        return self.body

    def output(self) -> Expression:
        return self.literals.write(self.graph.output)

    def _last_uses(self) -> dict[str, int]:
        """Last uses, with `x += y` and `x` as one variable: both are the same tensor."""
        last = dict(self.plan.last_use)
        for node in reversed(self.plan.steps):
            if is_in_place_operator(node) and isinstance(node.args[0], Value):
                source = node.args[0].name
                last[source] = max(last.get(source, -1), last.get(node.name, -1))
        for node in self.plan.steps:
            if is_in_place_operator(node) and isinstance(node.args[0], Value):
                last[node.name] = last[node.args[0].name]
        return last

    def _rebound(self) -> dict[str, list[int]]:
        """Return the positions of the steps that the user gave each variable in."""
        found: dict[str, list[int]] = {}
        for position, node in enumerate(self.plan.steps):
            for item in (node, *self.plan.unpacked.get(node.name, ())):
                if item is None or not item.variable or item.name not in self.last_use or is_in_place_operator(item):
                    continue
                found.setdefault(item.variable, []).append(position)
        return found

    def _value(self, name: str) -> Expression:
        inner = self.plan.inlined.get(name)
        return syntax.identifier(self.variable[name]) if inner is None else self.expressions.write(inner)

    def _step(self, position: int, node: Node) -> None:
        if node.operation.kind == "assign":
            self.body.append(self.expressions.assign(node))
        elif is_setitem(node):
            self.body.append(self.expressions.setitem(node, self.plan.updates.get(node.name)))
        elif is_in_place_operator(node):
            self._in_place(position, node)
        elif node.name in self.plan.loops:
            self._loop(position, node)
        elif node.name in self.plan.unpacked:
            self._unpack(position, node)
        elif node.name not in self.last_use:
            self.body.append(syntax.expression_statement(self.expressions.write(node)))
        else:
            self._assign(position, node)

    def _assign(self, position: int, node: Node) -> None:
        value = self.expressions.write(node)
        self._make_room(position, node)
        self.body.append(syntax.assign(syntax.identifier(self._name(position, node)), value))

    def _in_place(self, position: int, node: Node) -> None:
        target = node.args[0]
        if isinstance(target, Value) and target.name in self.plan.inlined:  # an attribute of the module
            self.body.append(self.expressions.augmented(node, self._value(target.name)))
            self.plan.inlined[node.name] = self.plan.inlined[target.name]
            return
        name = target.name if isinstance(target, Value) else ""
        is_tensor = isinstance(self.types.get(name), TensorType)
        if not is_tensor and self.last_use.get(name, -1) > position:
            # A number is bound anew, not changed: whoever holds the old one must not see the new one.
            fresh = names.free_name(self.variable[name], self.holders.names)
            self.body.append(syntax.assign(syntax.identifier(fresh), self._value(name)))
            self._bind(fresh, node.name)
            self.body.append(self.expressions.augmented(node, syntax.identifier(fresh)))
            return
        self.body.append(self.expressions.augmented(node, self._value(name)))
        self._bind(self.variable[name], node.name)

    def _loop(self, position: int, node: Node) -> None:
        loop = self.plan.loops[node.name]
        self._make_room(position, node)
        first = self.literals.write(node.args[0])
        extras = self.plan.variables((node.args[1:], node.kwargs))
        kept = {self.variable[name] for name in extras}
        name = self._name(position, node, barred=kept)
        if first != syntax.identifier(name):
            self.body.append(syntax.assign(syntax.identifier(name), first))
        variable = names.loop_name(loop.container, self.holders.names)
        self.body.append(self.expressions.loop(loop.container, variable, node, name))

    def _unpack(self, position: int, node: Node) -> None:
        value = self.expressions.write(node)
        targets: list[Expression] = []
        chosen: list[str] = []
        for item in self.plan.unpacked[node.name]:
            if item is None or item.name not in self.last_use:
                targets.append(syntax.identifier("_"))
                continue
            chosen.append(self._name(position, item, barred=set(chosen)))
            targets.append(syntax.identifier(chosen[-1]))
        self.body.append(syntax.assign(syntax.tuple_of(targets, bare=True), value))

    def _make_room(self, position: int, node: Node) -> None:
        """Where the user's name is still held by an earlier value of that name, copy that one to a name of its own."""
        name = node.variable
        held = self.holders.get(name) if name else None
        if held is None or self.holders.is_free(name, position) or not isinstance(self.types[held], TensorType):
            return
        if self.hints.get(held, held) != name or not names.is_usable(name):
            return
        alias = self._kept_name(held, position, node)
        self._copy(held, syntax.assign(syntax.identifier(alias), syntax.identifier(name)))
        self.holders.release(name)
        values = self.values.pop(name)
        self.values[alias] = values
        self.variable.update((value, alias) for value in values)
        self.holders.bind(alias, held)
        self.taken.add(alias)

    def _copy(self, value: str, copy: Statement) -> None:
        """Put a copy right behind what it copies, whoever takes the name, so that turns of a loop have theirs alike."""
        body, end = self.ends[value]
        if body is self.body:
            self.waiting.append((body, end, copy))
        else:
            self.body.append(copy)

    def _insert_copies(self) -> None:
        here = [item for item in self.waiting if item[0] is self.body]
        self.waiting = [item for item in self.waiting if item[0] is not self.body]
        for body, end, copy in sorted(here, key=lambda item: item[1], reverse=True):
            body.insert(end, copy)

    def _name(self, position: int, node: Node, barred: Collection[str] = ()) -> str:
        """Choose the variable of a value: its hint, the variable of its first operand if that is done, or a new one."""
        candidates = [node.variable] if node.variable else []
        if not node.hint and isinstance(node.type, TensorType):
            own = [self.variable[name] for name in self.plan.variables(node.args)[:1] if name in self.variable]
            end = self.last_use[node.name]
            candidates += [name for name in own if not self._is_rebound(name, position, end)]
        for name in candidates:
            if names.is_usable(name, barred) and self.holders.is_free(name, position):
                return self._bind(name, node.name)
        base = names.base_name(node)
        collected = "" if node.hint == node.variable else node.hint.removesuffix(ITEM).rstrip("_0123456789")
        if collected:
            base = names.item_name(collected, base)
        elif names.is_usable(node.variable):
            base = node.variable
        name = self._bind(self.holders.fresh(base, position, barred), node.name)
        if collected:
            self.lists[name] = collected
        return name

    def _is_rebound(self, name: str, start: int, end: int) -> bool:
        """Tell whether the user gives a variable to another value between two steps."""
        positions = self.rebound.get(name, [])
        later = bisect_right(positions, start)
        return later < len(positions) and positions[later] < end

    def _kept_name(self, value: str, position: int, taker: Node) -> str:
        """Return `shortcut` for what is added after `taker` took its name, and `x1`, `x2` for the rest."""
        late = [item for item in self.graph.uses(Value(value)) if self.places[item.name] > self.places[taker.name]]
        end = self.last_use[value]
        if len(late) == 1 and late[0].operation.target in _ADDING:
            free = (name for name in names.ALIASES if not self._is_taken(name, position, end))
            return next(free, "") or self._numbered("kept", 2, position, end)
        return self._numbered(taker.variable, 1, position, end)

    def _is_taken(self, name: str, start: int, end: int) -> bool:
        """Tell whether a variable had the name before, or the user gives it to another value between two steps."""
        return name in self.taken or self._is_rebound(name, start, end)

    def _numbered(self, base: str, first: int, start: int, end: int) -> str:
        """Return `base` with a number that is not taken; the search goes on where the last one ended."""
        number = self.copies.get(base, first)
        while self._is_taken(names.numbered(base, number), start, end):
            number += 1
        self.copies[base] = number
        return names.numbered(base, number)

    def _bind(self, name: str, value: str) -> str:
        self.variable[value] = name
        self.values.setdefault(name, []).append(value)
        self.bound.append(value)
        self.holders.bind(name, value)
        self.taken.add(name)
        return name
