"""Nested values: what they are made of, and copies of them with other leaves.

A tuple, a list or a dictionary, of a subclass too, and an instance of a dataclass have parts; all else is a leaf. A
graph holds the parts: a dataclass is a dictionary of its fields there, and a named tuple a tuple.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from graphnas.ir.trace.symbolic import TracedSize, plain


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


def special_classes(value: Any) -> tuple[type, ...]:
    """Return the classes in a nested value for which a graph has a tuple, list or dictionary, each once."""
    found: dict[type, None] = {}
    parts = parts_of(value)
    if parts is not None and not isinstance(value, TracedSize):
        if type(value) not in (tuple, list, dict):
            found[type(value)] = None
        for _, item in parts:
            found |= dict.fromkeys(special_classes(item))
    return tuple(found)
