"""Custom `torch.autograd.Function`s while tracing: what they do forwards is traced, their own backward is not kept.

What belongs here: to see that one is running, and to find out whether its backward is what autograd derives anyway.
"""

from __future__ import annotations

import sys
from types import FrameType, SimpleNamespace
from typing import Any

import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

_APPLY = torch.autograd.Function.apply.__func__.__code__  # type: ignore[attr-defined]  # a class method
_MOST_ELEMENTS = 1 << 18
"""Size of the arguments up to which gradients are compared."""


def running_function() -> tuple[type[torch.autograd.Function], tuple[Any, ...]] | None:
    """Return the outermost custom function that is running, and its arguments; None if none is."""
    found = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is _APPLY:
            found = frame.f_locals["cls"], frame.f_locals["args"]
        frame = frame.f_back
    return found


def gradient_note(function: type[torch.autograd.Function], args: tuple[Any, ...]) -> str:
    """Return what a user should know of the gradients of a traced function; nothing if they are those of its own.

    Both ways are run on random tensors of the shapes and dtypes of `args`, and the gradients compared.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    if function.__module__.startswith("torch."):
        return ""
    with unset_fake_temporarily(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            own, derived = _gradients(function, args, as_it_is=True), _gradients(function, args, as_it_is=False)
        except Exception as error:  # whatever a user's code makes of made-up arguments
            return f"{name} is traced, without its backward, which could not be compared: {error}"
    if len(own) == len(derived) and all(map(_close, own, derived)):
        return ""
    return f"{name} is traced without its backward, which gives other gradients than autograd does of its forward"


def _gradients(function: Any, args: tuple[Any, ...], *, as_it_is: bool) -> list[torch.Tensor | None]:
    generator = torch.Generator().manual_seed(1)
    leaves = [_made_up(arg, generator) for arg in args]
    inputs = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and leaf.requires_grad]
    with torch.enable_grad():
        given = [leaf.clone() if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        outputs = function.apply(*given) if as_it_is else _forward(function, given)
        outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        wanted = [out for out in outputs if isinstance(out, torch.Tensor) and out.requires_grad]
        if not wanted:
            return [None] * len(inputs)
        weights = [torch.randn(out.shape, dtype=out.dtype, generator=generator) for out in wanted]
        return list(torch.autograd.grad(wanted, inputs, weights, allow_unused=True))


def _forward(function: Any, args: list[Any]) -> Any:
    """Run the forward of a function as if it were ordinary code."""
    context = SimpleNamespace(
        save_for_backward=lambda *tensors: None,
        mark_dirty=lambda *tensors: None,
        mark_non_differentiable=lambda *tensors: None,
        set_materialize_grads=lambda value: None,
        needs_input_grad=tuple(isinstance(arg, torch.Tensor) and arg.requires_grad for arg in args),
    )
    combined = function.setup_context is not torch.autograd.function._SingleLevelFunction.setup_context
    return function.forward(*args) if combined else function.forward(context, *args)


def _made_up(arg: Any, generator: torch.Generator) -> Any:
    if isinstance(arg, torch.Tensor):
        if arg.numel() > _MOST_ELEMENTS:
            raise ValueError("its arguments are large")
        if arg.is_floating_point():
            return torch.randn(arg.shape, dtype=arg.dtype, generator=generator).requires_grad_()
        return torch.ones(arg.shape, dtype=arg.dtype)
    if isinstance(arg, torch.nn.Module):
        raise ValueError("a module is among its arguments")
    return arg


def _close(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    zero_a, zero_b = (item is None or not bool(item.any()) for item in (a, b))
    if zero_a or zero_b:
        return zero_a and zero_b
    assert a is not None  # both have an element that is not zero
    assert b is not None
    return torch.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True)
