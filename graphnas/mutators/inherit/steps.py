"""What the steps of a history do to one tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphnas.errors import MutationError
from graphnas.ir.literal import Literal
from graphnas.ir.types import TensorType


def applied(
    steps: Sequence[Literal], name: str, state: Mapping[str, Tensor], wanted: TensorType | None
) -> Tensor | None:
    """Return what steps make of the tensor of that name, None if it comes of one that the state lacks.

    Args:
        steps: Steps in order, as the history of the child has them.
        name: Name of the tensor.
        state: The state of the parent.
        wanted: Type that the child has it in; None if it has it no longer.

    Raises:
        MutationError: A step does not fit the tensor: the state is that of another model.
    """
    tensor = state.get(name)
    for step in steps:
        kind = step[0]
        if kind == "copy":
            tensor = state.get(step[1])
        elif kind == "fill" and wanted is not None:
            tensor = torch.full(wanted.shape, step[1], dtype=wanted.dtype)
        elif kind == "identity" and wanted is not None:
            tensor = identity(wanted)
        elif kind == "resize" and tensor is not None:
            tensor = resized(tensor, step[1], step[3], is_summed=step[2], name=name)
    return tensor


def resized(
    tensor: Tensor, axis: int, segments: Sequence[tuple[int, int]], *, is_summed: bool = False, name: str = ""
) -> Tensor:
    """Return a tensor with segments of other lengths along an axis: channels go from their ends, or are repeated.

    >>> resized(torch.tensor([1.0, 2.0, 3.0]), 0, ((2, 3), (1, 1)))
    tensor([1., 2., 1., 3.])
    >>> resized(torch.tensor([1.0, 2.0, 3.0]), 0, ((2, 3), (1, 1)), is_summed=True)
    tensor([0.5000, 2.0000, 0.5000, 3.0000])

    Args:
        tensor: The tensor.
        axis: The axis.
        segments: Pairs of an old and a new length, one after the other.
        is_summed: Whether the tensor is applied by a sum over the axis: then what is repeated is shared out, so that
            the sum over repeated channels stays what it was.
        name: Name of the tensor, for messages.

    Raises:
        MutationError: The axis has another length than the segments.
    """
    before = sum(old for old, _ in segments)
    if axis >= tensor.dim() or tensor.shape[axis] != before:
        raise MutationError(
            f"{name}: the history changes {before} channels on axis {axis}, the parent has a tensor of shape "
            f"{tuple(tensor.shape)}; give the state of the model that the history starts from",
            site=name,
        )
    sources = repeated(segments)
    index = torch.tensor(sources, dtype=torch.long, device=tensor.device)
    result = tensor.index_select(axis, index)
    if is_summed and result.is_floating_point():
        counts = torch.bincount(index, minlength=max(before, 1))[index].to(result.dtype)
        shape = [1] * result.dim()
        shape[axis] = -1
        result = result / counts.reshape(shape)
    return result


def repeated(segments: Sequence[tuple[int, int]]) -> list[int]:
    """Return, by new channel, the old one that it continues: those of its segment in turn."""
    found: list[int] = []
    start = 0
    for old, new in segments:
        found += [start + index % old for index in range(new)] if old else [max(start - 1, 0)] * new
        start += old
    return found


def is_uniform(segments: Sequence[tuple[int, int]]) -> bool:
    """Tell whether every channel is repeated equally often, so that means and variances over them stay."""
    ratios = {new / old if old else 0.0 for old, new in segments}
    return len(ratios) == 1 and all(old and new % old == 0 for old, new in segments)


def identity(wanted: TensorType) -> Tensor:
    """Return the weight of a Linear, or of a convolution of one group, that returns what it is given.

    Raises:
        MutationError: There is none: the shape is not square, or the kernel has no middle.
    """
    shape = wanted.shape
    if len(shape) < 2 or shape[0] != shape[1] or any(size % 2 == 0 for size in shape[2:]):
        raise MutationError(f"no weight of the shape {shape} is an identity")
    weight = torch.zeros(shape, dtype=wanted.dtype)
    middle: tuple[Any, ...] = tuple(size // 2 for size in shape[2:])
    weight[(torch.arange(shape[0]), torch.arange(shape[0]), *middle)] = 1
    return weight
