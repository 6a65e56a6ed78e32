"""Stand-ins for `len`, `int` and `float` in modules of the user's, as long as a model is traced that needs them.

Python insists on plain numbers from `__len__` and `__int__`, so a batch size or a length that passes through them would
be frozen. `torch.fx` puts its own functions in the place of such names in the same way. Only modules are touched where
a first attempt met the name with a tensor or a symbolic number, and only until the trace ends; with any other argument,
and in any other thread, a stand-in does what it stands for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from graphnas.ir.trace.patch import ACTIVE
from graphnas.ir.trace.symbolic import Symbolic


class Use(NamedTuple):
    """A name that stands for a builtin in a module of the user's; `names` is the module's dictionary."""

    names: dict[str, Any]
    name: str


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


_STAND_INS: dict[str, Any] = {
    "len": _length,
    "int": _Like("int", (int,), {}),
    "float": _Like("float", (float,), {}),
}
_BUILTINS: dict[str, Any] = {"len": len, "int": int, "float": float}
_LOCK = threading.Lock()
_USERS: dict[tuple[int, str], int] = {}


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
            key = (id(use.names), use.name)
            with _LOCK:
                _USERS[key] = _USERS.get(key, 0) + 1
                use.names[use.name] = _STAND_INS[use.name]
            placed.append(use)
        yield
    finally:
        for use in placed:
            key = (id(use.names), use.name)
            with _LOCK:
                _USERS[key] -= 1
                if not _USERS[key]:
                    del _USERS[key], use.names[use.name]


def missing_stand_in(name: str, names: dict[str, Any], code_names: tuple[str, ...]) -> Use | None:
    """Return what must be replaced so that running code can keep a number symbolic, None if nothing can be."""
    if name not in code_names or name in names:
        return None  # it is not called by its name, or the name is the user's own or replaced already
    return Use(names, name)
