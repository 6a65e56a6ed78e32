"""Operations that move, regroup, repeat and join dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from graphnas.mutators.widths.axes import ONE, Axis, factor, joined, number, product, resolve, size_of
from graphnas.mutators.widths.call import (
    Call,
    UnknownCall,
    dims,
    is_constant,
    plain,
    transfer,
    with_numbers,
)
from graphnas.mutators.widths.values import Abstract, Tensor

# Moving.


@transfer("permute")
def _permute(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    order = dims(tuple(plain(item) for item in call.rest(1, "dims")), len(axes))
    return Tensor(tuple(axes[index] for index in order))


@transfer("transpose", "swapaxes", "swapdims")
def _transpose(call: Call) -> Abstract:
    axes = [*call.tensor(0).axes]
    one = call.integer(1, "dim0", call.value(1, "axis0"))  # type: ignore[arg-type]  # checked to be an integer
    other = call.integer(2, "dim1", call.value(2, "axis1"))  # type: ignore[arg-type]  # checked to be an integer
    axes[one], axes[other] = axes[other], axes[one]
    return Tensor(tuple(axes))


@transfer("t", "T", "mT", "adjoint")
def _reverse(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    if len(axes) > 2 and call.name != "T":
        return Tensor((*axes[:-2], axes[-1], axes[-2]))
    return Tensor(axes[::-1])


@transfer("movedim", "moveaxis")
def _move(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    rank = len(axes)
    starts = dims(call.value(1, "source"), rank)
    ends = dims(call.value(2, "destination"), rank)
    order = [index for index in range(rank) if index not in starts]
    for end, start in sorted(zip(ends, starts, strict=True)):
        order.insert(end, start)
    return Tensor(tuple(axes[index] for index in order))


@transfer("squeeze")
def _squeeze(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    given = call.value(1, "dim", ())
    gone = [index for index in dims(given, len(axes)) if size_of(axes[index]) == 1]
    return Tensor(tuple(axis for index, axis in enumerate(axes) if index not in gone))


@transfer("unsqueeze")
def _unsqueeze(call: Call) -> Abstract:
    axes = [*call.tensor(0).axes]
    axes.insert(dims(call.integer(1, "dim"), len(axes) + 1)[0], ONE)
    return Tensor(tuple(axes))


@transfer("roll")
def _roll(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    for dim in dims(call.value(2, "dims"), len(axes)):
        call.fix(axes[dim])
    return Tensor(axes)


# Regrouping.


def regroup(call: Call, axes: Sequence[Axis], shape: Sequence[int]) -> list[Axis]:
    """Return the axes of a tensor in another shape: as few dimensions as possible are merged and split again."""
    found: list[Axis] = []
    waiting = [axis for axis in axes if size_of(axis) != 1]
    sizes = [*shape]
    while sizes:
        if sizes[0] == 1:
            found.append(ONE)
            sizes.pop(0)
            continue
        if not waiting:
            raise UnknownCall
        merged, targets = [waiting.pop(0)], [sizes.pop(0)]
        have, need = size_of(merged[0]), targets[0]
        while have != need:
            if have < need:
                if not waiting:
                    raise UnknownCall
                merged.append(waiting.pop(0))
                have *= size_of(merged[-1])
            else:
                if not sizes:
                    raise UnknownCall
                targets.append(sizes.pop(0))
                need *= targets[-1]
        found += _split(call, product(merged), targets)
    if waiting:
        raise UnknownCall
    return found


def _split(call: Call, axis: Axis, sizes: Sequence[int]) -> list[Axis]:
    """Return a merged dimension as several ones, split from the innermost outwards."""
    inners: list[Axis] = []
    for size in reversed(sizes[1:]):
        if size == 1:
            inners.append(ONE)
            continue
        axis, inner = factor(axis, size, call.why)
        inners.append(inner)
    return [resolve(item) for item in (axis, *reversed(inners))]


@transfer("view", "reshape", "view_as", "reshape_as")
def _view(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    found = regroup(call, axes, call.shape)
    if call.name.endswith("_as"):
        for axis, other in zip(found, call.tensor(1, "other").axes, strict=True):
            call.same(axis, other)
        return Tensor(tuple(found))
    given = call.rest(1, "shape") or call.rest(1, "size")
    if len(given) != len(found):
        raise UnknownCall
    for size, axis in zip(given, found, strict=True):
        call.require(size, axis)
    return Tensor(tuple(found))


@transfer("flatten", "Flatten", "ravel")
def _flatten(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    start = call.integer(1, "start_dim", 1 if call.name == "Flatten" else 0) % len(axes)
    end = call.integer(2, "end_dim", -1) % len(axes)
    return Tensor((*axes[:start], product(axes[start : end + 1]), *axes[end + 1 :]))


@transfer("unflatten", "Unflatten")
def _unflatten(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    dim = dims(call.integer(1, "dim"), len(axes))[0]
    sizes = call.rest(2, "sizes") or call.rest(2, "unflattened_size")
    found = regroup(call, [axes[dim]], call.shape[dim : dim + len(sizes)])
    for size, axis in zip(sizes, found, strict=True):
        call.require(size, axis)
    return Tensor((*axes[:dim], *found, *axes[dim + 1 :]))


@transfer("pixel_shuffle", "PixelShuffle")
def _pixel_shuffle(call: Call) -> Abstract:
    *leading, channels, height, width = call.tensor(0).axes
    outer, inner = factor(channels, call.integer(1, "upscale_factor") ** 2, call.why)
    call.fix(inner)
    call.fix(joined([height, width]))
    return Tensor((*leading, outer, *map(number, call.shape[-2:])))


@transfer("pixel_unshuffle", "PixelUnshuffle")
def _pixel_unshuffle(call: Call) -> Abstract:
    *leading, channels, height, width = call.tensor(0).axes
    call.fix(joined([height, width]))
    inner = number(call.integer(1, "downscale_factor") ** 2)
    return Tensor((*leading, product([channels, inner]), *map(number, call.shape[-2:])))


@transfer("channel_shuffle", "ChannelShuffle")
def _channel_shuffle(call: Call) -> Abstract:
    batch, channels, *spatial = call.tensor(0).axes
    outer, inner = factor(channels, size_of(channels) // call.integer(1, "groups"), call.why)
    call.fix(outer)
    return Tensor((batch, product([inner, outer]), *spatial))


# Repeating.


@transfer("expand", "broadcast_to")
def _expand(call: Call) -> Abstract:
    given = call.rest(1, "size") or call.rest(1, "sizes")
    axes = call.tensor(0).axes
    found = [ONE] * (len(given) - len(axes)) + [*axes]
    for index, (size, total) in enumerate(zip(given, call.shape, strict=True)):
        if size_of(found[index]) == total:
            call.require(size, found[index])
        else:
            found[index] = call.axis_of(size)
    return Tensor(tuple(found))


@transfer("repeat", "tile")
def _repeat(call: Call) -> Abstract:
    counts = [plain(item) for item in call.rest(1, "repeats" if call.name == "repeat" else "dims")]
    axes = call.tensor(0).axes
    found = [ONE] * (len(counts) - len(axes)) + [*axes]
    if any(type(item) is not int for item in counts):
        raise UnknownCall
    counts = [1] * (len(found) - len(counts)) + counts
    return Tensor(tuple(product([number(n), axis]) for n, axis in zip(counts, found, strict=True)))  # type: ignore[arg-type]  # checked


@transfer("repeat_interleave")
def _repeat_interleave(call: Call) -> Abstract:
    axes = [*call.tensor(0).axes]
    dim = dims(call.integer(2, "dim"), len(axes))[0]
    axes[dim] = product([axes[dim], number(call.integer(1, "repeats"))])
    return Tensor(tuple(axes))


# Joining.


@transfer("cat", "concat", "concatenate", "hstack", "vstack")
def _cat(call: Call) -> Abstract:
    tensors = call.get(0, "tensors")
    if not isinstance(tensors, tuple):
        raise UnknownCall
    parts = [item for item in tensors if isinstance(item, Tensor) and item.shape != (0,)]
    if any(not isinstance(item, Tensor) for item in tensors) or not parts or call.name.endswith("stack"):
        raise UnknownCall
    rank = len(parts[0].axes)
    found = call.get(1, "dim") or call.kwargs.get("axis")
    dim = dims(plain(found) if found is not None else 0, rank)[0]
    axes: list[Axis] = [*parts[0].axes]
    for part in parts[1:]:
        for index, (axis, other) in enumerate(zip(axes, part.axes, strict=True)):
            if index != dim:
                call.same(axis, other)
    axes[dim] = joined([resolve(part.axes[dim]) for part in parts])
    return Tensor(tuple(axes))


@transfer("stack")
def _stack(call: Call) -> Abstract:
    given = call.get(0, "tensors")
    if not isinstance(given, tuple):
        raise UnknownCall
    parts = [item for item in given if isinstance(item, Tensor)]
    if len(parts) < len(given):
        raise UnknownCall
    for part in parts[1:]:
        for axis, other in zip(parts[0].axes, part.axes, strict=True):
            call.same(axis, other)
    axes = [*parts[0].axes]
    axes.insert(dims(call.integer(1, "dim", 0), len(axes) + 1)[0], number(len(parts)))
    return Tensor(tuple(axes))


@transfer("pad")
def _pad(call: Call) -> Abstract:
    axes = [*call.tensor(0).axes]
    pads = call.value(1, "pad")
    if not isinstance(pads, tuple) or any(type(item) is not int for item in pads):
        raise UnknownCall
    mode = call.value(2, "mode", "constant")
    for index in range(len(pads) // 2):
        before, after = pads[2 * index], pads[2 * index + 1]
        at = len(axes) - 1 - index
        if before == after == 0:
            continue
        if is_constant(axes[at]):
            axes[at] = number(call.shape[at])
        elif mode == "constant" and before >= 0 and after >= 0:
            axes[at] = with_numbers(before, axes[at], after)
        else:
            raise UnknownCall
    return Tensor(tuple(axes))
