"""Nested values: what they are made of, and copies of them with other leaves.

A tuple, a list or a dictionary, of a subclass too, and an instance of a dataclass have parts; all else is a leaf. A
graph holds the parts: a dataclass is a dictionary of its fields there, and a named tuple a tuple. An object of another
class is a leaf with attributes. Where a forward returns one, a graph holds a dictionary of those that hold tensors.
"""

from __future__ import annotations

import copy
import dataclasses
import gc
import inspect
from collections.abc import Callable, Iterator
from types import FrameType, FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

from graphnas.ir.trace.symbolic import Symbolic, TracedSize, plain


def is_record(value: object) -> bool:
    """Tell whether a value is an instance of a dataclass that is not a dictionary or a module as well."""
    return dataclasses.is_dataclass(value) and not isinstance(value, (type, dict, tuple, nn.Module, torch.Tensor))


def parts_of(value: Any) -> tuple[tuple[Any, Any], ...] | None:
    """Return key and item of each part of a nested value in order, None if it is a leaf."""
    if isinstance(value, torch.Size):
        return None
    if isinstance(value, (tuple, list)):
        return tuple(enumerate(value))
    if isinstance(value, dict):
        return tuple(value.items())
    if is_record(value):
        return tuple((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    return None


def leaves(value: Any) -> Iterator[Any]:
    """Yield what stands at the leaves of a nested value, in order."""
    parts = parts_of(value)
    if parts is None:
        yield value
    else:
        for _, item in parts:
            yield from leaves(item)


def map_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a copy of a nested value, of the same classes, with each leaf replaced by what `change` returns for it."""
    parts = parts_of(value)
    if parts is None:
        return change(value)
    items = {key: map_leaves(item, change) for key, item in parts}
    if isinstance(value, tuple):
        return type(value)(*items.values()) if hasattr(value, "_fields") else type(value)(items.values())
    if isinstance(value, list):
        return type(value)(items.values())
    copied = copy.copy(value)
    for key, item in items.items():
        if isinstance(copied, dict):
            copied[key] = item
        else:
            object.__setattr__(copied, key, item)
    return copied


def snapshot(value: Any) -> Any:
    """Return what a value is now, in plain containers: lists may change later. Numbers stand for symbolic ones."""
    parts = parts_of(value)
    if parts is None:
        return plain(value)
    if isinstance(value, TracedSize):
        return torch.Size(snapshot(item) for _, item in parts)
    if isinstance(value, (tuple, list)):
        items = [snapshot(item) for _, item in parts]
        return items if isinstance(value, list) else tuple(items)
    return {key: snapshot(item) for key, item in parts}


def tensor_attributes(value: Any) -> tuple[tuple[str, Any], ...]:
    """Return name and value of the attributes of an object that hold tensors, by name; none if it can be called.

    The order is not that of assignment, which hangs on the way that a run took. An attribute counts as well if it
    holds a tensor where none can be taken from, in a set or a closure: it is to be refused, and not to be lost.
    """
    kind = type(value)
    if isinstance(value, (torch.Tensor, Symbolic)) or kind.__module__ == "builtins" or callable(value):
        return ()
    slots = [name for base in kind.__mro__ for name, member in vars(base).items() if inspect.ismemberdescriptor(member)]
    names = sorted({*getattr(value, "__dict__", ()), *slots})
    return tuple((name, getattr(value, name)) for name in names if holds_tensor(getattr(value, name, None)))


def holds_tensor(value: Any) -> bool:
    """Tell whether a tensor can be reached from a value other than through modules, classes and global variables."""
    seen: dict[int, Any] = {}
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, torch.Tensor):
            return True
        if id(item) in seen or isinstance(item, (Symbolic, nn.Module, type, ModuleType, FrameType)):
            continue
        seen[id(item)] = item
        if isinstance(item, FunctionType):
            pending += [item.__closure__, item.__defaults__, item.__kwdefaults__]
        else:
            pending += gc.get_referents(item)
    return False


def without_objects(value: Any, above: tuple[Any, ...] = ()) -> Any:
    """Return a nested value with dictionaries in place of the objects in it that have attributes with tensors.

    What has none in it is returned as it is. So is an object inside of itself, one of `above`.
    """
    parts = parts_of(value)
    if parts is None:
        attributes = () if any(value is holder for holder in above) else tensor_attributes(value)
        return {name: without_objects(item, (*above, value)) for name, item in attributes} or value
    items = [without_objects(item, above) for _, item in parts]
    if all(new is old for new, (_, old) in zip(items, parts, strict=True)):
        return value
    if isinstance(value, (tuple, list)):
        return items if isinstance(value, list) else tuple(items)
    return {key: item for (key, _), item in zip(parts, items, strict=True)}


def special_classes(value: Any, above: tuple[Any, ...] = ()) -> tuple[type, ...]:
    """Return the classes in a nested value for which a graph has a tuple, list or dictionary, each once.

    Those of objects in `above` are known: they are what the value is inside of.
    """
    if isinstance(value, TracedSize) or any(value is holder for holder in above):
        return ()
    parts = parts_of(value)
    inside = tensor_attributes(value) if parts is None else parts
    found: dict[type, None] = {}
    if type(value) not in (tuple, list, dict) and (inside or parts is not None):
        found[type(value)] = None
    for _, item in inside:
        found |= dict.fromkeys(special_classes(item, above if parts is not None else (*above, value)))
    return tuple(found)
