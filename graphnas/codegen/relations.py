"""Columns that follow from another parameter: the inner width of a bottleneck, or whether there is a shortcut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphnas.codegen import syntax
from graphnas.codegen.lowering import FALSE, TRUE
from graphnas.codegen.syntax import Tree
from graphnas.codegen.template import Column

_TELLING = (syntax.literal("1"), syntax.literal("0"), syntax.literal("None"))
"""Values of a parameter that decide whether something is there, as in `if stride != 1`."""


@dataclass(frozen=True)
class Relation:
    """A column as an expression of others: `factor * base`, `base != value`, `base != base`, `not base`."""

    bases: tuple[int, ...]
    operator: str
    constant: Tree | None = None

    def write(self, bases: Sequence[Tree]) -> Tree:
        """Return the expression, the bases written as given."""
        if self.operator == "not":
            return syntax.unary("not", bases[0])
        if self.operator == "*" and self.constant is not None:
            return syntax.binary("*", self.constant, bases[0])
        return syntax.comparison(self.operator, bases[0], bases[1] if self.constant is None else self.constant)


def relations(columns: Sequence[Column], counts: Sequence[int], members: int) -> dict[int, Relation]:
    """Return the columns that need no parameter of their own, where that makes the source shorter.

    Args:
        columns: The candidates for parameters.
        counts: How often each is used.
        members: How many members the class has.
    """
    found = _multiples(columns)
    for number, column in enumerate(columns):
        if all(value in (TRUE, FALSE) for value in column.values.values()) and counts[number] <= members:
            relation = _condition(number, columns, found)
            if relation is not None:
                found[number] = relation
    return found


def _multiples(columns: Sequence[Column]) -> dict[int, Relation]:
    """Find columns that are a whole multiple of another."""
    found: dict[int, Relation] = {}
    numbers = {n: _numbers(column) for n, column in enumerate(columns)}
    whole = {n: values for n, values in numbers.items() if values is not None and min(values.values()) >= 4}
    for number in sorted(whole, key=lambda n: list(whole[n].items())):
        first = next(iter(whole[number]))
        for base, values in whole.items():
            if base in found or base == number or list(values) != list(whole[number]):
                continue
            factor, rest = divmod(whole[number][first], values[first])
            if rest or not 2 <= factor <= 8:
                continue
            if all(whole[number][m] == factor * value for m, value in values.items()):
                found[number] = Relation((base,), "*", syntax.integer(factor))
                break
    return found


def _condition(number: int, columns: Sequence[Column], derived: Mapping[int, Relation]) -> Relation | None:
    flags = columns[number].values
    for base, column in enumerate(columns):
        if base == number or base in derived or any(member not in column.values for member in flags):
            continue
        yes = [column.values[member] for member, flag in flags.items() if flag == TRUE]
        no = [column.values[member] for member, flag in flags.items() if flag == FALSE]
        if not yes or not no:
            return None
        if base < number and all(value == FALSE for value in yes) and all(value == TRUE for value in no):
            return Relation((base,), "not")
        for value in _TELLING:
            is_none = value.text == "None"
            if all(item == value for item in no) and value not in yes:
                return Relation((base,), "is not" if is_none else "!=", value)
            if all(item == value for item in yes) and value not in no:
                return Relation((base,), "is" if is_none else "==", value)
    return _comparison(number, columns, derived)


def _comparison(number: int, columns: Sequence[Column], derived: Mapping[int, Relation]) -> Relation | None:
    flags = columns[number].values
    sizes = [
        n
        for n, column in enumerate(columns)
        if n not in derived and n != number and _numbers(column) and all(member in column.values for member in flags)
    ]
    for position, left in enumerate(sizes):
        for right in sizes[position + 1 :]:
            differs = {m: columns[left].values[m] != columns[right].values[m] for m in flags}
            if all(differs[m] == (flag == TRUE) for m, flag in flags.items()):
                return Relation((left, right), "!=")
            if all(differs[m] == (flag == FALSE) for m, flag in flags.items()):
                return Relation((left, right), "==")
    return None


def _numbers(column: Column) -> dict[int, int] | None:
    if not all(value.kind == "literal" and value.text.isdecimal() for value in column.values.values()):
        return None
    return {member: int(value.text) for member, value in column.values.items()}
