"""Operations that overwrite what they are given: where an edit hands them another value, they stop doing so.

`nn.ReLU(inplace=True)` behind a normalisation is harmless. Behind a value that is used elsewhere, or that gradients are
computed from, it changes what the others see, or fails in the backward pass. So an edit that gives a value new users
calls `protect` on it.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from graphnas.ir.constructor import with_arguments
from graphnas.ir.edits import ancestors
from graphnas.ir.effects import is_in_place_operator
from graphnas.ir.graph import Node
from graphnas.ir.infer import leaf_module
from graphnas.ir.literal import Value
from graphnas.ir.module import Definition, ModuleSpec, join
from graphnas.ir.rewrite import Rewriter


def protect(model: Rewriter, path: str, value: Value) -> None:
    """Let no operation overwrite a value: each that would becomes one that makes a new tensor.

    Args:
        model: The open edit.
        path: Path of the definition in whose graph the value is.
        value: A value of a node or an input.
    """
    done: set[str] = set()
    while True:
        definition = model.definition(path)
        users = [node for graph in definition.graphs for node in graph.nodes if value in node.inputs]
        node = next((node for node in users if node.name not in done), None)
        if node is None:
            break
        done.add(node.name)
        child = definition.child(node.operation.target) if node.operation.kind == "module" else None
        if isinstance(child, Definition):
            for name, given in zip(child.forwards[node.operation.forward].inputs, _arguments(child, node), strict=True):
                if given == value:
                    protect(model, join(path, node.operation.target), Value(name))
        elif overwritten(definition, node) == value:
            _make_plain(model, f"{path}:{node.name}", node, child)
    if any(value in graph.output_values for graph in model.definition(path).graphs):
        for above, definition in tuple(ancestors(model.root, path)):
            below = path[len(above) + 1 :] if above else path
            calls = {
                node.name: node.value for graph in definition.graphs for node in graph.nodes if _calls(node, below)
            }
            for result in calls.values():
                protect(model, above, result)


def _calls(node: Node, path: str) -> bool:
    return node.operation.kind == "module" and node.operation.target == path


def overwritten(definition: Definition, node: Node) -> Value | None:
    """Return the value that a node overwrites, as far as it says so itself; None if there is none."""
    operation = node.operation
    if not node.args or not isinstance(node.args[0], Value):
        return None
    if operation.kind == "module":
        child = definition.child(operation.target)
        is_in_place = isinstance(child, ModuleSpec) and bool(getattr(leaf_module(child), "inplace", False))
    else:
        name = operation.target.rpartition(":")[2]
        underscored = operation.kind in ("function", "method") and name.endswith("_") and not name.endswith("__")
        is_in_place = underscored or is_in_place_operator(node) or node.kwargs.get("inplace") is True
    return node.args[0] if is_in_place else None


def overwrites(definition: Definition, node: Node, value: Value) -> bool:
    """Tell whether a node, or what it calls, overwrites one of the values that it takes."""
    child = definition.child(node.operation.target) if node.operation.kind == "module" else None
    if not isinstance(child, Definition):
        return overwritten(definition, node) == value
    forward = child.forwards[node.operation.forward]
    return any(
        overwrites(child, inner, Value(name))
        for name, given in zip(forward.inputs, _arguments(child, node), strict=True)
        if given == value
        for graph in forward.graphs
        for inner in graph.nodes
        if Value(name) in inner.inputs
    )


def _arguments(callee: Definition, node: Node) -> tuple[object, ...]:
    """Return the arguments of a call in the order of the inputs."""
    positional = iter(node.args)
    inputs = callee.forwards[node.operation.forward].inputs
    return tuple(node.kwargs[name] if name in node.kwargs else next(positional) for name in inputs)


def _make_plain(model: Rewriter, site: str, node: Node, child: ModuleSpec | None) -> None:
    operation, kwargs = node.operation, node.kwargs
    if child is not None:
        model.replace_operation(site, with_arguments(child, {"inplace": False}, site))
        return
    if kwargs.get("inplace") is True:
        model.replace_operation(site, operation, kwargs=kwargs.without("inplace"))
        return
    if is_in_place_operator(node):
        target = f"operator:{operation.target.removeprefix('operator:i')}"
    else:
        target = operation.target.removesuffix("_")
    known = operation.kind == "function" or hasattr(torch.Tensor, target)
    if known and operation.target != "operator:setitem":
        model.replace_operation(site, replace(operation, target=target))
