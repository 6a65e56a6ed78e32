"""Before a trace: a copy of the model that may be run without consequences, and the paths of its modules."""

from __future__ import annotations

import copy
import sys
from collections import OrderedDict
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from types import ModuleType
from typing import Any

import torch
import torch.fx
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from graphnas.errors import TraceError
from graphnas.ir.module import join
from graphnas.ir.protocols import expansion_of
from graphnas.ir.trace.wrappers import is_understood_hook

_SHARED = (torch.Tensor, torch.jit.ScriptFunction, ModuleType, KeysView, ValuesView, ItemsView)
"""Types of attributes that a copy has in common with the original: they keep nothing, or cannot be copied."""

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def copy_structure(module: nn.Module) -> nn.Module:
    """Return a copy of a module that shares its tensors: models may keep values on themselves while they run.

    Raises:
        TraceError: Something in the model cannot be copied.
        RecursionError: What it holds is nested too deep for `copy.deepcopy`.
    """
    memo: dict[int, Any] = {}
    graphs: list[nn.Module] = []
    for part in module.modules():
        if isinstance(part, torch.fx.GraphModule):
            memo[id(part)] = _copy_of_leaf(part)  # its own copying looks at its graph only, and drops the rest
            graphs.append(part)
            continue
        if not part._modules and type(part).__module__.startswith("torch.nn.modules."):
            memo[id(part)] = _copy_of_leaf(part)  # most modules are, and keep nothing that they change
            continue
        for value in (*part._parameters.values(), *part._buffers.values(), *vars(part).values()):
            if isinstance(value, _SHARED):
                memo[id(value)] = value
            elif type(value) in (dict, OrderedDict) and not value:
                memo[id(value)] = type(value)()  # a module has a dozen, for hooks; to copy them takes most of the time
    try:
        for part in graphs:
            children = {name: copy.deepcopy(child, memo) for name, child in part._modules.items()}
            vars(memo[id(part)])["_modules"] = children
        return copy.deepcopy(module, memo)
    except RecursionError:
        raise  # `trace` says what to do about it
    except Exception as error:
        raise TraceError(
            f"{type(module).__name__} cannot be copied for tracing: {type(error).__name__}: {error}; "
            "keep locks, files and the like off the model"
        ) from error


def too_deep() -> str:
    """Return what to do about a `RecursionError`."""
    return (
        "modules, or what they hold, stand in one another too deep for Python's stack of "
        f"{sys.getrecursionlimit()} frames; if this is no endless loop, raise the limit with sys.setrecursionlimit"
    )


def _copy_of_leaf(module: nn.Module) -> nn.Module:
    copied: nn.Module = object.__new__(type(module))
    vars(copied).update(vars(module))
    for name in ("_parameters", "_buffers"):
        vars(copied)[name] = dict(vars(module)[name])
    return copied


def fake_meta_tensors(module: nn.Module, mode: FakeTensorMode) -> None:
    """Put fake tensors on the CPU in the place of those on the meta device, so that they meet inputs of any device."""
    seen: dict[int, torch.Tensor] = {}

    def fake(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in seen:
            plain = FakeTensor(mode, tensor.detach(), torch.device("cpu"))
            is_parameter = isinstance(tensor, nn.Parameter)
            seen[id(tensor)] = nn.Parameter(plain, tensor.requires_grad) if is_parameter else plain
        return seen[id(tensor)]

    for part in module.modules():
        holders: tuple[dict[str, Any], ...] = (part._parameters, part._buffers, vars(part))
        for tensors in holders:
            for name, tensor in list(tensors.items()):
                if isinstance(tensor, torch.Tensor) and tensor.is_meta and not nn.parameter.is_lazy(tensor):
                    tensors[name] = fake(tensor)


def children_of(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield name and module of the children as the IR has them: candidates and blocks stand for an open decision."""
    expansion = expansion_of(module)
    if expansion is not None:
        yield from expansion.modules.items()
    else:
        yield from ((name, child) for name, child in module._modules.items() if child is not None)


def walk(module: nn.Module, path: str = "", *, into: Any = None) -> Iterator[tuple[str, nn.Module]]:
    """Yield every path and module, parents first; a shared module once for each path.

    Args:
        module: Where to start.
        path: Its path.
        into: Tells whether to go on below a module; None goes everywhere.
    """
    waiting = [(path, module)]
    while waiting:
        path, module = waiting.pop()
        yield path, module
        if into is None or into(module):
            below = [(join(path, name), child) for name, child in children_of(module)]
            waiting += reversed(below)


def module_paths(root: nn.Module) -> dict[int, tuple[str, ...]]:
    """Return the paths of every module, by identity, the first one first."""
    paths: dict[int, tuple[str, ...]] = {}
    for path, module in walk(root):
        paths[id(module)] = (*paths.get(id(module), ()), path)
    return paths


def refuse_hooks(root: nn.Module) -> None:
    """Refuse modules whose behaviour is not that of their forward.

    Raises:
        TraceError: A module has forward hooks.
    """
    for path, module in walk(root):
        hooks = [hook for name in _HOOKS for hook in (vars(module).get(name) or {}).values()]
        if not all(map(is_understood_hook, hooks)):
            raise TraceError(
                f"{type(module).__name__} at {path!r} has forward hooks, which no source can hold; remove them "
                "before tracing; those of torch.nn.utils.weight_norm and spectral_norm may stay",
                module=path,
            )
