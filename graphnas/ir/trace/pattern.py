"""Tables of integers as the expressions that people write for them: ranges, masks, grids, relative positions.

Models fill index buffers by loops in Python or with numpy, and of that nothing is recorded. What belongs here: to find
the rule in a table. An expression that is returned builds its table exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn

from graphnas.ir.describe import describe
from graphnas.ir.graph import Graph
from graphnas.ir.source import boundary
from graphnas.ir.tape import Tape

_MOST_ELEMENTS = 1 << 24
_STEPS = (1, 2, 4)
"""How many fine steps there may be to a coarse one, where the queries of an attention are fewer than its keys."""

_Rule = Callable[[], Tensor]


def pattern_of(tensor: Tensor) -> Graph | None:
    """Return an expression that builds a table of integers or truth values, None if no rule was found in it.

    >>> table = torch.tensor([[abs(i - j) for j in range(5)] for i in range(5)])
    >>> [str(node.operation) for node in pattern_of(table).nodes]
    ['function torch:arange', 'function operator:getitem', 'function operator:sub', 'method abs']
    """
    if tensor.is_floating_point() or tensor.is_complex() or tensor.is_meta or not 1 < tensor.numel() <= _MOST_ELEMENTS:
        return None
    table = tensor.detach().cpu()
    for rule in _rules(table.bool() if table.dtype is torch.bool else table.long()):
        found = _recorded(rule, table)
        if found is not None:
            return found
    return None


@boundary
def _recorded(rule: _Rule, table: Tensor) -> Graph | None:
    """Return what a rule does as an expression, None if the table is another."""
    tape = Tape()
    with tape:
        built = rule()
        if built.dtype is not table.dtype:
            built = built.to(table.dtype)
    if built.shape != table.shape or not torch.equal(built, table):
        return None
    holder = nn.Module()
    holder.table = built
    return describe(tape, [holder], lambda module: False)[0].initial.get("table")


def _rules(table: Tensor) -> Iterator[_Rule]:
    shape = tuple(table.shape)
    first = table.flatten()[0].item()
    if bool((table == first).all()):
        yield lambda: torch.full(shape, first)
        return
    if table.dtype is torch.bool:
        yield from _triangles(shape)
        return
    yield from _ranges(table)
    yield from _shuffles(table)
    if table.dim() == 2:
        yield from _distances(table)
        yield from _relative_positions(table)


def _triangles(shape: tuple[int, ...]) -> Iterator[_Rule]:
    for diagonal in (0, 1, -1):
        yield partial(_triangle, shape, diagonal, upper=True)
        yield partial(_triangle, shape, diagonal, upper=False)


def _triangle(shape: tuple[int, ...], diagonal: int, *, upper: bool) -> Tensor:
    whole = torch.ones(shape, dtype=torch.bool)
    return whole.triu(diagonal) if upper else whole.tril(diagonal)


def _ranges(table: Tensor) -> Iterator[_Rule]:
    """Yield what counts on in equal steps, as a whole or along one dimension."""
    flat, shape = table.flatten(), tuple(table.shape)
    start, step = int(flat[0]), int(flat[1] - flat[0])
    if step and bool((flat.diff() == step).all()):
        whole = _range(start, step, flat.numel())
        yield whole if len(shape) == 1 else lambda: whole().reshape(shape)
    for dim, size in enumerate(shape):
        if len(shape) > 1 and size > 1:
            steps = table.diff(dim=dim)
            step = int(steps.flatten()[0])
            if step and bool((steps == step).all()):
                across = tuple(size if index == dim else 1 for index in range(len(shape)))
                yield partial(_repeated, _range(start, step, size), across, shape)


def _repeated(line: _Rule, across: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    return line().reshape(across).repeat([whole // own for whole, own in zip(shape, across, strict=True)])


def _range(start: int, step: int, length: int) -> _Rule:
    end = start + step * length
    if step != 1:
        return lambda: torch.arange(start, end, step)
    return lambda: torch.arange(start, end) if start else torch.arange(end)


def _shuffles(table: Tensor) -> Iterator[_Rule]:
    """Yield the orders in which channels of groups are interleaved."""
    flat, size = table.flatten(), table.numel()
    step = int(flat[1])
    if table.dim() == 1 and flat[0] == 0 and 1 < step < size and size % step == 0:
        yield lambda: torch.arange(size).reshape(-1, step).t().reshape(-1)


def _distances(table: Tensor) -> Iterator[_Rule]:
    """Yield the ways in which the entries of a table hang on the distance of row and column."""
    rows, columns = table.shape
    for steps in _STEPS:
        for shift in dict.fromkeys((0, (steps - 1) // 2, rows - 1, columns - 1)):
            for absolute in (False, True):
                distance = _distance(rows, columns, steps, shift, absolute)
                fitted = _fitted(distance, table)
                if fitted is not None:
                    yield fitted


def _distance(rows: int, columns: int, steps: int, shift: int, absolute: bool) -> _Rule:
    def distance() -> Tensor:
        column = torch.arange(columns)
        row = column if rows == columns else torch.arange(rows)
        if steps != 1:
            row = row * steps
        between = row[:, None] - column
        if shift:
            between = between + shift
        return between.abs() if absolute else between

    return distance


def _fitted(distance: _Rule, table: Tensor) -> _Rule | None:
    """Return a multiple of distances plus a constant, where that is what the table holds."""
    between = distance()
    other = int((between != between[0, 0]).flatten().int().argmax())
    spread = int(between.flatten()[other] - between[0, 0])
    factor = int(table.flatten()[other] - table[0, 0]) // spread if spread else 0
    offset = int(table[0, 0] - factor * between[0, 0])
    if not factor or not torch.equal(between * factor + offset, table):
        return None

    def fitted() -> Tensor:
        found = distance()
        if factor != 1:
            found = found * factor
        return found + offset if offset else found

    return fitted


def _relative_positions(table: Tensor) -> Iterator[_Rule]:
    """Yield the sums of what hangs on the vertical distance of two points of grids, and on the horizontal one."""
    for (height, width), (tall, wide) in product(_factors(table.shape[0]), _factors(table.shape[1])):
        grid = table.reshape(height, width, tall, wide)
        vertical = grid[:, 0, :, 0]
        horizontal = grid[0, :, 0, :] - grid[0, 0, 0, 0]
        if not torch.equal(vertical[:, None, :, None] + horizontal[:, None, :], grid):
            continue
        rule = next(
            (_both(a, b, tuple(table.shape)) for a in _distances(vertical) for b in _distances(horizontal)), None
        )
        if rule is not None:
            yield rule


def _both(vertical: _Rule, horizontal: _Rule, shape: tuple[int, ...]) -> _Rule:
    return lambda: (vertical()[:, None, :, None] + horizontal()[:, None, :]).reshape(shape)


def _factors(size: int) -> Iterator[tuple[int, int]]:
    """Yield the heights and widths of a grid of that many points, the most square one first."""
    heights = (height for height in range(2, size // 2 + 1) if size % height == 0)
    yield from sorted(((height, size // height) for height in heights), key=lambda pair: (abs(pair[0] - pair[1]), pair))
