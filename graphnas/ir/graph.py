"""One forward as a graph: operations in the order of their execution, each producing one named value.

A graph is a value: nothing in it changes after construction. Nodes refer to each other by name, so graphs are shared,
compared, printed and stored without a copy. Changes go through `graphnas.ir.rewrite.Rewriter`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal as OneOf
from typing import TypeAlias

from graphnas.ir.keyed import Keyed
from graphnas.ir.literal import Argument, FrozenDict, Literal, Value, values_in
from graphnas.ir.types import Type

OperationKind: TypeAlias = OneOf["module", "function", "method", "field", "attribute", "assign", "training"]


@dataclass(frozen=True, slots=True)
class Operation:
    """What a node does.

    | kind | target | computes |
    |---|---|---|
    | `module` | path of a child, `layer1.0` | `self.layer1[0](*args, **kwargs)` by its forward number `forward` |
    | `function` | `torch.nn.functional:relu` | `relu(*args, **kwargs)`; operators are `operator:add`, … |
    | `method` | `view` | `args[0].view(*args[1:], **kwargs)` |
    | `field` | `shape` | `args[0].shape` |
    | `attribute` | path of a parameter, buffer or constant, `norm.weight` | `self.norm.weight` |
    | `assign` | path of a buffer or constant, `state` | `self.state = args[0]`, which is its value too |
    | `training` | empty | `self.training` |
    """

    kind: OperationKind
    target: str
    forward: int = 0

    def __str__(self) -> str:
        if self.kind == "training":
            return "training"
        suffix = f"#{self.forward}" if self.forward else ""
        return f"{self.kind} {self.target}{suffix}"


ITEM = "[]"
"""Stands behind the variable of a list in the hint of a value that is appended to it."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation and the value that it produces.

    Attributes:
        name: Name of the value, unique in the graph.
        operation: What is computed.
        args: Positional arguments.
        kwargs: Keyword arguments, in the order in which they were written.
        type: Type of the value for the example inputs.
        hint: The variable that the user's source gave the value to, or the empty string. Not unique: `x = f(x)`. Of a
            value that a loop appends to a list, the variable of the list: `xs[]` for `xs.append(f(x))`.
        label: A name by which mutators find the node, or the empty string.
        location: `file:line` of the call; not part of equality, keys or hashes.
    """

    name: str
    operation: Operation
    args: tuple[Argument, ...]
    kwargs: FrozenDict[Argument]
    type: Type
    hint: str = ""
    label: str = ""
    location: str = field(default="", compare=False)
    _inputs: tuple[Value, ...] | None = field(default=None, init=False, repr=False, compare=False)
    _written: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def value(self) -> Value:
        """The value that this node produces, for use in arguments."""
        return Value(self.name)

    @property
    def variable(self) -> str:
        """The variable that the source gave the value itself to, or the empty string."""
        return "" if self.hint.endswith(ITEM) else self.hint

    @property
    def inputs(self) -> tuple[Value, ...]:
        """Every use of a value in the arguments, in order, repetitions included."""
        found = self._inputs
        if found is None:
            found = values_in((self.args, self.kwargs))
            object.__setattr__(self, "_inputs", found)  # remembered: whoever walks a graph asks
        return found


@dataclass(frozen=True, slots=True)
class Input:
    """A parameter of a forward; `keyword_only` where it must be passed by name."""

    name: str
    type: Type
    keyword_only: bool = False


@dataclass(frozen=True, slots=True)
class Guard:
    """A decision that was taken by value while tracing; it holds as long as `value` evaluates to `outcome`.

    Attributes:
        value: Name of the value that the decision hangs on, a scalar of the same graph.
        outcome: The value it had.
        location: `file:line` of the decision; not part of equality, keys or hashes.
    """

    value: str
    outcome: Literal
    location: str = field(default="", compare=False)


@dataclass(frozen=True, eq=False)
class Graph(Keyed):
    """The body of one forward.

    Attributes:
        inputs: Parameters, `self` left out.
        nodes: Operations in the order of execution.
        output: What is returned: a value, or any nesting of values and literals.
        guards: Decisions under which this graph is the user's forward.
    """

    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    output: Argument
    guards: tuple[Guard, ...] = ()

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def _uses(self) -> dict[str, tuple[Node, ...]]:
        names = (*(item.name for item in self.inputs), *(node.name for node in self.nodes))
        uses: dict[str, list[Node]] = {name: [] for name in names}
        for node in self.nodes:
            for name in dict.fromkeys(value.name for value in node.inputs):
                uses.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in uses.items()}

    def __contains__(self, name: object) -> bool:
        return name in self._uses

    def __getitem__(self, name: str) -> Node:
        """Return the node of that name; `KeyError` for the name of an input."""
        return self._by_name[name]

    def producer(self, value: Value) -> Node | None:
        """Return the node that produces `value`, None if it is an input."""
        return self._by_name.get(value.name)

    def uses(self, value: Value) -> tuple[Node, ...]:
        """Return the nodes that take `value`, each once, in the order of execution. The output is not a node."""
        return self._uses[value.name]

    def type_of(self, value: Value) -> Type:
        """Return the type of an input or of a node's value."""
        for item in self.inputs:
            if item.name == value.name:
                return item.type
        return self._by_name[value.name].type

    @cached_property
    def output_values(self) -> tuple[Value, ...]:
        """Every use of a value in the output, in order."""
        return values_in(self.output)


EMPTY_GRAPH = Graph((), (), None)
"""The graph that does nothing and returns None."""
