"""Operations that move, cut, join and regroup dimensions."""

from __future__ import annotations

from collections.abc import Sequence

from graphnas.ir.types import TensorType
from graphnas.mutators.widths.axes import ONE, Axis, cut, factor, joined, number, product, resolve, size_of
from graphnas.mutators.widths.call import (
    Call,
    UnknownCall,
    dims,
    is_constant,
    plain,
    transfer,
    with_numbers,
)
from graphnas.mutators.widths.values import Abstract, Number, Tensor

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


# Cutting.


@transfer("chunk", "tensor_split")
def _chunk(call: Call) -> Abstract:
    axes = [*call.tensor(0).axes]
    dim = dims(call.value(2, "dim", 0), len(axes))[0]
    count = call.integer(1, "chunks")
    if size_of(axes[dim]) % count:
        raise UnknownCall
    outer, inner = factor(axes[dim], size_of(axes[dim]) // count, call.why)
    call.fix(outer)
    part = Tensor((*axes[:dim], resolve(inner), *axes[dim + 1 :]))
    return (part,) * count


@transfer("split", "split_with_sizes")
def _cut(call: Call) -> Abstract:
    axes = [*call.tensor(0).axes]
    dim = dims(call.value(2, "dim", 0), len(axes))[0]
    given = call.get(1, "split_size_or_sections") or call.get(1, "split_size") or call.get(1, "split_sizes")
    rest = axes[dim]
    found: list[Axis] = []
    sizes = given if isinstance(given, tuple) else None
    if sizes is None:
        if given is None or not isinstance(plain(given), int) or not plain(given):
            raise UnknownCall
        count, remainder = divmod(size_of(rest), plain(given))  # type: ignore[operator]  # checked
        sizes = (given,) * count
        if remainder:
            sizes = (*sizes, Number(remainder))
    for index, size in enumerate(sizes):
        part, rest = cut(rest, plain(size), call.why) if index < len(sizes) - 1 else (rest, ())  # type: ignore[arg-type]  # an integer, as `require` checks
        if not isinstance(size, Number) or size != Number(size.value):
            call.require(size, part)
        found.append(part)
    return tuple(Tensor((*axes[:dim], resolve(part), *axes[dim + 1 :])) for part in found)


@transfer("unbind")
def _unbind(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    dim = dims(call.value(1, "dim", 0), len(axes))[0]
    call.fix(axes[dim])
    return (Tensor((*axes[:dim], *axes[dim + 1 :])),) * size_of(axes[dim])


@transfer("narrow")
def _narrow(call: Call) -> Abstract:
    axes = [*call.tensor(0).axes]
    dim = dims(call.integer(1, "dim"), len(axes))[0]
    start, length = call.get(2, "start"), call.get(3, "length")
    if start is None or length is None:
        raise UnknownCall
    first, rest = cut(axes[dim], call.integer(2, "start"), call.why)
    part, _ = cut(rest, call.integer(3, "length"), call.why)
    if first:
        call.require(start, first)
    call.require(length, part)
    axes[dim] = part
    return Tensor(tuple(axes))


@transfer("select")
def _select(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    dim = dims(call.integer(1, "dim"), len(axes))[0]
    call.fix(axes[dim])
    return Tensor((*axes[:dim], *axes[dim + 1 :]))


@transfer("index_select")
def _index_select(call: Call) -> Abstract:
    axes = call.tensor(0).axes
    dim = dims(call.integer(1, "dim"), len(axes))[0]
    call.fix(axes[dim])
    return Tensor((*axes[:dim], *call.tensor(2, "index").axes, *axes[dim + 1 :]))


@transfer("gather", "take_along_dim")
def _gather(call: Call) -> Abstract:
    index = call.tensor(2, "index")
    for axis in (*call.tensor(0).axes, *index.axes):
        if axis not in index.axes:
            call.fix(axis)
    return index


@transfer("getitem")
def _getitem(call: Call) -> Abstract:
    whole, key = call.args
    if isinstance(whole, (tuple, dict)):
        return _taken(whole, key)
    if not isinstance(whole, Tensor):
        raise UnknownCall
    keys = key if isinstance(key, tuple) else (key,)
    return Tensor(tuple(_indexed(call, whole.axes, keys)))


@transfer("setitem")
def _setitem(call: Call) -> Abstract:
    whole, key, value = call.args
    if not isinstance(whole, Tensor):
        raise UnknownCall
    keys = key if isinstance(key, tuple) else (key,)
    part = Tensor(tuple(_indexed(call, whole.axes, keys)))
    if isinstance(value, Tensor):
        call.broadcast([part, value])
    return whole if isinstance(call.type, TensorType) else Number(None)


def _taken(whole: tuple[Abstract, ...] | dict[object, Abstract], index: Abstract) -> Abstract:
    """Return an item of a container, or some of them for a slice."""
    key = plain(index)
    if isinstance(key, dict) and isinstance(whole, tuple):
        return whole[slice(key["start"], key["stop"], key["step"])]
    if isinstance(whole, dict):
        return whole[key]
    if isinstance(key, int):
        return whole[key]
    raise UnknownCall


def _indexed(call: Call, axes: Sequence[Axis], keys: Sequence[Abstract]) -> list[Axis]:
    """Return the axes of `x[keys]`; at most one of the keys is a tensor or a list."""
    taken = sum(1 for key in keys if not _is(key, None) and not _is(key, Ellipsis))
    rest = [*axes]
    found: list[Axis] = []
    several = [key for key in keys if isinstance(key, (Tensor, tuple))]
    if len(several) > 1:
        return _indexed_together(call, axes, keys)
    for key in (*keys, Number(Ellipsis)) if not any(_is(key, Ellipsis) for key in keys) else keys:
        if _is(key, None):
            found.append(ONE)
        elif _is(key, Ellipsis):
            count = len(axes) - taken
            found += rest[:count]
            del rest[:count]
        elif isinstance(key, Tensor):
            call.fix(rest.pop(0))
            found += key.axes
        elif isinstance(key, tuple):  # a list of indices
            call.fix(rest.pop(0))
            found.append(number(len(key)))
        elif isinstance(key, dict):  # a slice, as `Survey.bind` hands it out
            found.append(_sliced(call, rest.pop(0), key))
        elif isinstance(key, Number) and type(key.value) is int:
            call.fix(rest.pop(0))
        else:
            raise UnknownCall
    return found


def _indexed_together(call: Call, axes: Sequence[Axis], keys: Sequence[Abstract]) -> list[Axis]:
    """Return the axes of `x[i, j]` with tensors that stand first: they are broadcast, and index together."""
    tensors = [key for key in keys if isinstance(key, Tensor)]
    if len(tensors) < len(keys):
        raise UnknownCall
    for axis in axes[: len(keys)]:
        call.fix(axis)
    return [*call.broadcast(tensors), *axes[len(keys) :]]


def _is(key: Abstract, value: object) -> bool:
    return isinstance(key, Number) and key.value is value


def _sliced(call: Call, axis: Axis, key: dict[object, Abstract]) -> Axis:
    start, stop, step = key["start"], key["stop"], key["step"]
    if _is(start, None) and _is(stop, None) and _is(step, None):
        return axis
    total = size_of(axis)
    bounds = slice(plain(start), plain(stop), plain(step)).indices(total)
    if bounds == (0, total, 1) and not (isinstance(stop, Number) and (stop.axis or stop.place or stop.quotient)):
        return axis
    if bounds[2] != 1:
        call.fix(axis)
        return number(len(range(*bounds)))
    first, rest = cut(axis, bounds[0], call.why)
    part, last = cut(rest, max(0, bounds[1] - bounds[0]), call.why)
    for bound, side, other in ((start, first, joined([part, last])), (stop, joined([first, part]), last)):
        _bound(call, bound, resolve(side), resolve(other))
    return resolve(part)


def _bound(call: Call, bound: Abstract, before: Axis, after: Axis) -> None:
    """Let a bound of a slice be where it is: so many channels from the front, or from the back."""
    if not isinstance(bound, Number) or bound.value is None:
        return
    if isinstance(bound.value, int) and bound.value < 0:
        call.fix(after)
    elif not before:
        return
    elif after or bound.axis is not None or bound.quotient is not None:
        call.require(bound, before)
