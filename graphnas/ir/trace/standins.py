"""Stand-ins for `len`, `int`, `float` and `math` in modules of the user's, while a model is traced that needs them.

Python insists on plain numbers from `__len__` and `__int__`, and so does `math`, so a batch size or a length that
passes through them would be frozen. `torch.fx` puts its own functions in the place of such names in the same way. Only
modules are touched where a first attempt met the name with a tensor or a symbolic number, and only until the trace
ends; with any other argument, and in any other thread, a stand-in does what it stands for.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import BuiltinFunctionType, ModuleType
from typing import Any, NamedTuple

import torch

from graphnas.ir.trace.patch import ACTIVE
from graphnas.ir.trace.symbolic import Symbolic, TracedTraining, plain, wrap


class Use(NamedTuple):
    """A name in a module of the user's that stands for a builtin or for what is in `math`.

    Attributes:
        names: The dictionary of the module.
        name: The name.
    """

    names: dict[str, Any]
    name: str

    @property
    def key(self) -> tuple[int, str]:
        """What tells two uses apart."""
        return id(self.names), self.name


class StandInNeededError(Exception):
    """A plain number was wanted of what could stay symbolic; the trace should begin again with a stand-in."""

    def __init__(self, use: Use) -> None:
        super().__init__(use.name)
        self.use = use


def _converted(name: str, argument: Any) -> Any:
    tracer: Any = ACTIVE.get()
    return NotImplemented if tracer is None else tracer.converted(name, argument)


def _length(value: Any, /) -> Any:
    result = _converted("len", value) if isinstance(value, torch.Tensor) else NotImplemented
    return len(value) if result is NotImplemented else result


class _Like(type):
    """A class that passes for a builtin one in every test, and makes numbers of that class."""

    builtin: Callable[..., Any]

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        result: Any = NotImplemented
        if len(args) == 1 and isinstance(args[0], (torch.Tensor, Symbolic)):
            result = _converted(cls.__name__, args[0])
        return cls.__base__(*args, **kwargs) if result is NotImplemented else result  # type: ignore[misc]  # int or float

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.__base__)  # type: ignore[arg-type]  # as above

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.__base__)  # type: ignore[arg-type]  # as above

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is cls.__base__

    def __hash__(cls) -> int:
        return hash(cls.__base__)


def _of_math(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        numbers = [arg for arg in args if isinstance(arg, Symbolic) and not isinstance(arg, TracedTraining)]
        if ACTIVE.get() is None or not numbers or kwargs or not all(type(plain(arg)) in (int, float) for arg in args):
            return function(*args, **kwargs)
        value = function(*map(plain, args))
        if type(value) in (int, float):
            return wrap(numbers[0].tracer, value, function, args)
        return function(*args)  # a comparison: it decides by plain numbers, which become guards

    return call


_MATH = ModuleType("math", math.__doc__)
for _name, _value in vars(math).items():
    vars(_MATH)[_name] = _of_math(_value) if isinstance(_value, BuiltinFunctionType) else _value
_STAND_INS: dict[str, Any] = {
    "len": _length,
    "int": _Like("int", (int,), {}),
    "float": _Like("float", (float,), {}),
}
_BUILTINS: dict[str, Any] = {"len": len, "int": int, "float": float}
_LOCK = threading.Lock()
_USERS: dict[tuple[int, str], int] = {}
_BEFORE: dict[tuple[int, str], Any] = {}
"""What stood there, by the key of the use."""


def original(value: Any) -> Any:
    """Return the builtin that a stand-in stands for, and anything else as it is."""
    if isinstance(value, _Like):
        return value.__base__
    return value


@contextmanager
def stand_ins(uses: Iterable[Use]) -> Iterator[None]:
    """Put stand-ins in the place of builtins; with several traces at once, until the last one ends."""
    placed = []
    try:
        for use in uses:
            with _LOCK:
                _USERS[use.key] = _USERS.get(use.key, 0) + 1
                if _USERS[use.key] == 1:
                    before = use.names.get(use.name)
                    _BEFORE[use.key] = before
                    use.names[use.name] = _stand_in(use.name, before)
            placed.append(use)
        yield
    finally:
        for use in placed:
            with _LOCK:
                _USERS[use.key] -= 1
                if not _USERS[use.key]:
                    before = _BEFORE.pop(use.key)
                    del _USERS[use.key], use.names[use.name]
                    if before is not None:
                        use.names[use.name] = before


def _stand_in(name: str, before: Any) -> Any:
    if before is None:
        return _STAND_INS[name]
    return _MATH if before is math else vars(_MATH)[before.__name__]


def missing_stand_in(
    name: str, names: dict[str, Any], code_names: tuple[str, ...], builtin: Collection[tuple[int, str]] = ()
) -> Use | None:
    """Return what must be replaced so that running code can keep a number symbolic, None if nothing can be.

    Args:
        name: What asks for a plain number: `len`, `int`, or `float`, for which the functions of `math` ask as well.
        names: Global variables of the code.
        code_names: Names that the code uses.
        builtin: Keys of uses that must stay what they are.
    """
    found = [name] if name in code_names and name not in names else []
    if name in ("float", "int"):
        found += [other for other in code_names if other in names and _is_of_math(names[other])]
    return next((use for item in found if (use := Use(names, item)).key not in builtin), None)


def _is_of_math(value: Any) -> bool:
    return value is math or (isinstance(value, BuiltinFunctionType) and value.__module__ == "math")


def is_misplaced(error: Exception) -> bool:
    """Tell whether an error comes of a stand-in for `int` or `float` where torch takes the class as a dtype."""
    return isinstance(error, (TypeError, ValueError)) and _Like.__name__ in str(error)
