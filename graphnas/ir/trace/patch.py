"""Calls of modules while tracing: they reach the tracer of their thread, as they reach that of `torch.fx`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Protocol

from torch import nn


class CallReceiver(Protocol):
    """What takes calls of modules: a `torch.fx.Tracer`."""

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Answer a call of a module; `forward` is the call as it would have been."""


ACTIVE: ContextVar[CallReceiver | None] = ContextVar("graphnas_tracer", default=None)
"""The tracer of this thread, None while nothing is traced."""

_PATCH_LOCK = threading.Lock()
_PATCHES = 0
_PLAIN_CALL = nn.Module.__call__


@contextmanager
def calls_reach_tracers() -> Iterator[None]:
    """Let calls of modules reach the tracer of the calling thread, if it has one, as `torch.fx` does."""
    global _PATCHES
    with _PATCH_LOCK:
        _PATCHES += 1
        if _PATCHES == 1:
            nn.Module.__call__ = _traced_call  # type: ignore[method-assign]  # undone when the last trace ends
    try:
        yield
    finally:
        with _PATCH_LOCK:
            _PATCHES -= 1
            if _PATCHES == 0:
                nn.Module.__call__ = _PLAIN_CALL  # type: ignore[method-assign]  # as it was


def _traced_call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
    tracer = ACTIVE.get()
    if tracer is None:
        return _PLAIN_CALL(self, *args, **kwargs)
    return tracer.call_module(self, partial(_PLAIN_CALL, self), args, kwargs)
