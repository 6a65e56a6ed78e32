"""Columns that follow from another parameter: the inner width of a bottleneck, or whether there is a shortcut."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from graphnas.codegen import syntax
from graphnas.codegen.lowering import FALSE, NONE, TRUE
from graphnas.codegen.syntax import Tree
from graphnas.codegen.template import Site

WIDTHS = ("in_channels", "out_channels", "num_features", "in_features", "out_features", "embed_dim", "dim", "groups")
"""Keywords that speak of the same thing: how wide a value is."""

_ABSENT = ("1", "0", "0.0", "None")
"""Values of a parameter that say that something is not there, as in `if stride != 1`."""

_FEW = 4
"""Members from which on a condition on two widths that holds for each of them is no coincidence, if there are more."""

_LEAST = 16
"""What the distinct values of a column must come to, multiplied, for an expression that fits to be no coincidence."""


@dataclass(frozen=True)
class Candidate:
    """What may become a parameter, or follow from one.

    Attributes:
        values: Its value for each member that needs it.
        sites: Where it stands; none for a setting of the user's that stands nowhere.
        setting: What the user calls it, if that is known.
        spare: The members that need no value and have one all the same, since the user has.
    """

    values: Mapping[int, Tree]
    sites: tuple[Site, ...] = ()
    setting: str = ""
    spare: frozenset[int] = frozenset()

    @property
    def is_argument(self) -> bool:
        """Whether it has a meaning of its own: it is known to the user, the argument of a child, or its class."""
        is_class = all(value.kind == "reference" for value in self.values.values())
        return bool(self.setting) or is_class or any(site.rank == 0 for site in self.sites)

    @property
    def is_width(self) -> bool:
        """Whether it is the width of a child."""
        return any(site.rank == 0 and site.name in WIDTHS for site in self.sites)

    def is_called(self, name: str) -> bool:
        """Tell whether it goes by a name wherever it stands."""
        return self.setting == name or (bool(self.sites) and all(site.name == name for site in self.sites))


@dataclass(frozen=True)
class Relation:
    """A candidate as an expression of others.

    Attributes:
        bases: The others.
        expression: What it is; `base` trees in it say which of the others stands there.
        absent: The value of the base that says that something is not there. Members that need none are given it.
    """

    bases: tuple[int, ...]
    expression: Tree
    absent: Tree | None = None

    def write(self, bases: Mapping[int, Tree]) -> Tree:
        """Return the expression with the bases written as given."""

        def filled(tree: Tree) -> Tree:
            if tree.kind == "base":
                return bases[int(tree.text)]
            return tree._replace(parts=tuple(map(filled, tree.parts))) if tree.parts else tree

        return filled(self.expression)


def relations(candidates: Sequence[Candidate], members: int) -> dict[int, Relation]:
    """Return the candidates that need no parameter of their own.

    Args:
        candidates: What may become parameters; those without sites can only be what others follow from.
        members: How many members the class has.
    """
    return _Search(candidates, members).run()


class _Search:
    def __init__(self, candidates: Sequence[Candidate], members: int) -> None:
        self.candidates = candidates
        self.members = members
        self.found: dict[int, Relation] = {}
        self.numbers = [_integers(item.values) for item in candidates]

    def run(self) -> dict[int, Relation]:
        self._find_multiples()
        for number, item in enumerate(self.candidates):
            if item.sites and number not in self.found and not item.setting:
                relation = next(self._arithmetic(number), None)
                if relation is not None:
                    self.found[number] = relation
        for number, item in enumerate(self.candidates):
            is_flag = item.sites and all(value in (TRUE, FALSE) for value in item.values.values())
            if is_flag and len(item.sites) <= self.members:
                relation = next(filter(self._agrees, self._conditions(number)), None)
                if relation is not None:
                    self.found[number] = relation
        return self.found

    def _agrees(self, relation: Relation) -> bool:
        """Tell whether it gives members that need no value the one that they have from other relations, if they do."""
        given = (item.absent for item in self.found.values() if item.bases == relation.bases)
        return relation.absent is None or all(value in (None, relation.absent) for value in given)

    def _bases(self, number: int, *, settings: bool = False) -> Iterator[tuple[int, Candidate]]:
        """Yield the candidates that have a value wherever `number` has one; settings that stand nowhere if asked."""
        wanted = self.candidates[number].values
        for base, item in enumerate(self.candidates):
            is_other = base != number and base not in self.found and bool(item.sites) is not settings
            if is_other and all(member in item.values for member in wanted):
                yield base, item

    # Numbers

    def _find_multiples(self) -> None:
        """Find whole multiples of another number, the smallest first."""
        whole = {n: values for n, values in enumerate(self.numbers) if values and min(values.values()) >= 4}
        needed = {n: self._needed(n, values) for n, values in whole.items() if self.candidates[n].sites}
        for number in sorted(needed, key=lambda n: list(needed[n].items())):
            wanted = needed[number]
            for base in needed:
                if base in self.found or base == number or not self._may_tell(base, number, wanted):
                    continue
                factors = {divmod(value, whole[base][member]) for member, value in wanted.items()}
                factor, rest = next(iter(factors))
                if len(factors) == 1 and not rest and 2 <= factor <= 8:
                    self.found[number] = Relation((base,), syntax.binary("*", syntax.integer(factor), _base(base)))
                    break

    def _may_tell(self, base: int, number: int, wanted: Mapping[int, int]) -> bool:
        """Tell whether one is likely to follow from another that agrees.

        What only some members need follows from what all have, and from what comes before it.
        """
        needed = self.candidates[base].values.keys() - self.candidates[base].spare
        if wanted.keys() == needed:
            return len(needed) == self.members or not self.candidates[number].setting
        return len(needed) == self.members and len(set(wanted.values())) > 1 and base < number

    def _needed(self, number: int, values: Mapping[int, int]) -> dict[int, int]:
        """Return the values of the members that need one."""
        return {member: value for member, value in values.items() if member not in self.candidates[number].spare}

    def _arithmetic(self, number: int) -> Iterator[Relation]:
        item, numbers = self.candidates[number], self.numbers[number]
        if numbers is None:
            yield from self._complements(number)
            return
        distinct = dict.fromkeys(numbers.values())
        if len(distinct) < 2:
            return
        if item.is_called("padding"):
            for base, other in self._bases(number):
                kernel = self.numbers[base]
                if other.is_called("kernel_size") and kernel and all(kernel[m] // 2 == n for m, n in numbers.items()):
                    yield Relation((base,), syntax.binary("//", _base(base), syntax.integer(2)))
        if any(site.rank == 0 for site in item.sites) or (len(distinct) < 3 and math.prod(distinct) < _LEAST):
            return
        known = [*self._bases(number), *self._bases(number, settings=True)]
        named = {base: values for base, other in known if other.setting and (values := self.numbers[base]) is not None}
        for bases, expression, value in _formulas(list(named)):
            if all(value(*(named[base][member] for base in bases)) == n for member, n in numbers.items()):
                yield Relation(bases, expression)

    def _complements(self, number: int) -> Iterator[Relation]:
        """Find `1 - drop_prob`, to the last digit."""
        values = _floats(self.candidates[number].values)
        if values is None:
            return
        for base, _ in (*self._bases(number), *self._bases(number, settings=True)):
            others = _floats(self.candidates[base].values)
            if others is not None and all(1 - others[member] == value for member, value in values.items()):
                yield Relation((base,), syntax.binary("-", syntax.integer(1), _base(base)))

    # Conditions

    def _conditions(self, number: int) -> Iterator[Relation]:
        """Yield relations for a condition, those first that need no further parameter."""
        yield from self._presences(number)
        yield from (relation for base, _ in self._bases(number) for relation in self._tellings(number, base))
        yield from (relation for base, _ in self._bases(number) for relation in self._negations(number, base))
        yield from self._comparisons(number)
        if not self.candidates[number].setting:
            extra = [base for base, _ in self._bases(number, settings=True)]
            yield from (relation for base in extra for relation in self._negations(number, base))
            yield from (relation for base in extra for relation in self._tellings(number, base))
            yield from (relation for base in extra for relation in self._equalities(number, base))

    def _split(self, number: int, base: int) -> tuple[list[Tree], list[Tree]]:
        """Return the values of another candidate where the condition holds, and where it does not."""
        flags, values = self.candidates[number].values, self.candidates[base].values
        yes = [values[member] for member, flag in flags.items() if flag == TRUE]
        return yes, [values[member] for member, flag in flags.items() if flag == FALSE]

    def _presences(self, number: int) -> Iterator[Relation]:
        flags = self.candidates[number].values
        for base, item in enumerate(self.candidates):
            if base == number or base in self.found or not item.is_argument:
                continue
            needed = {member: value for member, value in item.values.items() if member not in item.spare}
            if any(item.values[member] != NONE for member in item.spare):
                continue  # what is None here is something else to the user
            if any(value in (NONE, TRUE, FALSE) for value in needed.values()):
                continue  # None would have two meanings; a flag may follow from something else in turn
            has = {member: member in needed for member in flags}
            for outcome, operator in ((TRUE, "is not"), (FALSE, "is")):
                if len(set(has.values())) == 2 and all(has[m] == (flag == outcome) for m, flag in flags.items()):
                    yield Relation((base,), syntax.comparison(operator, _base(base), NONE), NONE)

    def _tellings(self, number: int, base: int) -> Iterator[Relation]:
        yes, no = self._split(number, base)
        if not yes or not no:
            return
        for text in _ABSENT:
            value = syntax.literal(text)
            operators = ("is not", "is") if text == "None" else ("!=", "==")
            if all(item == value for item in no) and value not in yes:
                positive = text.startswith("0") and all(_is_number(item) for item in yes)
                yield Relation((base,), syntax.comparison(">" if positive else operators[0], _base(base), value), value)
            if all(item == value for item in yes) and value not in no:
                yield Relation((base,), syntax.comparison(operators[1], _base(base), value), value)

    def _negations(self, number: int, base: int) -> Iterator[Relation]:
        yes, no = self._split(number, base)
        is_earlier = base < number or (bool(self.candidates[base].setting) and not self.candidates[number].setting)
        if is_earlier and yes and no and all(item == FALSE for item in yes) and all(item == TRUE for item in no):
            yield Relation((base,), syntax.unary("not", _base(base)))

    def _equalities(self, number: int, base: int) -> Iterator[Relation]:
        """Find `data_format == "channels_first"`, for a setting that has one value where the condition holds."""
        yes, no = self._split(number, base)
        is_plain = all(item.kind == "literal" and item not in (TRUE, FALSE) for item in (*yes, *no))
        if yes and no and is_plain and yes.count(yes[0]) == len(yes) and yes[0] not in no:
            yield Relation((base,), syntax.comparison("==", _base(base), yes[0]))

    def _comparisons(self, number: int) -> Iterator[Relation]:
        flags = self.candidates[number].values
        if len(flags.keys() - self.candidates[number].spare) < min(self.members, _FEW):
            return  # two widths agree or differ by chance
        sizes = [base for base, item in self._bases(number) if self.numbers[base] and item.is_width]
        for position, left in enumerate(sizes):
            for right in sizes[position + 1 :]:
                differs = {m: self.candidates[left].values[m] != self.candidates[right].values[m] for m in flags}
                for outcome, operator in ((TRUE, "!="), (FALSE, "==")):
                    if all(differs[m] == (flag == outcome) for m, flag in flags.items()):
                        yield Relation((left, right), syntax.comparison(operator, _base(left), _base(right)))


def _formulas(named: Sequence[int]) -> Iterator[tuple[tuple[int, ...], Tree, Callable[..., int]]]:
    """Yield expressions of sizes as people write them: the bases, the expression, and what computes it."""
    for a in named:
        yield (a,), syntax.binary("**", _base(a), syntax.integer(2)), lambda x: x * x
        twice = syntax.binary("*", syntax.integer(2), _base(a))
        yield (a,), syntax.binary("-", twice, syntax.integer(1)), lambda x: 2 * x - 1
        whole = syntax.binary("-", twice, syntax.integer(1))
        yield (a,), syntax.binary("**", whole, syntax.integer(2)), lambda x: (2 * x - 1) ** 2
        product = syntax.binary("*", twice, syntax.binary("-", _base(a), syntax.integer(1)))
        yield (a,), product, lambda x: 2 * x * (x - 1)  # the middle of a table of relative positions
        for b in named:
            if a != b:
                # A quotient that leaves a rest is none that anybody meant.
                quotient = syntax.binary("//", _base(a), _base(b))
                yield (a, b), quotient, lambda x, y: x // y if y and x % y == 0 else -1
                yield (
                    (a, b),
                    syntax.binary("**", quotient, syntax.integer(2)),
                    lambda x, y: (x // y) ** 2 if y and x % y == 0 else -1,
                )
                if a < b:
                    yield (a, b), syntax.binary("*", _base(a), _base(b)), lambda x, y: x * y


def _base(number: int) -> Tree:
    return Tree("base", str(number))


def _integers(values: Mapping[int, Tree]) -> dict[int, int] | None:
    """Return whole numbers from 0 on, by member; None if some are something else."""
    if not all(value.kind == "literal" and value.text.isdecimal() for value in values.values()):
        return None
    return {member: int(value.text) for member, value in values.items()}


def _floats(values: Mapping[int, Tree]) -> dict[int, float] | None:
    """Return floats from 0 on, by member; None if some are something else."""
    if not all(value.kind == "literal" and _FLOAT.fullmatch(value.text) for value in values.values()):
        return None
    return {member: float(value.text) for member, value in values.items()}


def _is_number(value: Tree) -> bool:
    return value.kind == "literal" and (value.text.isdecimal() or bool(_FLOAT.fullmatch(value.text)))


_FLOAT = re.compile(r"\d+(\.\d+(e[+-]?\d+)?|e[+-]?\d+)")
"""A float from 0 on as Python writes it."""
