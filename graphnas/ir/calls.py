"""What torch hands to a tracer as a function, and what it is called in a graph.

Torch reports `x + y`, `x.add(y)` and `torch.Tensor.add(x, y)` alike, as a method of `Tensor`. Where an operator says
the same, the operator is recorded, since that is what people write.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch

_OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "true_divide": operator.truediv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "pow": operator.pow,
    "matmul": operator.matmul,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "bitwise_and": operator.and_,
    "bitwise_or": operator.or_,
    "bitwise_xor": operator.xor,
    "__add__": operator.add,
    "__sub__": operator.sub,
    "__mul__": operator.mul,
    "__truediv__": operator.truediv,
    "__floordiv__": operator.floordiv,
    "__mod__": operator.mod,
    "__pow__": operator.pow,
    "__matmul__": operator.matmul,
    "__eq__": operator.eq,
    "__ne__": operator.ne,
    "__lt__": operator.lt,
    "__le__": operator.le,
    "__gt__": operator.gt,
    "__ge__": operator.ge,
    "__and__": operator.and_,
    "__or__": operator.or_,
    "__xor__": operator.xor,
    "__lshift__": operator.lshift,
    "__rshift__": operator.rshift,
    "__getitem__": operator.getitem,
    "__setitem__": operator.setitem,
}
_SWAPPED: dict[str, Callable[..., Any]] = {
    "__radd__": operator.add,
    "__rsub__": operator.sub,
    "__rmul__": operator.mul,
    "__rdiv__": operator.truediv,
    "__rtruediv__": operator.truediv,
    "__rfloordiv__": operator.floordiv,
    "__rmod__": operator.mod,
    "__rpow__": operator.pow,
    "__rmatmul__": operator.matmul,
    "__rand__": operator.and_,
    "__ror__": operator.or_,
    "__rxor__": operator.xor,
    "__rlshift__": operator.lshift,
    "__rrshift__": operator.rshift,
}
_UNARY: dict[str, Callable[..., Any]] = {
    "neg": operator.neg,
    "__neg__": operator.neg,
    "__invert__": operator.invert,
    "bitwise_not": operator.invert,
    "__abs__": abs,
}

_AUGMENTED: dict[str, Callable[..., Any]] = {
    "add_": operator.iadd,
    "sub_": operator.isub,
    "mul_": operator.imul,
    "div_": operator.itruediv,
    "__iadd__": operator.iadd,
    "__isub__": operator.isub,
    "__imul__": operator.imul,
    "__idiv__": operator.itruediv,
    "__itruediv__": operator.itruediv,
}

PLAIN_OPERATORS: Mapping[str, str] = {
    **{f"operator:{item.__name__}": f"operator:{item.__name__[1:]}" for item in _AUGMENTED.values()},
    **{f"torch:{name}": f"operator:{item.__name__}" for name, item in _OPERATORS.items() if hasattr(torch, name)},
}
"""The operator that a function of two tensors amounts to: `x + y` for `x += y` and `torch.add(x, y)`."""

IN_PLACE = frozenset(
    {"setitem", "__setitem__", "delitem", "__delitem__"}
    | {function.__name__ for function in _AUGMENTED.values()}
    | {name for name in _AUGMENTED if name.endswith("__")}
)
"""Names of functions that change an argument without saying so by an underscore."""


def canonical_call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, augmented: bool = False
) -> tuple[str, Callable[..., Any] | str, tuple[Any, ...]]:
    """Return the kind of fx node, its target and its arguments for a call that torch reported.

    A method of `Tensor` becomes an operator where there is one, else `call_method`; the rest is `call_function`.

    Args:
        function: What was called.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        augmented: Whether the call is an augmented assignment in the user's source.
    """
    name = getattr(function, "__name__", "")
    if not is_tensor_method(function):
        return "call_function", function, args
    if not kwargs:
        if augmented and len(args) == 2 and name in _AUGMENTED:
            return "call_function", _AUGMENTED[name], args
        if len(args) == 2 and name in _SWAPPED:
            return "call_function", _SWAPPED[name], (args[1], args[0])
        if name in _OPERATORS and len(args) == (3 if name == "__setitem__" else 2):
            return "call_function", _OPERATORS[name], args
        if len(args) == 1 and name in _UNARY:
            return "call_function", _UNARY[name], args
    return "call_method", name, args


def is_tensor_method(function: Callable[..., Any]) -> bool:
    """Tell whether a function is a method of `torch.Tensor`, written in C or in Python."""
    if getattr(function, "__objclass__", None) is torch._C.TensorBase:
        return True
    name, owner = getattr(function, "__name__", ""), getattr(function, "__qualname__", "").rpartition(".")[0]
    return owner in ("Tensor", "TensorBase") and hasattr(torch.Tensor, name)


def without_defaults(function: Callable[..., Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return keyword arguments without those that say what is the default anyway.

    Functions of torch that are written in Python report every argument, given or not; and people pass on arguments of
    their own, `device=None`. Of a function that is written in C, all overloads that have the argument must agree.
    """
    defaults = _defaults(function)
    return {
        name: value
        for name, value in kwargs.items()
        if name not in defaults or type(value) is not type(defaults[name]) or value != defaults[name]
    }


@lru_cache(maxsize=1024)
def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    if not inspect.isfunction(function):
        return _defaults_of_overloads(getattr(function, "__name__", ""))
    parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    return {item.name: item.default for item in parameters if item.default is not item.empty}


def _defaults_of_overloads(name: str) -> dict[str, Any]:
    operators = getattr(torch.ops.aten, name, None) if name else None
    if not isinstance(operators, torch._ops.OpOverloadPacket):
        return {}
    overloads: Any = operators
    arguments = [item for name in overloads.overloads() for item in getattr(overloads, name)._schema.arguments]
    found: dict[str, Any] = {}
    for argument in arguments:
        default = argument.default_value if argument.has_default_value() else inspect.Parameter.empty
        if found.setdefault(argument.name, default) != default:
            found[argument.name] = inspect.Parameter.empty
    if "device" in found:  # it makes a tensor; what Python's side adds to the schema is the same for all of them
        found.setdefault("requires_grad", False)
        found["pin_memory"] = False
    return {name: value for name, value in found.items() if value is not inspect.Parameter.empty}


def is_getter(function: Callable[..., Any]) -> str:
    """Return the name of the property of `Tensor` that a function reads, or the empty string."""
    if getattr(function, "__name__", "") != "__get__":
        return ""
    return str(getattr(getattr(function, "__self__", None), "__name__", ""))


_RANDOM = ("rand", "dropout", "bernoulli", "multinomial", "normal", "poisson", "gumbel", "rrelu")


def is_random(name: str) -> bool:
    """Tell whether a function of that name draws random numbers."""
    return any(word in name for word in _RANDOM)


def is_impure(function: Callable[..., Any] | str, kwargs: Any) -> bool:
    """Tell whether a call changes an argument or the state of torch, so that it stays even if its value is unused."""
    name = function if isinstance(function, str) else getattr(function, "__name__", "")
    if name in IN_PLACE or name in ("_set_grad_enabled", "set_grad_enabled", "_assert_async"):
        return True
    if name in ("and_", "or_", "not_", "is_"):  # operators that would be keywords
        return False
    return (name.endswith("_") and not name.endswith("__")) or bool(kwargs.get("inplace")) or "out" in kwargs
