"""What plain layers of torch return, found out on meta tensors.

Fake tensors know devices and data, and pay for it: torch takes a normalisation on them apart into dozens of operations.
A layer that takes one tensor and returns one, by kernels that do not look at the device, gives the same shape on the
meta device in a tenth of the time. Whatever is not plainly of this kind, or is refused, is left to fake tensors, which
also say what is wrong.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from graphnas.ir.abstract import TensorMeta
from graphnas.ir.lru import LRU
from graphnas.ir.module import ModuleSpec
from graphnas.ir.resolve import instantiate

_HOMES = frozenset(
    f"torch.nn.modules.{name}"
    for name in ("activation", "batchnorm", "conv", "dropout", "flatten", "instancenorm", "linear", "normalization")
) | {"torch.nn.modules.padding", "torch.nn.modules.pooling"}
"""Where the layers are defined."""


_BUILT: LRU[nn.Module] = LRU(4096)


def built_on_meta(spec: ModuleSpec) -> nn.Module:
    """Return the module of a leaf on the meta device, the same one whenever it is asked for: to be looked at only.

    Raises:
        GraphNASError: It cannot be constructed.
    """
    found = _BUILT.get(spec.key)
    if found is None:
        found = instantiate(spec, "meta")
        _BUILT.put(spec.key, found)
    return found


def is_plain(module: nn.Module) -> bool:
    """Tell whether a module is such a layer."""
    return type(module).__module__ in _HOMES and not isinstance(module, LazyModuleMixin)


def plain_result(module: nn.Module, args: Any, kwargs: Any) -> TensorMeta | None:
    """Return what a plain layer on the meta device returns for a tensor; None where only fake tensors can tell."""
    if kwargs or len(args) != 1 or type(args[0]) is not TensorMeta:
        return None
    [given] = args
    if given.device != "cpu" or given.leaf_grad or not _is_contiguous(given):
        return None
    try:
        with torch.no_grad():
            found = module(torch.empty(given.shape, dtype=given.dtype, device="meta"))
    except Exception:  # fake tensors are asked next, and say it in the terms of the device
        return None
    if not isinstance(found, torch.Tensor) or not found.is_meta or found.layout is not torch.strided:
        return None
    result = TensorMeta(tuple(found.shape), found.stride(), found.dtype)
    return result if _is_contiguous(result) else None


def _is_contiguous(meta: TensorMeta) -> bool:
    step = 1
    for size, stride in zip(reversed(meta.shape), reversed(meta.stride), strict=True):
        if size > 1 and stride != step:
            return False
        step *= max(size, 1)
    return True
