"""What callables call their parameters, and which defaults they have: of torch's builtins as well."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch

from graphnas.codegen.literals import Literals
from graphnas.codegen.syntax import Tree
from graphnas.errors import CodegenError, GraphNASError
from graphnas.ir.graph import Operation
from graphnas.ir.literal import freeze
from graphnas.ir.resolve import resolve

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_OPERATORS = {"mul": "scale", "truediv": "divisor", "floordiv": "divisor", "add": "offset", "sub": "offset"}
_FACTORIES = tuple(f"torch:{name}" for name in ("empty", "zeros", "ones", "rand", "randn"))
_OPERATORS |= {"imul": "scale", "itruediv": "divisor", "iadd": "offset", "isub": "offset", "pow": "exponent"}


@cache
def parameter_names(target: str) -> tuple[str, ...]:
    """Return the names of a callable's positional parameters, none where they cannot be known."""
    return tuple(name for name, item in _parameters(target).items() if item.kind in _POSITIONAL)


@cache
def defaults(target: str) -> Mapping[str, Tree]:
    """Return the defaults of a callable that have a form in source, by name of the parameter."""
    found: dict[str, Tree] = {}
    for name, item in _parameters(target).items():
        if item.default is inspect.Parameter.empty:
            continue
        try:
            found[name] = Literals().write(freeze(item.default))
        except (TypeError, CodegenError):
            continue
    return found


@cache
def inherited(target: str) -> frozenset[str]:
    """Return names that modules of a class set on themselves, as far as its class and constructor tell."""
    try:
        return frozenset([*dir(resolve(target)), *_parameters(target)])
    except GraphNASError:
        return frozenset()


_ROLES = {
    "activation": "activation_layer",
    **dict.fromkeys(("batchnorm", "instancenorm", "normalization"), "norm_layer"),
}


@cache
def role(target: str) -> str:
    """Return what people call a class of torch that is handed in because others could take its place, or nothing."""
    if not target.startswith("torch.nn:"):
        return ""
    try:
        module = str(resolve(target).__module__)
    except (GraphNASError, AttributeError):
        return ""
    return _ROLES.get(module.removeprefix("torch.nn.modules."), "")


def operand_name(operation: Operation, position: int) -> str:
    """Return what an operation calls the argument at a position: `stride` of `conv2d`, `dim` of `x.mean`."""
    module, _, name = operation.target.partition(":")
    if module == "operator":
        return _OPERATORS.get(name, "value")
    known: tuple[str, ...] = ()
    if operation.kind in ("function", "method"):  # a child may have the name of a module of Python: nothing is imported
        known = parameter_names(f"torch:Tensor.{operation.target}" if operation.kind == "method" else operation.target)
    if operation.target in _FACTORIES:
        return "dim"
    if position < len(known):
        return {"shape": "size"}.get(known[position], known[position])
    return "size" if operation.kind == "method" else "value"


def _parameters(target: str) -> Mapping[str, inspect.Parameter]:
    try:
        function = resolve(target)
        signature = _signature(function)
    except (GraphNASError, KeyError, TypeError, ValueError):
        return {}
    return signature.parameters


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return inspect.signature(_overrides()[function])  # a builtin, which has no signature of its own


@cache
def _overrides() -> Mapping[Callable[..., Any], Callable[..., Any]]:
    found: dict[Callable[..., Any], Callable[..., Any]] = torch.overrides.get_testing_overrides()
    return found
