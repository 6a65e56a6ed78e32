"""Modules whose tensors are computed from others: `weight_norm`, `spectral_norm`, `orthogonal`.

Torch does this to a module after its construction, in two ways: the older functions leave a forward pre-hook, the
newer ones a parametrisation, which changes the class of the module. What belongs here: which class a module had before,
and which calls were made on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from graphnas.ir.literal import Construction, FrozenDict

_PARAMETRIZE = "torch.nn.utils.parametrize"


def own_class(module: nn.Module) -> type[nn.Module]:
    """Return the class that a module was constructed as: torch puts one in front of it to parametrise a tensor."""
    kind = type(module)
    return kind.__mro__[1] if kind.__module__ == _PARAMETRIZE and "parametrizations" in module._modules else kind


def wrappers_of(module: nn.Module) -> tuple[Construction, ...] | None:
    """Return the calls of `torch.nn.utils` that were made on a module, in order; None if something else was done."""
    found: list[Construction] = []
    hooks: list[Any] = list(module._forward_pre_hooks.values())
    for hook in hooks:
        if type(hook) not in _HOOKS:
            return None
        found.append(_HOOKS[type(hook)](hook, module, hook.name))
    if own_class(module) is not type(module):
        for name, items in module.get_submodule("parametrizations").named_children():
            parts = list(items.children())
            if len(parts) != 1 or type(parts[0]) not in _PARAMETRISATIONS:
                return None
            found.append(_PARAMETRISATIONS[type(parts[0])](parts[0], module, name))
    return tuple(found)


def is_understood_hook(hook: object) -> bool:
    """Tell whether a forward pre-hook only computes a tensor of its module from others."""
    return type(hook) in _HOOKS


def computed_tensors(module: nn.Module) -> tuple[str, ...]:
    """Return the names of the tensors that hooks compute anew before each forward of a module."""
    hooks: list[Any] = list(module._forward_pre_hooks.values())
    return tuple(hook.name for hook in hooks if is_understood_hook(hook))


def _call(path: str, given: dict[str, Any], defaults: dict[str, Any]) -> Construction:
    defaults = {"name": "weight"} | defaults
    kept = ((key, value) for key, value in given.items() if key not in defaults or value != defaults[key])
    return Construction(f"torch.nn.utils{path}", (), FrozenDict(kept))


def _weight_norm(item: Any, name: str, path: str) -> Construction:
    return _call(path, {"name": name, "dim": None if item.dim == -1 else item.dim}, {"dim": 0})


def _spectral_norm(item: Any, module: nn.Module, name: str, path: str) -> Construction:
    transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    iterations = getattr(item, "n_power_iterations", 1)  # that of a vector does without
    given = {"name": name, "n_power_iterations": iterations, "eps": item.eps, "dim": item.dim}
    defaults = {"n_power_iterations": 1, "eps": 1e-12, "dim": 1 if isinstance(module, transposed) else 0}
    return _call(path, given, defaults)


def _orthogonal(item: Any, name: str) -> Construction:
    given = {
        "name": name,
        "orthogonal_map": item.orthogonal_map.name,
        "use_trivialization": "base" in item._buffers,
    }
    return _call(".parametrizations:orthogonal", given, {"use_trivialization": True})


_Describe = Callable[[Any, nn.Module, str], Construction]
_HOOKS: Mapping[type, _Describe] = {
    WeightNorm: lambda item, module, name: _weight_norm(item, name, ":weight_norm"),
    SpectralNorm: lambda item, module, name: _spectral_norm(item, module, name, ":spectral_norm"),
}
_PARAMETRISATIONS: Mapping[type, _Describe] = {
    parametrizations._WeightNorm: lambda item, module, name: _weight_norm(item, name, ".parametrizations:weight_norm"),
    parametrizations._SpectralNorm: lambda item, module, name: _spectral_norm(
        item, module, name, ".parametrizations:spectral_norm"
    ),
    parametrizations._Orthogonal: lambda item, module, name: _orthogonal(item, name),
}
