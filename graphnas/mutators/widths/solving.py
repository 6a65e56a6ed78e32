"""New sizes: which atoms change for an axis to have a width, and which channels stay then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from graphnas.mutators.widths.axes import Atom, Axis, Term, resolve, size_of, term_size

Check: TypeAlias = Callable[[Mapping[Atom, int]], bool]
"""Whether new sizes of atoms do for what hangs on them."""


def solve(axis: Axis, total: int, check: Check = lambda sizes: True) -> dict[Atom, int] | None:
    """Return new sizes of atoms with which an axis has `total` channels and `check` agrees, None if there are none.

    Of a product the least stiff factor changes, the outermost one among equals, as long as that is possible: whole
    heads come and go before heads change their size. The terms of a sum keep their proportions as well as they can.
    """
    axis = resolve(axis)
    for chosen in _choices(axis):
        found = _solved(axis, chosen, total)
        if found is not None and check(found):
            return found
    return None


def _choices(axis: Axis) -> Iterator[tuple[Atom, ...]]:
    """Yield, in the order of preference, which atoms change: one in each term that can change at all."""
    free: list[list[Atom]] = []
    for term in axis:
        candidates = [factor for factor in term if isinstance(factor, Atom) and not factor.pin]
        if candidates:
            free.append(sorted(candidates, key=lambda atom: atom.stiff))  # stable: outermost first
    deepest = max(map(len, free), default=0)
    for level in range(deepest):
        yield tuple(dict.fromkeys(candidates[min(level, len(candidates) - 1)] for candidates in free))


def _solved(axis: Axis, chosen: Sequence[Atom], total: int) -> dict[Atom, int] | None:
    now = size_of(axis)
    movable = sum(term_size(term) for term in axis if any(atom in term for atom in chosen))
    if total <= now - movable:
        return None
    wanted = total - (now - movable)
    sizes = {atom: max(1, round(atom.size * wanted / movable)) for atom in chosen}
    weights = {atom: size_of(axis, {atom: atom.size + 1}) - now for atom in chosen}
    for atom in sorted(chosen, key=lambda atom: -weights[atom]):
        rest = total - size_of(axis, sizes)
        sizes[atom] = max(1, sizes[atom] + int(rest / weights[atom]))
    if size_of(axis, sizes) != total:
        return None
    return {atom: size for atom, size in sizes.items() if size != atom.size}


def nearest(axis: Axis, total: int, check: Check = lambda sizes: True) -> tuple[int, ...]:
    """Return the sizes next to `total` that an axis can have, the one below and the one above where there are such."""
    lower = next((size for size in range(total - 1, 0, -1) if solve(axis, size, check) is not None), None)
    upper = next((size for size in range(total + 1, 2 * total + 1) if solve(axis, size, check) is not None), None)
    return tuple(size for size in (lower, upper) if size is not None)


# What changed, channel by channel.


def sources(axis: Axis, sizes: Mapping[Atom, int]) -> tuple[tuple[int, int], ...]:
    """Return an axis as segments `(old, new)`: consecutive channels, of which the first `min(old, new)` stay.

    Segments that nothing happens to are merged with their neighbours.
    """
    found: list[tuple[int, int]] = []
    for term in resolve(axis):
        found += _segments(term, sizes)
    return _merged(found)


def _segments(term: Term, sizes: Mapping[Atom, int]) -> tuple[tuple[int, int], ...]:
    if not term:
        return ((1, 1),)
    old = term_size(term[:1])
    new = term_size(term[:1], sizes)
    inner = _segments(term[1:], sizes)
    if inner == ((before := term_size(term[1:]), before),):
        return ((old * before, new * before),)
    before, after = (sum(pair[side] for pair in inner) for side in (0, 1))
    kept = min(old, new)
    rest = ((before * (old - kept), after * (new - kept)),) if old != new else ()
    return (*inner * kept, *rest)


def _merged(segments: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for old, new in segments:
        if found and old == new and found[-1][0] == found[-1][1]:
            found[-1] = (found[-1][0] + old, found[-1][1] + new)
        else:
            found.append((old, new))
    return tuple(found)
