"""The algebra of widths: a dimension of a tensor as an ordered list of groups of channels.

An `Axis` is a sum of terms, a term a product of factors, outermost first, and a factor an `Atom`, which is a number of
channels that is not fixed yet, or a plain number. A concatenation is a sum; heads of 64 channels each are a product.
Two axes that meet, in an addition for instance, are unified: atoms are bound to what they have to be. What is left
unbound and unpinned can be changed, and whatever is written in terms of it changes along.

What belongs here: axes without any tensor. What operations do to them stands in the tables of this package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

_LONGEST = 4096
"""Terms that an axis may have; what would need more of them is pinned."""


class Atom:
    """A number of channels that change together.

    Attributes:
        size: How many there are now.
        bound: What it turned out to be, None as long as it stands for itself.
        pin: Why it cannot change, the empty string if it can.
        stiff: Of the factors of a product, those that are least stiff change first.
    """

    __slots__ = ("bound", "pin", "size", "stiff")

    def __init__(self, size: int, *, pin: str = "", stiff: int = 0) -> None:
        self.size = size
        self.bound: Axis | None = None
        self.pin = pin
        self.stiff = stiff

    def __repr__(self) -> str:
        return f"<{self.size}{' pinned' if self.pin else ''} {id(self) & 0xFFFF:x}>"


Factor: TypeAlias = Atom | int
Term: TypeAlias = tuple[Factor, ...]
Axis: TypeAlias = tuple[Term, ...]

ONE: Axis = ((1,),)


def fresh(size: int, *, pin: str = "", stiff: int = 0) -> Axis:
    """Return an axis of one new atom; an axis of size 1 is no atom, since a single channel is broadcast."""
    return ((Atom(size, pin=pin, stiff=stiff),),) if size > 1 else number(size)


def number(size: int) -> Axis:
    """Return an axis that has a size and no channels that could change."""
    return ((size,),) if size else ()


def size_of(axis: Axis, sizes: Mapping[Atom, int] | None = None) -> int:
    """Return the number of channels, `sizes` in place of the present ones where an atom has a new one."""
    return sum(term_size(term, sizes) for term in axis)


def term_size(term: Term, sizes: Mapping[Atom, int] | None = None) -> int:
    """Return the size of a product; see `size_of`."""
    total = 1
    for factor in term:
        if isinstance(factor, int):
            total *= factor
        elif sizes is None:
            total *= factor.size
        elif factor.bound is not None:
            total *= size_of(factor.bound, sizes)
        else:
            total *= sizes.get(factor, factor.size)
    return total


def atoms(axis: Axis) -> tuple[Atom, ...]:
    """Return the atoms of a resolved axis, each once, in order."""
    return tuple(dict.fromkeys(factor for term in axis for factor in term if isinstance(factor, Atom)))


def reason(axis: Axis) -> str:
    """Return why an axis cannot change: the reason of the first atom that has one."""
    return next((atom.pin for atom in atoms(resolve(axis)) if atom.pin), "")


def is_fixed(axis: Axis) -> bool:
    """Tell whether nothing in an axis can change."""
    return all(atom.pin for atom in atoms(resolve(axis)))


def pin(axis: Axis, why: str) -> None:
    """Let nothing in an axis change from now on."""
    for atom in atoms(resolve(axis)):
        atom.pin = atom.pin or why


def stiffen(axis: Axis) -> None:
    """Let an axis change only where the other factors of its product cannot."""
    for atom in atoms(resolve(axis)):
        atom.stiff = max(atom.stiff, 1)


def resolve(axis: Axis) -> Axis:
    """Return an axis in terms of atoms that are not bound."""
    for term in axis:
        for factor in term:
            if not isinstance(factor, int) and factor.bound is not None:
                return _normal([found for item in axis for found in _expanded(item)])
    return axis


def _expanded(term: Term) -> list[Term]:
    found: list[Term] = [()]
    for factor in term:
        if isinstance(factor, int) or factor.bound is None:
            found = [(*item, factor) for item in found]
            continue
        factor.bound = inner = resolve(factor.bound)
        if len(inner) == 1:
            found = [(*item, *inner[0]) for item in found]
        elif found == [()]:
            found = list(inner)
        elif all(atom.pin for atom in atoms(inner)):
            whole = Atom(size_of(inner), pin=next((atom.pin for atom in atoms(inner)), "a number that stays"))
            factor.bound = ((whole,),)
            found = [(*item, whole) for item in found]
        else:
            found = [item for prefix in found for item in _repeated(prefix, inner)]
    return found


def _repeated(prefix: Term, inner: Axis) -> Sequence[Term]:
    """Return a sum inside a product: once for each channel outside, whose number must then stay."""
    outer: Axis = (prefix,)
    pin(outer, "each of them holds a list of several groups of channels")
    count = term_size(prefix)
    if count * len(inner) <= _LONGEST:
        return inner * count
    pin(inner, "there are too many groups of channels to follow them")
    return number(count * size_of(inner))


def _normal(terms: Sequence[Term]) -> Axis:
    """Merge numbers that stand next to each other, and equal terms; leave out factors of 1."""
    found: list[Term] = []
    for term in terms:
        factors: list[Factor] = []
        for factor in term:
            if factor == 1:
                continue
            if isinstance(factor, int) and factors and isinstance(factors[-1], int):
                factors[-1] *= factor
            else:
                factors.append(factor)
        count, rest = _counted(tuple(factors))
        before, last = _counted(found[-1]) if found else (0, ())
        if found and rest == last:
            found[-1] = (before + count, *rest)
        else:
            found.append(tuple(factors) or (1,))
    return tuple(found)


def _counted(term: Term) -> tuple[int, Term]:
    """Return how often a term stands in a row, and what it is."""
    return (term[0], term[1:]) if term and isinstance(term[0], int) else (1, term)


def joined(parts: Sequence[Axis]) -> Axis:
    """Return the sum of several axes: their channels one after the other."""
    return _normal([term for part in parts for term in part])


def product(parts: Sequence[Axis]) -> Axis:
    """Return the product of several axes, outermost first: what flattening them gives."""
    found: Axis = ONE
    for part in parts:
        found = _product(resolve(found), resolve(part))
    return found


def _product(outer: Axis, inner: Axis) -> Axis:
    if outer == ONE:
        return inner
    if len(inner) <= 1:
        return _normal([(*term, *item) for term in outer for item in inner])
    return _normal([item for term in outer for item in _repeated(term, inner)])


def without(axis: Axis, part: Axis) -> Axis | None:
    """Return what is left of a product without some of its factors, None if it has not all of them."""
    whole, gone = resolve(axis), resolve(part)
    if len(whole) != 1 or len(gone) != 1:
        return None
    rest = [*whole[0]]
    for item in gone[0]:
        if item not in rest:
            return None
        rest.remove(item)
    return _normal([tuple(rest)])


def same_size(left: Axis, right: Axis) -> bool:
    """Tell whether two axes have the same size whatever becomes of their atoms, in whichever order they stand."""
    return _polynomial(resolve(left)) == _polynomial(resolve(right))


def _polynomial(axis: Axis) -> dict[tuple[int, ...], int]:
    """Return the size of an axis as coefficients, by the identities of the atoms that are multiplied."""
    found: dict[tuple[int, ...], int] = {}
    for term in axis:
        free = [factor for factor in term if isinstance(factor, Atom) and not factor.pin]
        key = tuple(sorted(map(id, free)))
        count = term_size(term) // term_size(tuple(free))
        found[key] = found.get(key, 0) + count
    return found


# Cutting, factoring and unifying: what binds atoms.


def cut(axis: Axis, at: int, why: str) -> tuple[Axis, Axis]:
    """Return the first `at` channels of an axis, and the rest."""
    axis = resolve(axis)
    need = at
    for index, term in enumerate(axis):
        if need == 0:
            return axis[:index], axis[index:]
        count = term_size(term)
        if count > need:
            first, second = _cut_term(term, need, why)
            return joined([*map(resolve, (axis[:index], first))]), joined([*map(resolve, (second, axis[index + 1 :]))])
        need -= count
    return axis, ()


def _cut_term(term: Term, at: int, why: str) -> tuple[Axis, Axis]:
    outer, rest = term[0], term[1:]
    inner = term_size(rest)
    count, remainder = divmod(at, inner)
    whole = outer if isinstance(outer, int) else outer.size
    if remainder == 0:
        left, right = _copies(outer, (count, whole - count))
        if isinstance(outer, Atom):
            outer.bound = ((left,), (right,))
        return ((left, *rest),), ((right, *rest),)
    # The cut lies inside one of the outer ones, so that their number has to stay.
    pin(((outer,),), f"{why} cuts a group of {inner} channels")
    before, after = _copies(outer, (count, whole - count - 1))
    first, second = cut((rest,), remainder, why)
    every = resolve((rest,))
    return (
        joined([product([((before,),), every]) if count else (), first]),
        joined([second, product([((after,),), every]) if whole - count > 1 else ()]),
    )


def _copies(factor: Factor, sizes: Sequence[int]) -> list[Factor]:
    """Return factors of these sizes that can change if `factor` can."""
    if isinstance(factor, int):
        return [*sizes]
    return [Atom(size, pin=factor.pin, stiff=factor.stiff) if size > 1 else size for size in sizes]


def factor(axis: Axis, inner: int, why: str) -> tuple[Axis, Axis]:
    """Return an axis as a product: how many groups of `inner` channels it has, and one of these groups."""
    rest = resolve(axis)
    outers: list[Axis] = []
    inners: Axis | None = None
    while rest:
        if term_size(rest[0]) % inner == 0:
            outer, found = _factor_term(rest[0], inner, why)
            rest = rest[1:]
        else:
            found, rest = cut(rest, inner, why)
            outer = ONE
        outers.append(outer)
        if inners is not None:
            unify(inners, found, why)
        inners = resolve(found)
        rest = resolve(rest)
    return joined([resolve(outer) for outer in outers]), resolve(inners or ONE)


def _factor_term(term: Term, inner: int, why: str) -> tuple[Axis, Axis]:
    outside = [*term]
    inside: list[Factor] = []
    need = inner
    while need > 1:
        last = outside.pop()
        size = term_size((last,))
        if need % size == 0:
            inside.insert(0, last)
            need //= size
        elif size % need == 0:
            left, right = _halves(last, need)
            outside.append(left)
            inside.insert(0, right)
            need = 1
        else:
            text = f"{why} regroups channels that are {last if isinstance(last, int) else last.size} in a group"
            pin((term,), text)
            return fresh(term_size(term) // inner, pin=text), fresh(inner, pin=text)
    return (tuple(outside) or (1,),), (tuple(inside) or (1,),)


def _halves(factor: Factor, inner: int) -> tuple[Factor, Factor]:
    """Split a factor into two, of which the second one has the size `inner`."""
    size = term_size((factor,))
    left, right = _copies(factor, (size // inner, inner))
    if isinstance(factor, Atom):
        factor.bound = ((left, right),)
    return left, right


def unify(left: Axis, right: Axis, why: str) -> None:
    """Let two axes of the same size be the same channels.

    Args:
        left: One of them.
        right: The other.
        why: The edge at which they meet, for what is pinned by it.
    """
    left, right = resolve(left), resolve(right)
    while left and right and left != right:
        for one, other in ((left, right), (right, left)):
            atom = _only_atom(one)
            if atom is not None:
                _bind(atom, other, why)
                return
        if len(left) == len(right) == 1:
            _unify_terms(left[0], right[0], why)
            return
        size = min(term_size(left[0]), term_size(right[0]))
        first, left = cut(left, size, why)
        second, right = cut(right, size, why)
        unify(first, second, why)
        left, right = resolve(left), resolve(right)


def _only_atom(axis: Axis) -> Atom | None:
    atom = axis[0][0]
    return atom if len(axis) == len(axis[0]) == 1 and isinstance(atom, Atom) else None


def _bind(atom: Atom, axis: Axis, why: str) -> None:
    found = atoms(axis)
    if atom.pin:
        pin(axis, atom.pin)
    elif not found:
        atom.pin = why
    else:
        if len(found) == len(axis) == len(axis[0]) == 1:
            found[0].stiff = max(found[0].stiff, atom.stiff)
        atom.bound = axis


def _unify_terms(left: Term, right: Term, why: str) -> None:
    """Unify two products of the same size, from the innermost factor outwards."""
    while left != right:
        one, other = resolve((left,)), resolve((right,))
        if len(one) > 1 or len(other) > 1 or _only_atom(one) or _only_atom(other):
            unify(one, other, why)
            return
        left, right = one[0], other[0]
        small, large = sorted((term_size(left[-1:]), term_size(right[-1:])))
        if small == large:
            unify((left[-1:],), (right[-1:],), why)
            left, right = left[:-1] or (1,), right[:-1] or (1,)
        elif large % small == 0:
            (left, right) = (_with_halves(term, small) for term in (left, right))
        else:
            text = f"{why}, where groups of {small} channels meet groups of {large}"
            pin((left, right), text)
            return


def _with_halves(term: Term, inner: int) -> Term:
    return term if term_size(term[-1:]) == inner else (*term[:-1], *_halves(term[-1], inner))
