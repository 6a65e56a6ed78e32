"""What one operation costs: the multiply-adds of its kernels, and the memory that its result takes.

An operation is executed once on tensors without data while a dispatch mode looks at the kernels that it runs, and what
it cost is remembered by the metadata of its arguments. So modules and functions that nobody listed here are counted as
well, by what they are made of. The formulas for kernels are torch's own (`torch.utils.flop_counter`), and a few for
kernels that it passes over.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from graphnas.ir.abstract import OPAQUE, TensorMeta, abstract, has_unknown, key_of, mapped, value_of, walk
from graphnas.ir.graph import Node
from graphnas.ir.infer import Executed, execute
from graphnas.ir.lru import LRU
from graphnas.ir.module import ModuleSpec


class Part(NamedTuple):
    """A tensor of a result.

    Attributes:
        meta: Its metadata.
        origin: Whose memory it is: that of the argument tensor of this number; if negative, new block `-1 - origin`.
    """

    meta: TensorMeta
    origin: int


@dataclass(frozen=True, eq=False)
class Effect:
    """What executing an operation, or calling a definition, comes to.

    Attributes:
        flops: Twice its multiply-adds.
        result: What it gives, a `Part` for each tensor.
        blocks: Bytes of each new block of memory that the result lies in.
        is_known: False where the operation could not be executed without data, so that its work is not counted.
    """

    flops: int
    result: Any
    blocks: tuple[int, ...]
    is_known: bool = True


def effect_of(node: Node, leaf: ModuleSpec | None, args: Any, kwargs: Any, training: bool) -> Effect:
    """Return what a node that calls a leaf, function or method, or reads a field, comes to.

    Args:
        node: The node.
        leaf: What it calls, if it calls a leaf.
        args: Abstract values of its positional arguments, with one `TensorMeta` object for each tensor.
        kwargs: Those of its keyword arguments.
        training: The mode of a leaf.
    """
    kind, target = node.operation.kind, node.operation.target
    given = [meta for meta in walk((args, kwargs)) if isinstance(meta, TensorMeta)]
    if target == "operator:getitem" and type(args[0]) in (tuple, list, dict, torch.Size):
        return Effect(0, _parts(args[0][args[1]], {id(meta): index for index, meta in enumerate(given)}), ())
    keys = tuple(key_of(item) for item in args), tuple((name, key_of(item)) for name, item in kwargs.items())
    is_opaque = OPAQUE in keys[0] or any(key is OPAQUE for _, key in keys[1])
    memo = None if is_opaque else (kind, target if leaf is None else leaf.key, training, *keys)
    with _LOCK:
        found = _EFFECTS.get(memo)
    if found is None:
        found = _observed(node, leaf, args, kwargs, given, training)
        with _LOCK:
            _EFFECTS.put(memo, found)
    return found


_EFFECTS: LRU[Effect] = LRU(65536)
_LOCK = threading.Lock()


def _observed(
    node: Node, leaf: ModuleSpec | None, args: Any, kwargs: Any, given: list[TensorMeta], training: bool
) -> Effect:
    counter = _Counter()
    try:
        if has_unknown(args) or has_unknown(kwargs):
            return _unknown(node)
        with _whole_attention():
            done = execute(node.operation, leaf, args, kwargs, training=training, watch=counter)
    except (DataDependentOutputException, DynamicOutputShapeException):
        return _unknown(node)
    return _seen(done, given, counter.flops)


def _seen(done: Executed, given: list[TensorMeta], flops: int) -> Effect:
    """Tell new blocks of memory from those of the arguments, by the storages of the tensors."""
    owners: dict[int, int] = {}
    for index, meta in enumerate(given):
        fake = done.given.get(id(meta))
        if fake is not None:
            owners.setdefault(fake.untyped_storage()._cdata, index)
    blocks: list[int] = []

    def part(value: Any) -> Any:
        if not isinstance(value, FakeTensor):
            return value
        storage = value.untyped_storage()
        if storage._cdata not in owners:
            blocks.append(storage.nbytes())
            owners[storage._cdata] = -len(blocks)
        meta = abstract(value)
        return Part(meta, owners[storage._cdata]) if isinstance(meta, TensorMeta) else value

    return Effect(flops, mapped(done.value, part), tuple(blocks))


def _unknown(node: Node) -> Effect:
    """Return the effect of what cannot be executed without data: the type that was recorded, and no work."""
    blocks: list[int] = []

    def part(value: Any) -> Any:
        if not isinstance(value, TensorMeta):
            return value
        blocks.append(math.prod(value.shape) * value.dtype.itemsize)
        return Part(value, -len(blocks))

    return Effect(0, mapped(value_of(node.type), part), tuple(blocks), is_known=False)


def _parts(value: Any, owners: dict[int, int]) -> Any:
    return mapped(value, lambda item: Part(item, owners[id(item)]) if isinstance(item, TensorMeta) else item)


# How kernels are counted.


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no annotation there
    """Adds up twice the multiply-adds of the kernels that run under it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func._overloadpacket
        formula = _FORMULAS.get(packet)
        known = None if formula is not None else flop_registry.get(packet)
        if formula is None and known is None and func is not torch.ops.prim.device.default:
            with self:
                inner = func.decompose(*args, **kwargs)
                if inner is not NotImplemented:
                    return inner
        value = func(*args, **kwargs)
        if formula is not None:
            self.flops += formula(args, value)
        elif known is not None:
            self.flops += int(known(*args, **kwargs, out_val=value))
        return value


def _of_vectors(args: tuple[Any, ...], value: Any) -> int:
    """`mv` and `dot`: one multiply-add for each element of the first factor."""
    return 2 * int(args[0].numel())


def _of_recurrence(args: tuple[Any, ...], value: Any) -> int:
    """A layer of a recurrent network: both matrices are applied at each step of each sequence."""
    inputs, from_input, from_state = args[:3]
    steps: int = math.prod(inputs.shape[:-1])
    return 2 * steps * (int(from_input.numel()) + int(from_state.numel()))


def _of_bilinear(args: tuple[Any, ...], value: Any) -> int:
    """`x1 A x2`: a product with the tensor `A` for each row, then one with a vector."""
    left, weight = args[0], args[1]
    rows: int = math.prod(left.shape[:-1])
    return 2 * rows * (int(weight.numel()) + int(weight.shape[0] * weight.shape[-1]))


def _of_attention(args: tuple[Any, ...], value: Any) -> int:
    query, key, values = (tuple(item.shape) for item in args[:3])
    return int(sdpa_flop_count(query, key, values))  # type: ignore[no-untyped-call]  # as above


_FORMULAS: dict[Any, Callable[[tuple[Any, ...], Any], int]] = {
    torch.ops.aten.mv: _of_vectors,
    torch.ops.aten.dot: _of_vectors,
    torch.ops.aten.vdot: _of_vectors,
    torch.ops.aten.mkldnn_rnn_layer: _of_recurrence,
    torch.ops.aten._trilinear: _of_bilinear,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _of_attention,
}
"""Kernels that `torch.utils.flop_counter` passes over; no formula needs keyword arguments."""


@contextmanager
def _whole_attention() -> Iterator[None]:
    """Let attention run as the products that it is made of, not as one kernel of which nothing is known."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
