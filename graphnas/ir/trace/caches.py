"""Tensors that a model keeps on itself while it runs: they are computed anew when it is traced.

A forward that was called before may have left what it computed from parameters in a dictionary or an attribute, for
the next call. To the tracer that would be a constant. So everything that was put on a recorded module after its
construction is taken off the copy that is traced; what the traced forward puts there again was a cache, and what it
does not came from the user, and stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import torch
from torch import nn

from graphnas.ir.record import OF_TORCH, record_of
from graphnas.ir.trace.prepare import walk
from graphnas.ir.trace.structure import leaves


class Kept(NamedTuple):
    """A value with tensors in it that was put on a module after its construction: an attribute, or an item of one."""

    path: str
    name: str
    key: Any = None


def take_off(root: nn.Module, stays: Collection[Kept]) -> tuple[Kept, ...]:
    """Take off what was put on the modules after their construction, and return what that was."""
    found = tuple(kept for path, module in walk(root) for kept in _kept(module, path) if kept not in stays)
    modules = dict(walk(root))
    for kept in found:
        attributes = vars(modules[kept.path])
        record = record_of(modules[kept.path])
        if kept.key is not None:
            attributes[kept.name].pop(kept.key, None)
        elif record is not None and record.attributes is not None and kept.name in record.attributes:
            before = record.attributes[kept.name]
            attributes[kept.name] = before if isinstance(before, torch.Tensor) else None
        else:
            attributes.pop(kept.name, None)
    return found


def put_back(root: nn.Module, taken: Collection[Kept]) -> tuple[Kept, ...]:
    """Return which of what was taken off stands on the modules again."""
    modules = dict(walk(root))
    return tuple(kept for kept in taken if kept in tuple(_kept(modules[kept.path], kept.path)))


def _kept(module: nn.Module, path: str) -> Iterator[Kept]:
    record = record_of(module)
    if record is None or record.attributes is None:
        return
    for name, value in vars(module).items():
        if name in OF_TORCH:
            continue
        before = record.attributes.get(name)
        if type(value) is dict and isinstance(before, tuple):
            yield from (Kept(path, name, key) for key, item in value.items() if key not in before and _has_tensor(item))
        elif isinstance(before, torch.Tensor):
            if before is not value and _has_tensor(value) and not before.is_meta:
                yield Kept(path, name)
        elif (name not in record.attributes or before is True) and _has_tensor(value):
            yield Kept(path, name)


def _has_tensor(value: Any) -> bool:
    return not isinstance(value, nn.Parameter) and any(isinstance(leaf, torch.Tensor) for leaf in leaves(value))
