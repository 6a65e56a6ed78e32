"""How a tensor is built: as it was recorded, and else as source builds what nobody recorded.

The writer of source and the fingerprint ask here, so that a model and what is traced from its source start alike.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from graphnas.ir.graph import Graph, Node, Operation
from graphnas.ir.literal import Argument, FrozenDict, FrozenList
from graphnas.ir.module import BufferSpec, ParameterSpec, TensorData
from graphnas.ir.types import TensorType

_SHORT = 64
"""Most elements of a tensor that is written out."""

_SPREAD = 0.02
"""Standard deviation of the parameters of which the initialisation was not recorded, as far as they are matrices."""


def initial_parameter(spec: ParameterSpec) -> Graph:
    """Return the expression that builds a parameter."""
    return unrecorded(spec.type) if spec.initial is None else spec.initial


def unrecorded(kind: TensorType) -> Graph:
    """Return the expression of a parameter that was not recorded: zeros, or noise where it is a matrix or more."""
    if len(kind.shape) < 2:
        return filled("zeros", kind)
    noise = _factory("randn", kind, *kind.shape)
    scaled = Node("mul", Operation("function", "operator:mul"), (noise.value, _SPREAD), FrozenDict(), kind)
    return Graph((), (noise, scaled), scaled.value)


def initial_buffer(spec: BufferSpec) -> Graph | None:
    """Return the expression that builds a buffer; None for data that is too large for source, or is not known."""
    if spec.initial is not None:
        return spec.initial
    if spec.data is not None:
        return _written_out(spec.data)
    return filled("zeros", spec.type) if spec.storage == "persistent" else None


def filled(function: str, kind: TensorType) -> Graph:
    """Return `torch.zeros(...)`, or another function of `torch` that takes sizes."""
    node = _factory(function, kind, *(kind.shape or ((),)))
    return Graph((), (node,), node.value)


def _factory(function: str, kind: TensorType, *args: Argument) -> Node:
    kwargs: dict[str, Argument] = {} if kind.dtype == torch.float32 else {"dtype": kind.dtype}
    return Node(function, Operation("function", f"torch:{function}"), args, FrozenDict(kwargs), kind)


def _written_out(data: TensorData) -> Graph | None:
    kind = data.type
    count = math.prod(kind.shape)
    if count == 0:
        return filled("zeros", kind)
    tensor = torch.frombuffer(bytearray(data.data), dtype=kind.dtype).reshape(kind.shape)
    first = tensor.flatten()[0].item()
    is_zero_or_one = not kind.dtype.is_complex and first in (0, 1) and not str(first).startswith("-")
    if count > 1 and is_zero_or_one and bool((tensor == first).all()):
        return filled("ones" if first else "zeros", kind)
    if kind.dtype == torch.int64 and len(kind.shape) == 1 and count > 2 and torch.equal(tensor, torch.arange(count)):
        node = Node("arange", Operation("function", "torch:arange"), (count,), FrozenDict(), kind)
        return Graph((), (node,), node.value)
    if count > _SHORT or kind.dtype in (torch.bfloat16, torch.float16):
        return None
    kwargs: dict[str, Argument] = {} if torch.tensor(first).dtype == kind.dtype else {"dtype": kind.dtype}
    node = Node("tensor", Operation("function", "torch:tensor"), (_frozen(tensor.tolist()),), FrozenDict(kwargs), kind)
    return Graph((), (node,), node.value)


def _frozen(value: Any) -> Any:
    return FrozenList(map(_frozen, value)) if isinstance(value, list) else value
