"""Values of a graph as the Python expressions that compute them, for messages. `graphnas.codegen` writes source."""

from __future__ import annotations

from graphnas.ir.graph import Graph
from graphnas.ir.literal import Argument, Value, format_literal

_INFIX = {
    "operator:add": "+",
    "operator:sub": "-",
    "operator:mul": "*",
    "operator:truediv": "/",
    "operator:floordiv": "//",
    "operator:mod": "%",
    "operator:pow": "**",
    "operator:eq": "==",
    "operator:ne": "!=",
    "operator:lt": "<",
    "operator:le": "<=",
    "operator:gt": ">",
    "operator:ge": ">=",
    "operator:and_": "&",
    "operator:or_": "|",
    "operator:is_": "is",
    "operator:is_not": "is not",
}


def expression(graph: Graph, name: str) -> str:
    """Return a value of a graph as the Python expression that computes it, for messages: `x.shape[1] > 4`.

    What the user's source gave a name to is called by that name.
    """
    try:
        node = graph[name]
    except KeyError:
        return name
    kind, target = node.operation.kind, node.operation.target
    if kind == "training":
        return "self.training"
    if kind == "attribute":
        return f"self.{target}"
    if kind == "module":
        return f"{node.variable or node.name}"
    parts = [_operand(graph, item) for item in node.args]
    parts += [f"{key}={_operand(graph, item)}" for key, item in node.kwargs.items()]
    if kind == "field":
        return f"{parts[0]}.{target}"
    if kind == "assign":
        return parts[0]
    if kind == "method":
        return f"{parts[0]}.{target}({', '.join(parts[1:])})"
    if target == "operator:getitem":
        return f"{parts[0]}[{parts[1]}]"
    if target in _INFIX and len(parts) == 2:
        return f"{parts[0]} {_INFIX[target]} {parts[1]}"
    return f"{target.rpartition(':')[2]}({', '.join(parts)})"


def _operand(graph: Graph, argument: Argument) -> str:
    if not isinstance(argument, Value):
        return format_literal(argument)
    node = graph.producer(argument)
    if node is not None and node.variable:
        return node.variable
    text = expression(graph, argument.name)
    return f"({text})" if node is not None and node.operation.target in _INFIX else text
