"""Operations that fake tensors cannot execute: they are run once, on ones, to learn what they return."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

from graphnas.ir.abstract import abstract, concrete

_LARGEST = 1 << 26
"""Most elements that are allocated for it."""


def ones_like(value: Any) -> Any:
    """Return a value with a tensor of ones on a real device in the place of each tensor."""
    if isinstance(value, torch.Tensor):
        device = "cpu" if value.is_meta else value.device
        return torch.ones(value.shape, dtype=value.dtype, device=device)
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        return type(value)(map(ones_like, value))
    if isinstance(value, dict):
        return {key: ones_like(item) for key, item in value.items()}
    return value


def learnt_from_ones(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], mode: FakeTensorMode
) -> Any:
    """Return what a function gives, as fake tensors; None if it gives anything else, fails, or is given too much."""
    given = list(_tensors((args, kwargs)))
    if sum(tensor.numel() for tensor in given) > _LARGEST:
        return None
    with unset_fake_temporarily(), torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            result = function(*ones_like(args), **ones_like(kwargs))
        except Exception:
            return None
        if not list(_tensors(result)):
            return None
        return concrete(abstract(result), mode, {})


@contextmanager
def quiet() -> Iterator[None]:
    """Keep torch from logging a traceback of its own for an operation that is refused: it is in our error."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
