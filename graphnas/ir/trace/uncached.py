"""Functions under `functools.lru_cache`, without their cache as long as a model is traced.

A table that a helper computed in an earlier call would be a constant of the graph, and a fake tensor of the trace would
be handed out by the cache to every later call of the user's. So the functions behind the caches are called; caches that
the user has filled stay as they are.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import _lru_cache_wrapper, wraps
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

from graphnas.ir.trace.patch import ACTIVE
from graphnas.ir.trace.structure import leaves

_OTHERS = frozenset({"torch", "numpy", "graphnas", "einops", "scipy", *sys.stdlib_module_names})
"""Packages that are not looked into: they keep no tensors, or, as einops, know what to do without a cache."""


def is_of_users(module: str) -> bool:
    """Tell whether a module of Python may keep something of the user's from call to call."""
    return module.partition(".")[0] not in _OTHERS


_LOCK = threading.Lock()
_USERS: dict[tuple[int, str], int] = {}


@contextmanager
def uncached(root: nn.Module) -> Iterator[None]:
    """Call the functions behind caches in the modules that the classes of a model come from, and in what these use."""
    placed: list[tuple[ModuleType, str, Any]] = []
    try:
        for module in _modules(root):
            for name, value in list(vars(module).items()):
                # Lazy imports stand among the values: nothing may be asked of them.
                cached = vars(value).get("_graphnas_cached") if type(value) is FunctionType else value
                if type(cached) is _lru_cache_wrapper and _takes_arguments(cached.__wrapped__):
                    with _LOCK:
                        key = (id(module), name)
                        _USERS[key] = _USERS.get(key, 0) + 1
                        setattr(module, name, _without_cache(cached))
                    placed.append((module, name, cached))
        yield
    finally:
        for module, name, cached in placed:
            with _LOCK:
                key = (id(module), name)
                _USERS[key] -= 1
                if not _USERS[key]:
                    del _USERS[key]
                    setattr(module, name, cached)


def _takes_arguments(function: Any) -> bool:
    return type(function) is FunctionType and bool(inspect.signature(function).parameters)


def _without_cache(cached: Any) -> Callable[..., Any]:
    """Return what stands for a cached function: it remembers what has no tensors, and that only while it stands."""
    known: dict[Any, Any] = {}

    @wraps(cached.__wrapped__)
    def call(*args: Any, **kwargs: Any) -> Any:
        if ACTIVE.get() is None:
            return cached(*args, **kwargs)
        if not all(type(arg) in (int, float, str, bool, type(None)) for arg in (*args, *kwargs.values())):
            return cached.__wrapped__(*args, **kwargs)
        key = (args, tuple(kwargs.items()), tuple(map(type, args)))
        if key in known:
            return known[key]
        result = cached.__wrapped__(*args, **kwargs)
        if not any(isinstance(leaf, torch.Tensor) for leaf in leaves(result)):
            known[key] = result
        return result

    vars(call).update(_graphnas_cached=cached, cache_info=cached.cache_info, cache_clear=cached.cache_clear)
    return call


def _modules(root: nn.Module) -> Iterator[ModuleType]:
    pending = [name for part in root.modules() for kind in type(part).__mro__ if (name := kind.__module__)]
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name in seen or not is_of_users(name):
            continue
        seen.add(name)
        module = sys.modules.get(name)
        if not isinstance(module, ModuleType):
            continue
        yield module
        for value in list(vars(module).values()):
            if type(value) is ModuleType:
                pending.append(value.__name__)
            elif type(value) in (FunctionType, type, _lru_cache_wrapper):
                pending.append(str(value.__module__))
