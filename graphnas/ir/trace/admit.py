"""What a trace lets in: modules and inputs that source can stand for, and the calm in which they are run.

What is refused here is refused before anything runs, with the place and the remedy. What belongs here are questions
about modules as they are; what a forward does is found out by the tracer.
"""

from __future__ import annotations

import dis
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache, wraps
from types import FunctionType
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import unset_fake_temporarily

from graphnas.errors import TraceError
from graphnas.ir.trace.prepare import copy_structure, walk
from graphnas.ir.trace.structure import parts_of

_COMPILED = "torch._dynamo.eval_frame"
_BACKWARD_HOOKS = ("_backward_hooks", "_backward_pre_hooks")


def wrapped_by(module: nn.Module) -> tuple[str, nn.Module] | None:
    """Return the one child that a wrapper calls, with its name; None if `module` is no wrapper.

    Wrappers are what `torch.compile` returns, `DataParallel`, and its distributed kin.
    """
    if type(module).__module__ == _COMPILED and "_orig_mod" in module._modules:
        return "_orig_mod", module.get_submodule("_orig_mod")
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return "module", module.get_submodule("module")
    return None


def forward_of_wrapper(module: nn.Module) -> Callable[..., Any] | None:
    """Return what a wrapper comes to: a call of what it wraps, with that one's signature. None if it is no wrapper."""
    wrapped = wrapped_by(module)
    if wrapped is None:
        return None
    inner = wrapped[1]

    @wraps(inner.forward)
    def forward(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs)

    return forward


def refuse_unfit(root: nn.Module, inputs: Any) -> None:
    """Refuse modules and inputs of which no source could be made.

    Raises:
        TraceError: The root is a wrapper; or a module is scripted, has hooks on gradients, has parameters without a
            shape, or keeps state that is no dense tensor; or an input is sparse. The message names the remedy.
    """
    wrapped = wrapped_by(root)
    if wrapped is not None:
        raise TraceError(
            f"the model is wrapped in {type(root).__name__}, whose state_dict has other names; "
            f"trace its .{wrapped[0]} instead"
        )
    if isinstance(root, torch.jit.ScriptModule):
        raise TraceError("the model is a TorchScript module; trace the module that it was made from")
    for path, module in walk(root):
        reason = _unfit(module)
        if reason:
            raise TraceError(f"{_named(module, path)} {reason}", module=path)
    for place, value in _tensors(inputs):
        if value.layout is not torch.strided:
            raise TraceError(
                f"example input {place} is a tensor of layout {value.layout}, expected torch.strided; "
                "let the model take a dense tensor, and make it sparse in a module decorated with @graphnas.basic_unit"
            )


def _unfit(module: nn.Module) -> str:
    """Return what is wrong with a module and what to do, the empty string if nothing is."""
    if isinstance(module, torch.jit.ScriptModule):
        return "is a TorchScript module, which has no Python source; put the module that it was made from in its place"
    if any(vars(module).get(name) for name in _BACKWARD_HOOKS):
        return "has hooks on its gradients, which no source can hold; remove them, and register them on the new module"
    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        if tensor is None:
            continue
        if nn.parameter.is_lazy(tensor):
            return f"has no shape for {name!r} yet, since it is lazy; call the model once on an example before tracing"
        if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided or tensor.is_quantized:
            return f"keeps {name!r} as something else than a dense tensor; trace the model before it is converted"
        if tensor._backward_hooks or getattr(tensor, "_post_accumulate_grad_hooks", None):
            return f"has hooks on the gradient of {name!r}, which no source can hold; remove them before tracing"
    return ""


def forced_modes(root: nn.Module) -> dict[str, bool]:
    """Return the modules that stay in one mode whatever mode the model is put in, since its class overrides `train`."""
    if all(type(module).train is nn.Module.train for module in root.modules()):
        return {}
    copied = copy_structure(root)
    forced: dict[str, bool] = {}
    for mode in (True, False):
        copied.train(mode)
        forced |= {path: part.training for path, part in walk(copied) if path and part.training is not mode}
    return forced


def compares_mode(kind: type[nn.Module]) -> bool:
    """Tell whether a class asks for `self.training is True`, which only a plain bool can answer."""
    return any(_compares_mode(base) for base in kind.__mro__ if not base.__module__.startswith("torch."))


@lru_cache(maxsize=4096)
def _compares_mode(kind: type) -> bool:
    codes = [value.__code__ for value in vars(kind).values() if isinstance(value, FunctionType)]
    for code in codes:
        if "training" in code.co_names and any(constant is True or constant is False for constant in code.co_consts):
            names = [(item.opname, item.argval) for item in dis.get_instructions(code) if item.opname != "CACHE"]
            for index, (name, _) in enumerate(names):
                if name == "IS_OP" and ("LOAD_ATTR", "training") in names[max(index - 2, 0) : index]:
                    return True
    return False


@contextmanager
def plain_surroundings() -> Iterator[None]:
    """Run a `with` block as if nothing were switched on around it: gradients on, no autocast, nothing compiled."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch._C._DisableAutocast())
        if "torch._dynamo" in sys.modules:  # else nothing can have been compiled
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


class HostRandomness:
    """Tells what set a seed or drew random numbers since it was made: source would lose that, or freeze them."""

    def __init__(self) -> None:
        self._numpy = sys.modules.get("numpy")
        self._python = random.getstate()
        self._legacy = None if self._numpy is None else self._numpy.random.get_state()
        with unset_fake_temporarily(), torch._C.DisableTorchFunction():
            self._torch = torch.default_generator.get_state()

    def drawn(self) -> str:
        """Return what was done, the empty string for nothing, and put the generators back to where they were."""
        done = ""
        with unset_fake_temporarily(), torch._C.DisableTorchFunction():
            if not torch.equal(torch.default_generator.get_state(), self._torch):
                torch.default_generator.set_state(self._torch)
                done = "a seed of its own for torch, or random numbers that are no operation of it"
        if random.getstate() != self._python:
            random.setstate(self._python)
            done = _OF_PYTHON
        if self._numpy is not None and self._legacy is not None:
            # A generator that was drawn from stands at another position, or has new keys and stands near the start.
            now = self._numpy.random.get_state()
            if now[2:] != self._legacy[2:] or not self._numpy.array_equal(now[1], self._legacy[1]):
                self._numpy.random.set_state(self._legacy)
                done = _OF_PYTHON
        return done


_OF_PYTHON = "random numbers of Python or numpy, which would be the same in each call"


def _tensors(value: Any, place: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield place, value
    for key, item in parts_of(value) or ():
        yield from _tensors(item, f"{place}[{key!r}]" if place else str(key))


def _named(module: nn.Module, path: str) -> str:
    return f"{type(module).__name__} at {path!r}" if path else f"the root {type(module).__name__}"
