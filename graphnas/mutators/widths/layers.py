"""Layers in their functional form: what has weights, normalises, pools or attends."""

from __future__ import annotations

from graphnas.ir.types import SequenceType, TensorType, Type
from graphnas.mutators.widths.axes import ONE, Axis, factor, joined, number, product, resolve, size_of, stiffen
from graphnas.mutators.widths.call import TABLE, Call, UnknownCall, dims, transfer
from graphnas.mutators.widths.values import Abstract, Number, Tensor, tensors_in


@transfer("linear", "Linear")
def _linear(call: Call) -> Abstract:
    *leading, channels = call.tensor(0).axes
    weight, bias = call.tensor(1, "weight"), call.optional_tensor(2, "bias")
    if len(weight.axes) != 2:
        raise UnknownCall
    call.same(channels, weight.axes[1])
    if bias is not None:
        call.same(weight.axes[0], bias.axes[0])
    return Tensor((*leading, weight.axes[0]))


@transfer("conv1d", "conv2d", "conv3d", "Conv1d", "Conv2d", "Conv3d")
@transfer("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
@transfer("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
def _convolution(call: Call) -> Abstract:
    weight, bias = call.tensor(1, "weight"), call.optional_tensor(2, "bias")
    is_transposed = "ranspose" in call.name
    groups = call.get(7 if is_transposed else 6, "groups") if not is_transposed else call.get(6, "groups")
    if groups is None:
        groups = Number(1)
    spatial = len(weight.axes) - 2
    *leading, channels = call.tensor(0).axes[:-spatial]
    positions = _positions(call, spatial, 3)
    side, other = weight.axes[:2] if is_transposed else weight.axes[1::-1]
    if isinstance(groups, Number) and groups.value == 1:
        call.same(channels, side)
        result = other
    else:
        result = _grouped(call, channels, weight, groups, is_transposed)
    if bias is not None:
        call.same(result, bias.axes[0])
    return Tensor((*leading, resolve(result), *positions))


def _positions(call: Call, rank: int, index: int, shape: tuple[int, ...] | None = None) -> tuple[Axis, ...]:
    """Return the last dimensions of what slides a window over them: they stay where that changes no size.

    Args:
        call: The call.
        rank: How many dimensions.
        index: Position of the argument `stride`.
        shape: Shape of the result.
    """
    axes = call.tensor(0).axes[-rank:]
    sizes = (call.shape if shape is None else shape)[-rank:]
    stride = call.value(index, "stride", 1 if index == 3 else None)
    strides = stride if isinstance(stride, tuple) else (stride,) * rank
    found: list[Axis] = []
    for axis, size, step in zip(axes, sizes, strides, strict=True):
        if step == 1 and size == size_of(axis):
            found.append(axis)
        else:
            call.fix(axis)
            found.append(number(size))
    return tuple(found)


def _grouped(call: Call, channels: Axis, weight: Tensor, groups: Abstract, is_transposed: bool) -> Axis:
    """Let channels in and out be groups of the same number, and return the channels out."""
    if not isinstance(groups, Number) or not isinstance(groups.value, int):
        raise UnknownCall
    whole, part = weight.axes[:2]
    count, inside = factor(whole, size_of(whole) // groups.value, call.why)
    call.require(groups, count)
    if size_of(inside) * size_of(part) > 1:  # a depthwise convolution has no groups to keep
        stiffen(count)
    through = resolve(product([count, part]))
    call.same(channels, resolve(whole) if is_transposed else through)
    return through if is_transposed else resolve(whole)


# Normalisation.


@transfer("batch_norm", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm")
@transfer("instance_norm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d")
def _batch_norm(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    for index, name in enumerate(("running_mean", "running_var", "weight", "bias"), 1):
        found = call.optional_tensor(index, name)
        if found is not None:
            call.same(axes[1], found.axes[0])
    return Tensor(axes)


@transfer("layer_norm", "rms_norm", "LayerNorm", "RMSNorm")
def _layer_norm(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    sizes = call.rest(1, "normalized_shape") if "normalized_shape" in call.kwargs else call.get(1, "normalized_shape")
    if not isinstance(sizes, tuple):
        sizes = () if sizes is None else (sizes,)
    last = axes[len(axes) - len(sizes) :]
    for size, axis in zip(sizes, last, strict=True):
        call.require(size, axis)
    for index, name in enumerate(("weight", "bias"), 2):
        found = call.optional_tensor(index, name)
        if found is not None:
            for axis, other in zip(found.axes, last, strict=True):
                call.same(axis, other)
    return Tensor(axes)


@transfer("group_norm", "GroupNorm")
def _group_norm(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    groups = call.get(1, "num_groups")
    if groups is None:
        raise UnknownCall
    call.divide(axes[1], groups)
    for index, name in enumerate(("weight", "bias"), 2):
        found = call.optional_tensor(index, name)
        if found is not None:
            call.same(axes[1], found.axes[0])
    return Tensor(axes)


@transfer("local_response_norm", "LocalResponseNorm", "feature_dropout")
def _local_response(call: Call) -> Abstract:
    return Tensor(call.tensor(0).axes)


@transfer("prelu", "PReLU")
def _prelu(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    weight = call.tensor(1, "weight").axes[0]
    if size_of(weight) > 1:
        call.same(axes[1] if len(axes) > 1 else axes[0], weight)
    return Tensor(axes)


# Pooling and resampling: channels stay, positions are new.

_POOLS = ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "lp_pool")
_POOL_CLASSES = ("MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "LPPool")
_PADS = ("ReflectionPad", "ReplicationPad", "ZeroPad", "ConstantPad", "CircularPad")
_SPATIAL = {f"{name}{rank}d": rank for name in (*_POOLS, *_POOL_CLASSES, *_PADS) for rank in (1, 2, 3)}
_SPATIAL |= {f"{name}_with_indices": rank for name, rank in _SPATIAL.items() if name[0].islower()}


def _resampled(call: Call, rank: int) -> Abstract:
    axes = call.tensor(0).axes

    def make(type: Type) -> Abstract:
        if not isinstance(type, TensorType):
            raise UnknownCall
        return Tensor((*axes[:-rank], *_positions(call, rank, 2, type.shape)))

    return call.each(make)


def _pool(call: Call) -> Abstract:
    return _resampled(call, _SPATIAL[call.name])


TABLE.update(dict.fromkeys(_SPATIAL, _pool))


@transfer("interpolate", "upsample", "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d", "grid_sample")
def _interpolate(call: Call) -> Abstract:
    return _resampled(call, len(call.shape) - 2)


@transfer("unfold", "Unfold")
def _unfold(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    if len(call.shape) == len(axes) + 1:  # the method, which slides a window along one dimension
        dim = dims(call.integer(1, "dimension"), len(axes))[0]
        call.fix(axes[dim])
        return Tensor((*axes[:dim], number(call.shape[dim]), *axes[dim + 1 :], number(call.shape[-1])))
    if len(call.shape) != 3:
        raise UnknownCall
    batch, channels, *spatial = call.tensor(0).axes
    for axis in spatial:
        call.fix(axis)
    inner = call.shape[1] // size_of(channels)
    return Tensor((batch, product([channels, number(inner)]), number(call.shape[2])))


@transfer("fold", "Fold")
def _fold(call: Call) -> Abstract:
    batch, channels, places = call.tensor(0).axes
    call.fix(places)
    outer, inner = factor(channels, size_of(channels) // call.shape[1], call.why)
    call.fix(inner)
    return Tensor((batch, outer, *map(number, call.shape[2:])))


# Embeddings, products and attention.


@transfer("embedding")
def _embedding(call: Call) -> Abstract:
    rows, channels = call.tensor(1, "weight").axes
    call.fix(rows, "the rows of an embedding are what the model is given")
    return Tensor((*call.tensor(0).axes, channels))


@transfer("Embedding")
def _embedding_class(call: Call) -> Abstract:
    rows, channels = call.tensor(1, "weight").axes
    call.fix(rows, "the rows of an embedding are what the model is given")
    return Tensor((*call.tensor(0).axes, channels))


@transfer("matmul", "bmm", "mm", "mv", "__matmul__", "dot")
def _matmul(call: Call) -> Abstract:
    left, right = call.tensor(0).axes, call.tensor(1, "mat2" if call.name in ("bmm", "mm") else "other").axes
    call.same(left[-1], right[-2] if len(right) > 1 else right[0])
    if min(len(left), len(right)) == 1:
        return Tensor((*left[:-1], *right[:-2], *right[-1:][: len(right) - 1]))
    batch = call.broadcast([Tensor(left[:-2]), Tensor(right[:-2])]) if len(left) > 2 or len(right) > 2 else ()
    return Tensor((*batch, left[-2], right[-1]))


@transfer("baddbmm", "addmm")
def _added_matmul(call: Call) -> Abstract:
    left, right = call.tensor(1, "batch1").axes, call.tensor(2, "batch2").axes
    call.same(left[-1], right[-2])
    found = Tensor((*left[:-1], right[-1]))
    return Tensor(call.broadcast([found, call.tensor(0)]))


@transfer("einsum")
def _einsum(call: Call) -> Abstract:
    equation = call.value(0, "equation")
    operands = call.rest(1, "operands")
    if not isinstance(equation, str) or "->" not in equation:
        raise UnknownCall
    given, _, result = equation.replace(" ", "").partition("->")
    known: dict[str, Axis] = {}
    for letters, operand in zip(given.split(","), operands, strict=True):
        if not isinstance(operand, Tensor):
            raise UnknownCall
        spread = len(operand.axes) - len(letters.replace("...", ""))
        dotted = "".join(map(str, range(9, 9 - spread, -1)))[::-1]  # digits stand for what the dots do, from the back
        result = result.replace("...", dotted)
        for letter, axis in zip(letters.replace("...", dotted), operand.axes, strict=True):
            if size_of(known.get(letter, ONE)) == 1:
                known[letter] = axis
            elif size_of(axis) != 1:
                call.same(known[letter], axis)
    return Tensor(tuple(known[letter] for letter in result))


@transfer("scaled_dot_product_attention")
def _attention(call: Call) -> Abstract:
    query, key, value = (call.tensor(index, name) for index, name in enumerate(("query", "key", "value")))
    call.same(query.axes[-1], key.axes[-1])
    call.same(key.axes[-2], value.axes[-2])
    parts = [Tensor(item.axes[:-2]) for item in (query, key, value)]
    if call.value(7, "enable_gqa", False):  # so many heads of the query to each of the others
        heads, shared = query.axes[-3], key.axes[-3]
        groups, each = factor(heads, size_of(heads) // size_of(shared), call.why)
        call.fix(each)
        call.same(groups, shared)
        call.same(value.axes[-3], shared)
        call.broadcast([Tensor(item.axes[:-1]) for item in parts])
        batch = parts[0].axes
    else:
        batch = call.broadcast(parts) if parts[0].axes else ()
    mask = call.optional_tensor(3, "attn_mask")
    if mask is not None:
        call.broadcast([Tensor((*batch, query.axes[-2], key.axes[-2])), mask])
    return Tensor((*batch, query.axes[-2], value.axes[-1]))


@transfer("MultiheadAttention")
def _multihead(call: Call) -> Abstract:
    query, key, value = (call.tensor(index, name) for index, name in enumerate(("query", "key", "value")))
    for tensor in (query, key, value):
        call.same(tensor.axes[-1], call.held("out_proj.weight").axes[1])
    if not isinstance(call.type, SequenceType) or len(query.axes) != 3:
        raise UnknownCall
    for tensor in (query, key, value):
        for axis in tensor.axes[:-1]:
            call.fix(axis)
    weights = call.type.items[1]
    shape = weights.shape if isinstance(weights, TensorType) else None
    return query, Number(None) if shape is None else Tensor(tuple(map(number, shape)))


@transfer("LSTM", "GRU", "RNN")
def _recurrent(call: Call) -> Abstract:
    """The output has the hidden channels of each direction; what comes in as a first state has them too."""
    axes = call.tensor(0).axes
    hidden = call.held("weight_hh_l0").axes[1]
    call.same(axes[-1], call.held("weight_ih_l0").axes[1])
    for first in tensors_in(call.get(1, "hx") or ()):
        call.same(first.axes[-1], hidden)
    sides = 2 if call.value(len(call.args), "bidirectional") else 1

    def state(type: Type) -> Abstract:
        if isinstance(type, SequenceType):
            return tuple(state(item) for item in type.items)
        if not isinstance(type, TensorType):
            raise UnknownCall
        return Tensor((*map(number, type.shape[:-1]), hidden))

    if not isinstance(call.type, SequenceType) or len(call.type.items) != 2:
        raise UnknownCall
    return Tensor((*axes[:-1], joined([hidden] * sides))), state(call.type.items[1])


# Tensors out of nothing but sizes.


@transfer("zeros", "ones", "empty", "rand", "randn", "new_zeros", "new_ones", "new_empty")
def _factory(call: Call) -> Abstract:
    start = 1 if call.name.startswith("new_") else 0
    sizes = call.rest(start, "size")
    return Tensor(tuple(call.axis_of(size) for size in sizes))


@transfer("full", "new_full")
def _full(call: Call) -> Abstract:
    sizes = call.get(1 if call.name.startswith("new_") else 0, "size")
    if not isinstance(sizes, tuple):
        raise UnknownCall
    return Tensor(tuple(call.axis_of(size) for size in sizes))


@transfer("arange")
def _arange(call: Call) -> Abstract:
    if len(call.args) != 1:
        raise UnknownCall
    return Tensor((call.axis_of(call.args[0]),))


@transfer("glu", "GLU")
def _glu(call: Call) -> Abstract:
    axes = [*call.tensor(0).axes]
    dim = dims(call.value(1, "dim", -1), len(axes))[0]
    outer, inner = factor(axes[dim], size_of(axes[dim]) // 2, call.why)
    call.fix(outer)
    axes[dim] = inner
    return Tensor(tuple(axes))
