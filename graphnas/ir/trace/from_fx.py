"""From the fx graph of one call to the graph of the IR."""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.fx

from graphnas.errors import GraphNASError, TraceError
from graphnas.ir.abstract import type_of
from graphnas.ir.calls import is_impure, is_random
from graphnas.ir.effects import statistics_of
from graphnas.ir.graph import ITEM, Graph, Guard, Input, Node, Operation
from graphnas.ir.literal import Argument, FrozenDict, FrozenList, Value, freeze
from graphnas.ir.resolve import path_of
from graphnas.ir.trace.imported import is_generated_name
from graphnas.ir.trace.recorder import read_training
from graphnas.ir.trace.scope import Call
from graphnas.ir.trace.state import assign_attribute
from graphnas.ir.types import ObjectType


def graph_of(call: Call, forward_of: Callable[[str, int], int]) -> Graph:
    """Return the IR graph of a traced call.

    Args:
        call: The traced call.
        forward_of: Gives the number of the specialised forward for the path of a module and the number of its call.

    Raises:
        TraceError: A function in it cannot be imported by any name.
    """
    live = _live(call)
    names = _names(call, live)
    appended = Counter(str(node.meta["location"]) for node in live if _is_appended(node))
    inputs = tuple(Input(names[node], type_of(node.meta["val"]), keyword_only) for node, keyword_only in call.inputs)
    nodes = tuple(
        _node(node, names, forward_of, appended)
        for node in call.graph.nodes
        if node in live and node.op not in _STRUCTURE
    )
    output = next(node for node in call.graph.nodes if node.op == "output")
    guards = tuple(Guard(names[node], freeze(outcome), location) for node, outcome, location in call.guards)
    return Graph(inputs, nodes, _argument(output.args[0], names), guards)


_GRAD_MODE = ObjectType("torch.autograd.grad_mode:set_grad_enabled")
_STRUCTURE = ("placeholder", "output")


def _live(call: Call) -> dict[torch.fx.Node, None]:
    """Return the nodes that something comes of: the output, a guard, a module or an effect."""
    wanted = dict.fromkeys(node for node, _, _ in call.guards)
    live: dict[torch.fx.Node, None] = {}
    for node in reversed(call.graph.nodes):
        keep = node.op in ("output", "placeholder", "call_module") or node in wanted or _has_effect(node)
        if keep:
            live[node] = None
            wanted.update(dict.fromkeys(node.all_input_nodes))
    return live


def _has_effect(node: torch.fx.Node) -> bool:
    if node.op not in ("call_function", "call_method"):
        return False
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if node.target is assign_attribute or is_impure(node.target, node.kwargs):
        return True
    if statistics_of(name, node.args, node.kwargs):
        return True
    return is_random(name)


def _names(call: Call, live: dict[torch.fx.Node, None]) -> dict[torch.fx.Node, str]:
    """Name inputs as the user's signature does, and number the other values anew, without gaps."""
    names: dict[torch.fx.Node, str] = {}
    taken: dict[str, int] = {}

    def name(base: str) -> str:
        base = "".join(c if c.isalnum() or c == "_" else "_" for c in base).strip("_") or "value"
        if keyword.iskeyword(base) or base == "self":
            base = f"{base}_"
        elif base[0].isdigit():
            base = f"n{base}"
        candidate, count = base, taken.get(base, 0)
        while candidate in taken:
            count += 1
            candidate = f"{base}_{count}"
        taken[base] = count
        taken.setdefault(candidate, 0)
        return candidate

    for node, _ in call.inputs:
        names[node] = name(str(node.target))
    for node in call.graph.nodes:
        if node in live and node not in names:
            names[node] = name(_base(node))
    return names


def _base(node: torch.fx.Node) -> str:
    if node.op in ("call_module", "get_attr"):
        return str(node.target).replace(".", "_")
    if node.target is getattr:
        return str(node.args[1])
    if node.target is read_training:
        return "training"
    if node.target is assign_attribute:
        return f"new_{node.args[0]}"
    return node.target if isinstance(node.target, str) else str(getattr(node.target, "__name__", "value"))


def _is_appended(node: torch.fx.Node) -> bool:
    """Tell whether a value was appended to a list as soon as it was computed."""
    return str(node.meta.get("hint", "")).endswith(ITEM)


def _hint(node: torch.fx.Node, appended: Mapping[str, int]) -> str:
    """Return the variable that the user gave a value to; that of a list only if a loop fills it."""
    if is_generated_name(node, _base(node)) or (_is_appended(node) and appended[node.meta["location"]] < 2):
        return ""
    return str(node.meta.get("hint", ""))


def _node(
    node: torch.fx.Node,
    names: dict[torch.fx.Node, str],
    forward_of: Callable[[str, int], int],
    appended: Mapping[str, int],
) -> Node:
    args = node.args
    target: Any = node.target
    if node.op == "call_module":
        path, number = node.meta.get("call", ("", 0))
        operation = Operation("module", target, forward_of(path, number) if "call" in node.meta else 0)
    elif node.op == "get_attr":
        operation = Operation("attribute", target)
    elif node.op == "call_method":
        operation = Operation("method", target)
    elif target is getattr:
        operation, args = Operation("field", str(args[1])), args[:1]
    elif target is torch.numel:
        operation = Operation("method", "numel")
    elif target is assign_attribute:
        operation, args = Operation("assign", str(args[0])), args[1:]
    elif target is read_training:
        operation = Operation("training", "")
    else:
        operation = Operation("function", _function_path(target, node))
    return Node(
        name=names[node],
        operation=operation,
        args=tuple(_argument(arg, names) for arg in args),
        kwargs=FrozenDict((name, _argument(arg, names)) for name, arg in node.kwargs.items()),
        type=_GRAD_MODE if target is torch.set_grad_enabled else type_of(node.meta["val"]),
        hint=_hint(node, appended),
        location=node.meta.get("location", ""),
    )


def _function_path(function: Callable[..., Any], node: torch.fx.Node) -> str:
    try:
        return path_of(function)
    except GraphNASError as error:
        location = node.meta.get("location", "")
        raise TraceError(f"{location}: {error}", location=location) from None


def _argument(argument: Any, names: dict[torch.fx.Node, str]) -> Argument:
    if isinstance(argument, torch.fx.Node):
        return Value(names[argument])
    if isinstance(argument, list):  # fx keeps lists as immutable ones
        return FrozenList(_argument(item, names) for item in argument)
    if isinstance(argument, dict):
        return FrozenDict((key, _argument(item, names)) for key, item in argument.items())
    if isinstance(argument, tuple) and not isinstance(argument, (FrozenList, torch.Size)):
        return tuple(_argument(item, names) for item in argument)
    if isinstance(argument, slice):
        return slice(*(_argument(item, names) for item in (argument.start, argument.stop, argument.step)))
    return freeze(argument)
