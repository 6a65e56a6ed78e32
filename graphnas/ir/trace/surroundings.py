"""What a forward changes apart from its modules: objects that they hold, classes, and global variables.

A graph computes the same in every call. A counter in a configuration, a generator of random numbers, or a list of
earlier results makes later calls differ, and nothing of that shows in the attributes of a module. Here such things are
compared from before a call to after it. Whether a change matters is found out by tracing a second call.
"""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import nn

from graphnas.ir.literal import SCALAR_TYPES
from graphnas.ir.record import OF_TORCH
from graphnas.ir.trace.state import Change
from graphnas.ir.trace.symbolic import Symbolic
from graphnas.ir.trace.uncached import is_of_users

_CONTAINERS = (list, tuple, dict, set, deque)


class _Held(NamedTuple):
    """What something holds: the module and the attribute by which it is known, and its parts by identity."""

    path: str
    name: str
    holder: Any
    parts: tuple[Any, ...]


class Surroundings:
    """Knows what stands around the modules of a model, and tells what changed since it was made."""

    def __init__(self, root: nn.Module, paths: Mapping[int, tuple[str, ...]]) -> None:
        self._held: list[_Held] = []
        self._seen: set[int] = set()
        classes: dict[type, str] = {}
        for module in root.modules():
            path = paths[id(module)][0]
            for kind in type(module).__mro__:
                if is_of_users(kind.__module__):
                    classes.setdefault(kind, path)
            for name, value in vars(module).items():
                if name not in OF_TORCH:
                    self._note(path, name, value)
        for kind, path in classes.items():
            self._note_names(path, kind, f"{kind.__qualname__}.")
        for name in dict.fromkeys(kind.__module__ for kind in classes):
            if name in sys.modules:
                self._note_names("", sys.modules[name], f"{name}.")

    def changes(self) -> list[Change]:
        """Return what holds something else than before, each as a change of the attribute by which it is known."""
        found = []
        for held in self._held:
            now = _parts(held.holder)
            if len(now) != len(held.parts) or any(a is not b for a, b in zip(now, held.parts, strict=True)):
                found.append(Change(held.path, held.name, held.parts, now))
        return found

    def _note(self, path: str, name: str, value: Any) -> None:
        """Note what an attribute holds, and what can be reached from there."""
        pending = [value]
        while pending:
            item = pending.pop()
            if type(item) in SCALAR_TYPES or id(item) in self._seen or not _is_holder(item):
                continue
            self._seen.add(id(item))
            parts = _parts(item)
            self._held.append(_Held(path, name, item, parts))
            pending += parts

    def _note_names(self, path: str, holder: Any, prefix: str) -> None:
        """Note the variables of a class or of a module of Python."""
        for name, value in list(vars(holder).items()):
            if not name.startswith("__"):
                self._held.append(_Held(path, f"{prefix}{name}", _Variable(holder, name), (value,)))
                self._note(path, f"{prefix}{name}", value)


class _Variable(NamedTuple):
    """A variable of a class or of a module of Python."""

    holder: Any
    name: str


def _is_holder(value: Any) -> bool:
    if isinstance(value, (torch.Tensor, Symbolic, nn.Module, type)):
        return False
    if isinstance(value, (*_CONTAINERS, random.Random, SimpleNamespace)) or _is_numpy_generator(value):
        return True
    return is_of_users(type(value).__module__) and not callable(value)


def _is_numpy_generator(value: Any) -> bool:
    return type(value).__module__.startswith("numpy.random") and hasattr(value, "bit_generator")


def _parts(value: Any) -> tuple[Any, ...]:
    """Return what something holds; the text of where a generator stands is interned, so that equal is the same."""
    if type(value) is _Variable:
        return tuple(vars(value.holder)[value.name] for _ in (0,) if value.name in vars(value.holder))
    if isinstance(value, random.Random):
        return (sys.intern(repr(value.getstate())),)
    if _is_numpy_generator(value):
        return (sys.intern(repr(value.bit_generator.state)),)
    own = tuple(_attributes(value))
    if isinstance(value, dict):
        return (*value.keys(), *value.values(), *own)
    return (*value, *own) if isinstance(value, _CONTAINERS) else own


def _attributes(value: Any) -> Iterator[Any]:
    yield from getattr(value, "__dict__", {}).values()
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            yield getattr(value, name, None)
