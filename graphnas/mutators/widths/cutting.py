"""Operations that take parts of dimensions: chunks, slices, items."""

from __future__ import annotations

from collections.abc import Sequence

from graphnas.ir.types import TensorType
from graphnas.mutators.widths.axes import ONE, Axis, cut, factor, joined, number, resolve, size_of
from graphnas.mutators.widths.call import Call, UnknownCall, dims, plain, transfer
from graphnas.mutators.widths.values import Abstract, Number, Tensor


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
