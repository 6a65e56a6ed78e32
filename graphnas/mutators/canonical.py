"""One spelling for operations that compute the same: `x.relu()`, `F.relu(x)`, `nn.ReLU()(x)`; `x += y` and `x + y`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import lru_cache

from graphnas.errors import GraphNASError
from graphnas.ir.calls import PLAIN_OPERATORS
from graphnas.ir.graph import Operation
from graphnas.ir.literal import Argument
from graphnas.ir.module import Child, ModuleSpec
from graphnas.ir.resolve import resolve

ACTIVATIONS: Mapping[str, str] = {
    "CELU": "celu",
    "ELU": "elu",
    "GELU": "gelu",
    "Hardsigmoid": "hardsigmoid",
    "Hardswish": "hardswish",
    "Hardtanh": "hardtanh",
    "LeakyReLU": "leaky_relu",
    "LogSigmoid": "logsigmoid",
    "Mish": "mish",
    "ReLU": "relu",
    "ReLU6": "relu6",
    "SELU": "selu",
    "Sigmoid": "sigmoid",
    "SiLU": "silu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Tanh": "tanh",
}
"""Activations without parameters: class of torch.nn, and function of `torch.nn.functional`."""

COMMUTATIVE = frozenset(
    {"operator:add", "operator:mul", "operator:eq", "operator:ne", "torch:maximum", "torch:minimum"}
)

_FUNCTIONS = {function: kind for kind, function in ACTIVATIONS.items()}
_IGNORED = ("inplace", "_stacklevel")
"""Arguments that say how, not what."""


def activation_of(operation: Operation, child: Child | None) -> str:
    """Return the function that an operation applies, `relu`, whether as module, function or method; else nothing."""
    if isinstance(child, ModuleSpec):
        return ACTIVATIONS.get(child.type, "") if child.target == f"torch.nn:{child.type}" else ""
    if operation.kind not in ("function", "method"):
        return ""
    module, _, name = operation.target.rpartition(":")
    if operation.kind == "function" and module not in ("torch", "torch.nn.functional"):
        return ""
    name = name.removesuffix("_")
    return name if name in _FUNCTIONS else ""


def canonical(
    operation: Operation, child: Child | None, args: tuple[Argument, ...], kwargs: Mapping[str, Argument]
) -> tuple[str, tuple[Argument, ...], Mapping[str, Argument]]:
    """Return a name for what is computed, and its arguments, alike for all ways to write it.

    Args:
        operation: What is done.
        child: The module that it calls.
        args: Positional arguments.
        kwargs: Keyword arguments.
    """
    activation = activation_of(operation, child)
    if activation:
        rest = {name: item for name, item in kwargs.items() if name != "input"}
        given = (child.args, child.kwargs) if isinstance(child, ModuleSpec) else (args[1:], rest)
        signature = _signature(f"torch.nn:{_FUNCTIONS[activation]}")
        return activation, args[:1] or (kwargs.get("input"),), _by_name(signature, *given)
    if operation.kind == "function":
        plain = PLAIN_OPERATORS.get(operation.target)
        if plain is not None and len(args) == 2 and not kwargs:
            return plain, args, kwargs
        signature = None if operation.target.startswith("operator:") else _signature(operation.target)
        if signature is not None:
            return operation.target, (), _by_name(signature, args, kwargs)
        return operation.target, args, kwargs
    return str(operation), args, kwargs


@lru_cache(maxsize=1024)
def _signature(target: str) -> inspect.Signature | None:
    try:
        return inspect.signature(resolve(target))
    except (GraphNASError, TypeError, ValueError):  # functions that are written in C have none
        return None


def _by_name(
    signature: inspect.Signature | None, args: tuple[Argument, ...], kwargs: Mapping[str, Argument]
) -> Mapping[str, Argument]:
    """Return arguments by name, defaults included, without those that do not change the result."""
    try:
        bound = signature.bind(*args, **kwargs) if signature is not None else None
    except TypeError:
        bound = None
    if bound is None:
        return {**{f"#{index}": item for index, item in enumerate(args)}, **kwargs}
    bound.apply_defaults()
    return {name: value for name, value in bound.arguments.items() if name not in _IGNORED}
