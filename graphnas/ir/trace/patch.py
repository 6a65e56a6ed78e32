"""Calls of modules and of scripted functions while tracing: they reach the tracer of their thread, as in `torch.fx`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Protocol

import torch
from torch import nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from graphnas.ir.trace.structure import map_leaves


class CallReceiver(Protocol):
    """What takes calls of modules: a `torch.fx.Tracer`."""

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Answer a call of a module; `forward` is the call as it would have been."""

    def call_unseen(self, operation: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Take note of an operation that no `TorchFunctionMode` was told of, before it is run."""

    def made_constant(self, tensor: torch.Tensor, data: torch.Tensor) -> None:
        """Take note of a fake tensor that stands for data, such as that of a numpy array."""


ACTIVE: ContextVar[CallReceiver | None] = ContextVar("graphnas_tracer", default=None)
"""The tracer of this thread, None while nothing is traced."""


class TracedFakeMode(FakeTensorMode):  # type: ignore[no-untyped-call]  # torch leaves the hook of subclasses untyped
    """Fake tensors that tell the tracer of operations which reach them on another way than through its mode."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tracer = ACTIVE.get()
        if func._schema.is_mutable:
            # Torch would execute some operations on the tensors of the model itself, those with numbers such as `+= 1`.
            args, kwargs = map_leaves((args, kwargs or {}), self._without_data)
        if tracer is None:
            return super().__torch_dispatch__(func, types, args, kwargs)
        token = ACTIVE.set(None)
        try:
            tracer.call_unseen(func, args, kwargs or {})
            result: Any = super().__torch_dispatch__(func, types, args, kwargs)
            if func is torch.ops.aten.lift_fresh.default:
                tracer.made_constant(result, args[0])
            return result
        finally:
            ACTIVE.reset(token)

    def _without_data(self, value: Any) -> Any:
        is_real = isinstance(value, torch.Tensor) and not isinstance(value, FakeTensor)
        return self.from_tensor(value) if is_real else value  # the same one for the same tensor


_PATCH_LOCK = threading.Lock()
_PATCHES = 0
_PLAIN_CALL = nn.Module.__call__
_SCRIPT_CALL = torch.jit.ScriptFunction.__call__


@contextmanager
def calls_reach_tracers() -> Iterator[None]:
    """Let calls of modules reach the tracer of the calling thread, if it has one, as `torch.fx` does.

    A function that `torch.jit.script` made is called as the Python that it was made from: compiled, it would run behind
    the tracer's back.
    """
    global _PATCHES
    with _PATCH_LOCK:
        _PATCHES += 1
        if _PATCHES == 1:
            nn.Module.__call__ = _traced_call  # type: ignore[method-assign]  # undone when the last trace ends
            torch.jit.ScriptFunction.__call__ = _python_call  # type: ignore[method-assign]  # likewise
    try:
        yield
    finally:
        with _PATCH_LOCK:
            _PATCHES -= 1
            if _PATCHES == 0:
                nn.Module.__call__ = _PLAIN_CALL  # type: ignore[method-assign]  # as it was
            torch.jit.ScriptFunction.__call__ = _SCRIPT_CALL  # type: ignore[method-assign]  # likewise


def _traced_call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
    tracer = ACTIVE.get()
    if tracer is None:
        return _PLAIN_CALL(self, *args, **kwargs)
    return tracer.call_module(self, partial(_PLAIN_CALL, self), args, kwargs)


def _python_call(self: torch.jit.ScriptFunction[Any, Any], *args: Any, **kwargs: Any) -> Any:
    written = getattr(self, "_torchdynamo_inline", None)
    if ACTIVE.get() is None or written is None:
        return _SCRIPT_CALL(self, *args, **kwargs)
    return written(*args, **kwargs)
