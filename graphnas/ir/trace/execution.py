"""What operations and leaves give while tracing: executed once on fake tensors, then remembered.

A call is known by what is called and by the metadata of what it is given; to build a fake tensor from metadata takes a
tenth of the time of executing an operation on fake ones. What changes its arguments, and what hangs on more than
metadata, is executed each time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    unset_fake_temporarily,
)

from graphnas.ir.abstract import TensorMeta, abstract, concrete
from graphnas.ir.calls import is_impure
from graphnas.ir.literal import SCALAR_TYPES
from graphnas.ir.lru import LRU
from graphnas.ir.module import ModuleSpec
from graphnas.ir.ones import learnt_from_ones, ones_like, quiet
from graphnas.ir.trace.arguments import own_tensors
from graphnas.ir.trace.leaf import is_torch_leaf
from graphnas.ir.trace.structure import map_leaves

_RESULTS: LRU[tuple[Any]] = LRU(65536)
"""Results as `_packed`, by what was called and the key of its arguments."""


def forget_results() -> None:
    """Forget what was executed so far; only measurements of a cold start need this."""
    _RESULTS.clear()


class Executor:
    """Executes on fake tensors.

    Results never require gradients, whether they were remembered or not, and own their storage: nothing can be
    concluded from the storage of a fake tensor.
    """

    def __init__(
        self,
        mode: FakeTensorMode,
        spec: Callable[[nn.Module, str], ModuleSpec],
        paths: Mapping[int, tuple[str, ...]],
    ) -> None:
        self.mode = mode
        self.spec = spec
        self.paths = paths

    def function(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what a function of torch gives."""
        if is_impure(function, kwargs):
            return function(*args, **kwargs)
        given: list[torch.Tensor] = []
        key = None if _is_autocast() else _call_key(function, args, kwargs, given)
        known = _RESULTS.get(key)
        if known is None:
            result = self._executed(function, args, kwargs)
            known = self._remember(key, result, given)
            if known is None:
                return result
        return self._unpacked(known[0], given)

    def _executed(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            with torch.no_grad(), quiet():
                return function(*args, **kwargs)
        except DynamicOutputShapeException:
            raise
        except (RuntimeError, NotImplementedError, DataDependentOutputException):
            # Some operations look at data to check it, and some know the devices only that they were made for.
            learnt = learnt_from_ones(function, args, kwargs, self.mode)
            if learnt is None:
                raise
            return learnt

    def leaf(
        self, module: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Return what a leaf gives; `forward` calls it."""
        spec = self.spec(module, self.paths[id(module)][0]) if is_torch_leaf(module) and not _is_autocast() else None
        with torch._C.DisableTorchFunction():
            return self._leaf(module, spec, forward, args, kwargs)

    def _leaf(
        self,
        module: nn.Module,
        spec: ModuleSpec | None,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        given: list[torch.Tensor] = []
        key = None if spec is None else _call_key(spec.key, args, kwargs, given)
        known = _RESULTS.get(key)
        if known is None and key is not None and _keeps_metadata(module, args, kwargs):
            known = (abstract(args[0]),)
            _RESULTS.put(key, known)
        if known is None:
            call = forward if key is None else _without_data(module, self.mode)
            try:
                result = call(*args, **kwargs)  # not without gradients: some leaves of torch are fused then
            except (DataDependentOutputException, DynamicOutputShapeException):
                return self._run(module, args, kwargs)
            known = self._remember(key, result, given)
            if known is None:
                return result
        return self._unpacked(known[0], given)

    def twin(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return another tensor that looks the same."""
        with unset_fake_temporarily():
            found: torch.Tensor = concrete(abstract(tensor), self.mode, {})
            return found

    def _remember(self, key: Any, result: Any, given: list[torch.Tensor]) -> tuple[Any] | None:
        if key is None:
            return None
        try:
            packed = (_packed(result, {id(tensor): index for index, tensor in enumerate(given)}),)
        except _NoKeyError:
            return None
        _RESULTS.put(key, packed)
        return packed

    def _unpacked(self, packed: Any, given: list[torch.Tensor]) -> Any:
        if type(packed) is _Given:
            return given[packed.position]
        with unset_fake_temporarily():
            return _unpacked(packed, given, self.mode, {})

    def _run(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a leaf that looks at data on a copy and on ones: there is no other way to learn what it returns."""
        with unset_fake_temporarily(), torch.no_grad():
            real = copy.deepcopy(module).eval()
            result = real(*map_leaves(args, ones_like), **map_leaves(kwargs, ones_like))
            return concrete(abstract(result), self.mode, {})


class _NoKeyError(Exception):
    """Something hangs on more than its metadata."""


class _Given(NamedTuple):
    """Stands in a result for the very tensor that was given as number `position`."""

    position: int


def _is_autocast() -> bool:
    return torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")


def _call_key(what: Any, args: tuple[Any, ...], kwargs: dict[str, Any], given: list[torch.Tensor]) -> Any:
    """Return the key of a call, None where it hangs on more than metadata; its tensors are appended to `given`."""
    try:
        key = (what, _key(args, given), _key(kwargs, given), torch.get_default_dtype())
        return key if given else None  # what makes tensors out of nothing asks for the default device as well
    except _NoKeyError:
        return None


def _key(value: Any, given: list[torch.Tensor]) -> Any:
    kind = type(value)
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or _has_numbers(value):
            raise _NoKeyError
        given.append(value)
        return value.shape, value.stride(), value.dtype, value.device
    if kind is tuple or kind is list:
        return kind, tuple([_key(item, given) for item in value])
    if kind is dict:
        return kind, tuple([(name, _key(item, given)) for name, item in value.items()])
    if kind is slice:
        return kind, _key((value.start, value.stop, value.step), given)
    if kind in SCALAR_TYPES:
        return kind, value
    raise _NoKeyError


def _has_numbers(tensor: torch.Tensor) -> bool:
    """Tell whether a small tensor carries the numbers that it was made of along."""
    return isinstance(tensor, FakeTensor) and tensor.constant is not None


def _packed(value: Any, given: Mapping[int, int]) -> Any:
    """Return a result with metadata in place of its tensors."""
    if isinstance(value, torch.Tensor):
        if id(value) in given:
            return _Given(given[id(value)])
        if not isinstance(value, FakeTensor) or value.layout is not torch.strided or _has_numbers(value):
            raise _NoKeyError
        return abstract(value)
    kind = type(value)
    if kind is list or isinstance(value, tuple):
        items = [_packed(item, given) for item in value]
        return items if kind is list else tuple(items) if kind is tuple else _rebuilt(kind, items)
    if kind is dict:
        return {name: _packed(item, given) for name, item in value.items()}
    if kind in SCALAR_TYPES:
        return value
    raise _NoKeyError


def _unpacked(packed: Any, given: list[torch.Tensor], mode: FakeTensorMode, seen: dict[int, FakeTensor]) -> Any:
    kind = type(packed)
    if kind is TensorMeta:
        return concrete(packed, mode, seen)
    if kind is _Given:
        return given[packed.position]
    if kind is list or isinstance(packed, tuple):
        items = [_unpacked(item, given, mode, seen) for item in packed]
        return items if kind is list else tuple(items) if kind is tuple else _rebuilt(kind, items)
    if kind is dict:
        return {name: _unpacked(item, given, mode, seen) for name, item in packed.items()}
    return packed


def _rebuilt(kind: type[Any], items: list[Any]) -> Any:
    if kind.__module__ != "torch.return_types":
        raise _NoKeyError
    return kind(items)


_NORMALISATIONS: Mapping[type[nn.Module], tuple[int, ...]] = {
    nn.BatchNorm1d: (2, 3),
    nn.BatchNorm2d: (4,),
    nn.BatchNorm3d: (5,),
}
"""Numbers of dimensions that they take."""


def _keeps_metadata(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell whether a leaf in eval mode returns a tensor like the one that it is given, without asking torch.

    On fake tensors torch takes batch normalisation apart, into more operations than the rest of a network has. What is
    not plainly in order is left to torch to judge.
    """
    dims = _NORMALISATIONS.get(type(module))
    if dims is None or kwargs or len(args) != 1:
        return False
    x, state = args[0], module.state_dict(keep_vars=True).items()
    fits = all(value.dtype == x.dtype and value.shape == x.shape[1:2] for name, value in state if value.dim())
    return fits and x.dim() in dims and x.is_contiguous() and module.running_mean is not None


def _without_data(module: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """Return a copy of a leaf on fake tensors of its own, which are cheaper than those torch makes of real ones."""
    with unset_fake_temporarily():
        memo: dict[int, Any] = {}
        for tensor in (tensor for part in module.modules() for _, tensor in own_tensors(part)):
            if isinstance(tensor, FakeTensor) or nn.parameter.is_lazy(tensor):
                memo[id(tensor)] = tensor
            else:
                memo[id(tensor)] = concrete(abstract(tensor), mode, {})
        return copy.deepcopy(module, memo)
