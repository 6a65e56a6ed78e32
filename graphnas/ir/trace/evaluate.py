"""Expressions, run: the tensor that a recorded expression builds."""

from __future__ import annotations

from typing import Any

import torch

from graphnas.ir.graph import Graph
from graphnas.ir.literal import Value, map_values, thaw
from graphnas.ir.resolve import resolve


def evaluate(graph: Graph) -> torch.Tensor | None:
    """Return the tensor of an expression, None if it does not build one; random state is left as it was."""
    values: dict[str, Any] = {}

    def actual(argument: Any) -> Any:
        return thaw(map_values(argument, lambda value: _Held(values[value.name])), resolve)

    with torch.random.fork_rng(devices=[]), torch.no_grad(), torch.device("cpu"):
        try:
            for node in graph.nodes:
                args = [_released(actual(arg)) for arg in node.args]
                kwargs = {name: _released(actual(arg)) for name, arg in node.kwargs.items()}
                values[node.name] = _run(node.operation.kind, node.operation.target, args, kwargs)
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):
            return None
    result = values.get(graph.output.name) if isinstance(graph.output, Value) else None
    return result.detach() if isinstance(result, torch.Tensor) else None


def _run(kind: str, target: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if kind == "function":
        return resolve(target)(*args, **kwargs)
    if kind == "method":
        return getattr(args[0], target)(*args[1:], **kwargs)
    if kind == "field":
        return getattr(args[0], target)
    raise TypeError(f"an expression holds a {kind} operation")


class _Held:
    """Keeps a tensor from being taken for plain data on its way through an argument."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _released(argument: Any) -> Any:
    if isinstance(argument, _Held):
        return argument.value
    if type(argument) in (tuple, list):
        return type(argument)(_released(item) for item in argument)
    if type(argument) is slice:
        return slice(_released(argument.start), _released(argument.stop), _released(argument.step))
    return argument
