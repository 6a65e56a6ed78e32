"""From a template to a class: which parameters the constructor takes, and where they stand.

First the choices of a template become plain Python: an item that only some members have stands under an `if`, a value
that differs becomes `a if flag else b`, a child that some members lack is None for them. Then every place where members
differ is a hole with a column of values, and columns become parameters: one for those that agree, with a default where
one value dominates, and none for what follows from another parameter.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from graphnas.codegen import names, syntax
from graphnas.codegen.lowering import FALSE, FLAG, NONE, TRUE, ClassLowering
from graphnas.codegen.relations import Relation, relations
from graphnas.codegen.repeats import unfold
from graphnas.codegen.syntax import Function, Parameter, Tree
from graphnas.codegen.template import Column, Site, weight

_MODULE_ATTRIBUTES = frozenset(dir(nn.Module()))
_WIDTHS = ("in_channels", "out_channels", "num_features", "in_features", "out_features", "embed_dim", "dim", "groups")
"""Keywords that speak of the same thing, so that even small numbers in them are one parameter when they agree."""

_SMALL = 8
"""Whole numbers below mean too many things to be one parameter when they agree by chance."""


@dataclass(frozen=True)
class Settled:
    """A class: its methods, what its constructor takes, and what it is given for each member.

    Attributes:
        functions: The methods, the constructor first if there is one.
        parameters: What the constructor takes, those with a default last.
        values: By name of a parameter, its value for each member that needs it.
    """

    functions: tuple[Function, ...]
    parameters: tuple[Parameter, ...]
    values: Mapping[str, Mapping[int, Tree]]


def settle(
    functions: Sequence[Function],
    members: Sequence[int],
    weights: Sequence[int],
    taken: Iterable[str],
    attributes: Iterable[str],
    lacks: Callable[[int, str], bool],
) -> Settled:
    """Return the class of a template.

    Args:
        functions: The methods of the template, the constructor first.
        members: Who it stands for.
        weights: How often each member stands in the model, by its number.
        taken: Names that no parameter goes by, since the file uses them otherwise.
        attributes: Names that are not set on the module, since what it derives from does.
        lacks: Tells whether an attribute that a member inherits is None.
    """
    lowered = ClassLowering(functions, sum(1 << number for number in members), lacks).functions
    return _Settling(lowered, {number: weights[number] for number in members}, taken, attributes).run()


class _Settling:
    def __init__(
        self,
        functions: Sequence[Function],
        weights: Mapping[int, int],
        taken: Iterable[str],
        inherited: Iterable[str],
    ) -> None:
        self.functions = functions
        self.weights = weights
        self.uses: list[tuple[Column, bool]] = []
        attributes: dict[str, None] = dict.fromkeys(function.name for function in functions)
        variables: dict[str, None] = {}
        for function in functions:
            for statement in function.body:
                self._collect(statement, function.name != "__init__", attributes, variables)
        self.taken = frozenset([*taken, *variables])
        self.attributes = frozenset([*attributes, *inherited, *_MODULE_ATTRIBUTES])

    def run(self) -> Settled:
        groups = _grouped([column for column, _ in self.uses])
        used_in_forward = [any(self.uses[index][1] for index in group) for group in groups]
        columns = [_joined([self.uses[index][0] for index in group]) for group in groups]
        counts = [len(group) for group in groups]
        derived = relations(columns, counts, len(self.weights))
        for number, relation in derived.items():  # what follows from another parameter is used where it is
            for base in relation.bases:
                used_in_forward[base] = used_in_forward[base] or used_in_forward[number]
        chosen: dict[int, str] = {}
        for number, group in enumerate(groups):
            if number not in derived:
                sites = [self.uses[index][0].site for index in group]
                chosen[number] = self._name(sites, list(chosen.values()))
        attributes: dict[int, str] = {}
        for number, name in chosen.items():
            if used_in_forward[number]:
                attributes[number] = self._attribute(name, groups[number], [*chosen.values(), *attributes.values()])
        place = {_id(self.uses[index][0]): number for number, group in enumerate(groups) for index in group}
        parameters = [self._parameter(name, columns[number]) for number, name in chosen.items()]
        parameters.sort(key=lambda item: item.default is not None)
        return Settled(
            self._filled(place, chosen, derived, attributes, tuple(parameters)),
            tuple(parameters),
            {name: columns[number].values for number, name in chosen.items()},
        )

    def _collect(self, tree: Tree, in_forward: bool, attributes: dict[str, None], variables: dict[str, None]) -> None:
        if tree.kind == "hole":
            self.uses.append((tree.note, in_forward))
        elif tree.kind == "name" and not in_forward:
            variables[tree.text] = None
        elif tree.kind == "reference" and not in_forward:
            variables[tree.text.rpartition(":")[2].partition(".")[0]] = None
        elif tree.kind == "attribute" and tree.parts[0] == _SELF:
            attributes[tree.text] = None
        elif tree.kind == "call" and tree.parts[0].kind == "attribute" and tree.parts[0].text in _REGISTER:
            attributes[tree.parts[1].text.strip("'\"")] = None
        for part in tree.parts:
            self._collect(part, in_forward, attributes, variables)

    def _attribute(self, name: str, group: Sequence[int], used: Sequence[str]) -> str:
        """Return the attribute under which a parameter is kept for the forwards."""
        if name not in self.attributes:
            return name
        sites = [self.uses[index][0].site for index in group]
        longer = [f"{site.owner}_{site.name}".lstrip("_") for site in sites if site.owner]
        barred = {*self.attributes, *used}
        return next((item for item in longer if names.is_usable(item, barred)), "") or names.free_name(name, barred)

    def _name(self, sites: Sequence[Site], used: Sequence[str]) -> str:
        barred = {*self.taken, *used}
        ordered = sorted(sites, key=lambda site: site.rank)
        for site in ordered:
            if names.is_usable(site.name, barred):
                return site.name
        for site in ordered:
            longer = f"{site.owner}_{site.name}".lstrip("_")
            if site.owner and names.is_usable(longer, barred):
                return longer
        return names.free_name(ordered[0].name, barred)

    def _parameter(self, name: str, column: Column) -> Parameter:
        totals: dict[Tree, int] = {}
        for number, value in column.values.items():
            totals[value] = totals.get(value, 0) + self.weights[number]
        value, most = max(totals.items(), key=lambda item: item[1])
        is_flag = all(item in (TRUE, FALSE) for item in totals)
        needed = is_flag or len(column.values) < len(self.weights) or 2 * most > sum(totals.values())
        return Parameter(name, None, value if needed else None)

    def _filled(
        self,
        place: Mapping[int, int],
        chosen: Mapping[int, str],
        derived: Mapping[int, Relation],
        attributes: Mapping[int, str],
        parameters: tuple[Parameter, ...],
    ) -> tuple[Function, ...]:
        def write(number: int, own: bool) -> Tree:
            if number in chosen:
                return syntax.dotted(chosen[number] if own else f"self.{attributes[number]}")
            relation = derived[number]
            return relation.write([write(base, own) for base in relation.bases])

        def fill(tree: Tree, own: bool) -> Tree:
            if tree.kind == "hole":
                return write(place[_id(tree.note)], own)
            parts = tuple([fill(part, own) for part in tree.parts])
            # What holds no hole is shared; most does not.
            return tree if all(map(operator.is_, parts, tree.parts)) else tree._replace(parts=parts)

        found: list[Function] = []
        kept = [
            syntax.assign(syntax.dotted(f"self.{name}"), syntax.identifier(chosen[number]))
            for number, name in attributes.items()
        ]
        for function in self.functions:
            own = function.name == "__init__"
            body = [fill(item, own) for item in function.body]
            if own:
                body[1:1] = kept
            if own and not parameters and body == [_BARE]:
                continue  # the inherited one will do
            written = function._replace(body=tuple(map(unfold, body)))
            found.append(written._replace(parameters=parameters) if own else written)
        return tuple(found)


def _grouped(columns: Sequence[Column]) -> list[list[int]]:
    """Return which columns are one parameter: those that are equal, and those that agree where both have values."""
    exact: dict[tuple[object, ...], list[int]] = {}
    for index, column in enumerate(columns):
        family = "" if _is_telling(column) else _family(column)
        exact.setdefault((family, *sorted(column.values.items())), []).append(index)
    groups: list[list[int]] = []
    merged: list[dict[int, Tree]] = []
    for group in sorted(exact.values(), key=lambda group: -len(columns[group[0]].values)):
        column = columns[group[0]]
        for known, values in zip(groups, merged, strict=True):
            if any(values.get(number, value) != value for number, value in column.values.items()):
                continue
            same_family = _family(columns[known[0]]) == _family(column)
            if same_family or (_is_telling(column) and any(number in values for number in column.values)):
                known += group
                values.update(column.values)
                break
        else:
            groups.append(list(group))
            merged.append(dict(column.values))
    return sorted((sorted(group) for group in groups), key=lambda group: group[0])


def _family(column: Column) -> str:
    return "width" if column.site.name in _WIDTHS else column.site.name


def _is_telling(column: Column) -> bool:
    """Tell whether values are such that columns which agree mean the same."""
    values = list(dict.fromkeys(column.values.values()))
    if all(value in (TRUE, FALSE) for value in values):
        return column.site.owner == FLAG
    return len(values) > 1 and all(
        value.kind == "literal" and not (value.text.isdecimal() and int(value.text) < _SMALL) and value != NONE
        for value in values
    )


def _joined(columns: Sequence[Column]) -> Column:
    values: dict[int, Tree] = {}
    for column in columns:
        values |= column.values
    return Column(dict(sorted(values.items())), columns[0].site)


_SELF = syntax.identifier("self")
_BARE = syntax.expression_statement(syntax.call(syntax.attribute(syntax.call(syntax.identifier("super")), "__init__")))
_REGISTER = ("register_buffer", "register_parameter", "add_module")


def _id(column: Column) -> int:
    return id(column)


def size(settled: Settled) -> int:
    """Return how many syntax nodes a class and the calls of its constructor have."""
    own = sum(8 + sum(map(weight, function.body)) for function in settled.functions)
    defaults = [item.default for item in settled.parameters]
    own += sum(1 if item is None else 2 for item in defaults)
    calls = 0
    for parameter in settled.parameters:
        for value in settled.values[parameter.name].values():
            if parameter.default is None or value != parameter.default:
                calls += weight(value) + (parameter.default is not None)
    return own + calls
