"""From a template to a class: which parameters the constructor takes, and where they stand.

First the choices of a template become plain Python: an item that only some members have stands under an `if`, a value
that differs becomes `a if flag else b`, a child that some members lack is None for them. Then every place where members
differ is a hole with a column of values, and columns become parameters: one for those that agree, with a default where
one value dominates, and none for what follows from another parameter. A column that has the values of something which
the user has a name for, a setting, goes by that name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from graphnas.codegen import names, syntax
from graphnas.codegen.known import known
from graphnas.codegen.lowering import FALSE, FLAG, NONE, TRUE, ClassLowering
from graphnas.codegen.relations import WIDTHS, Candidate, Relation, relations
from graphnas.codegen.repeats import unfold
from graphnas.codegen.settings import Setting, settings_of_class
from graphnas.codegen.syntax import Function, Parameter, Tree
from graphnas.codegen.template import Column, Site, mask_of, weight
from graphnas.ir.module import Definition

_MODULE_ATTRIBUTES = frozenset(dir(nn.Module()))
_ROUNDS = 8
"""Most times that a class is settled, each time with the names that its last form has for what members differ in."""

_SMALL = 8
"""Whole numbers below mean too many things to be one parameter when they agree by chance."""


class _Use(NamedTuple):
    """A place where members differ.

    Attributes:
        column: The values.
        in_forward: Whether it stands in a forward.
        setting: What the user calls it, if that is known.
    """

    column: Column
    in_forward: bool
    setting: str


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
    taken: Container[str],
    attributes: Container[str],
    lacks: Callable[[int, str], bool],
    settings: Sequence[Setting] = (),
    definitions: Sequence[Definition] = (),
) -> Settled:
    """Return the class of a template.

    Args:
        functions: The methods of the template, the constructor first.
        members: Who it stands for.
        weights: How often each member stands in the model, by its number.
        taken: Names that no parameter goes by, since the file uses them otherwise.
        attributes: Names that are not set on the module, since what it derives from does.
        lacks: Tells whether an attribute that a member inherits is None.
        settings: What the user calls what members differ in.
        definitions: The members among others, each under its number. Given them, the class is one that comes out the
            same when it is traced again: it is settled until it does, or until what comes out repeats itself.
    """
    lowered = ClassLowering(functions, mask_of(members), lacks).functions
    own = {number: weights[number] for number in members}
    found = [_Settling(lowered, own, taken, attributes, settings).run()]
    if not definitions or not found[0].parameters:
        return found[0]
    known_to = {number: definitions[number] for number in members}
    while len(found) < _ROUNDS:
        told = settings_of_class(found[-1].parameters, found[-1].values, known_to)
        again = _Settling(lowered, own, taken, attributes, told).run()
        if again == found[-1]:
            return again
        if again in found:
            # Whichever of these is traced, all are met again.
            return min(found[found.index(again) :], key=lambda item: (size(item), repr(item.functions)))
        found.append(again)
    return found[-1]


class _Settling:
    def __init__(
        self,
        functions: Sequence[Function],
        weights: Mapping[int, int],
        taken: Container[str],
        inherited: Container[str],
        settings: Sequence[Setting],
    ) -> None:
        self.functions = functions
        self.weights = weights
        here = [Setting(item.name, {number: item.values[number] for number in weights}) for item in settings]
        self.settings = [item for item in here if item.is_telling]
        self.uses: list[_Use] = []
        attributes = {function.name for function in functions}
        variables: set[str] = set()
        for function in functions:
            in_forward = function.name != "__init__"
            for item in map(known, function.body):
                attributes.update(item.attributes)
                variables.update(() if in_forward else item.variables)
                self.uses += [_Use(column, in_forward, self._setting_of(column)) for column in item.columns]
        self.taken = (taken, variables)
        self.attributes = (attributes, inherited, _MODULE_ATTRIBUTES)

    def run(self) -> Settled:
        groups = _grouped(self.uses)
        candidates = [self._candidate([self.uses[index] for index in group]) for group in groups]
        used = [item.setting for item in candidates]
        candidates += [
            Candidate(item.values, (), item.name)
            for item in self.settings
            if item.name not in used and all(value.kind == "literal" for value in item.values.values())
        ]
        derived = relations(candidates, len(self.weights))
        bases = [base for relation in derived.values() for base in relation.bases]
        place = {id(self.uses[index].column): number for number, group in enumerate(groups) for index in group}
        in_forward = self._used_in_forward(place, derived)
        wanted = [number for number in dict.fromkeys([*range(len(groups)), *bases]) if number not in derived]
        found: dict[int, str] = {}
        for number in sorted(wanted, key=lambda number: not candidates[number].setting):  # nothing takes these names
            barred = (found.values(), *(self.attributes if number in in_forward else ()))
            found[number] = self._name(candidates[number], barred)
        chosen = {number: found[number] for number in wanted}
        attributes = {number: name for number, name in chosen.items() if number in in_forward}
        needed = self._needed(groups, derived)
        values = {
            number: {member: value for member, value in candidates[number].values.items() if member in needed[number]}
            for number in chosen
        }
        absent = {relation.bases[0]: relation.absent for relation in derived.values() if relation.absent is not None}
        for number, value in absent.items():
            values[number] = {member: values[number].get(member, value) for member in self.weights}
        parameters = [self._parameter(name, values[number], absent.get(number)) for number, name in chosen.items()]
        parameters.sort(key=lambda item: item.default is not None)
        return Settled(
            self._filled(place, chosen, derived, attributes, tuple(parameters)),
            tuple(parameters),
            {name: values[number] for number, name in chosen.items()},
        )

    def _candidate(self, uses: Sequence[_Use]) -> Candidate:
        """Return what may become one parameter; what the user has a name for has a value for every member."""
        values: dict[int, Tree] = {}
        for use in uses:
            values |= use.column.values
        name = uses[0].setting
        setting = next((item for item in self.settings if item.name == name and item.fits(values)), None)
        every = dict(sorted(values.items())) if setting is None else dict(setting.values)
        return Candidate(every, tuple(use.column.site for use in uses), name, frozenset(every).difference(values))

    def _needed(self, groups: Sequence[Sequence[int]], derived: Mapping[int, Relation]) -> Mapping[int, set[int]]:
        """Return which members need a value of each candidate: those that differ in it, or in what follows from it."""
        found: dict[int, set[int]] = defaultdict(set)

        def add(number: int, members: Iterable[int]) -> None:
            found[number].update(members)
            for base in derived[number].bases if number in derived else ():
                add(base, members)

        for number, group in enumerate(groups):
            add(number, [member for index in group for member in self.uses[index].column.values])
        return found

    def _used_in_forward(self, place: Mapping[int, int], derived: Mapping[int, Relation]) -> set[int]:
        """Return what forwards read; where something follows from others, they read the others."""
        found: set[int] = set()

        def add(number: int) -> None:
            found.add(number)
            for base in derived[number].bases if number in derived else ():
                add(base)

        for use in self.uses:
            if use.in_forward:
                add(place[id(use.column)])
        return found

    def _setting_of(self, column: Column) -> str:
        """Return what the user calls what has the values of a column, the empty string if nothing has.

        Where several have, what goes by the name that the column has anyway comes first. Small numbers agree by chance.
        """
        fitting = [item.name for item in self.settings if item.fits(column.values)]
        own = next((name for name in _names_of(column.site) if name in fitting), "")
        is_chance = column.site.rank == 0 and not _is_distinctive(column.values)
        if own or is_chance or len(dict.fromkeys(column.values.values())) < 2:
            return own
        return fitting[0] if fitting else ""

    def _name(self, candidate: Candidate, used: Iterable[Container[str]]) -> str:
        """Return a free name: the user's, or that of a keyword; of an attribute as well where a forward reads it."""
        barred = (*self.taken, *used)
        ordered = sorted(candidate.sites, key=lambda site: site.rank)
        wanted = [candidate.setting, *(site.name for site in ordered)]
        wanted = [name for name in (*wanted, *(_names_of(site)[0] for site in ordered)) if name]
        free = (name for name in wanted if names.is_usable(name, *barred))
        return next(free, "") or names.free_name(wanted[0], *barred)

    def _parameter(self, name: str, values: Mapping[int, Tree], absent: Tree | None) -> Parameter:
        if absent is not None:
            return Parameter(name, None, absent)
        totals: dict[Tree, int] = {}
        for number, value in values.items():
            totals[value] = totals.get(value, 0) + self.weights[number]
        value, most = max(totals.items(), key=lambda item: item[1])
        is_flag = all(item in (TRUE, FALSE) for item in totals)
        needed = is_flag or len(values) < len(self.weights) or 2 * most > sum(totals.values())
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
            return derived[number].write({base: write(base, own) for base in derived[number].bases})

        def fill(tree: Tree, own: bool) -> Tree:
            if tree.kind == "hole":
                return write(place[id(tree.note)], own)
            return tree.with_parts([fill(part, own) for part in tree.parts]) if tree.parts else tree

        def written(tree: Tree, own: bool) -> Tree:
            found = known(tree)
            if found.unfolded is not None:
                return found.unfolded
            filled = fill(tree, own)
            return unfold(filled) if found.may_unfold else filled

        functions: list[Function] = []
        kept = [
            syntax.assign(syntax.dotted(f"self.{name}"), syntax.identifier(chosen[number]))
            for number, name in attributes.items()
        ]
        for function in self.functions:
            own = function.name == "__init__"
            body = [written(item, own) for item in function.body]
            if own:
                body[1:1] = kept
            if own and not parameters and body == [_BARE]:
                continue  # the inherited one will do
            given = tuple(item if item.default is None else item._replace(default=NONE) for item in function.parameters)
            method = function._replace(body=tuple(body), parameters=parameters if own else given)
            functions.append(method)
        return tuple(functions)


def _grouped(uses: Sequence[_Use]) -> list[list[int]]:
    """Return which uses are of one parameter: those that are equal, and those that agree where both have values."""
    exact: dict[tuple[object, ...], list[int]] = {}
    for index, use in enumerate(uses):
        family = "" if _is_telling(use.column) else _family(use)
        exact.setdefault((family, *sorted(use.column.values.items())), []).append(index)
    groups: list[list[int]] = []
    merged: list[dict[int, Tree]] = []
    for group in sorted(exact.values(), key=lambda group: -len(uses[group[0]].column.values)):
        first = uses[group[0]]
        column = first.column
        for group_so_far, values in zip(groups, merged, strict=True):
            if any(values.get(number, value) != value for number, value in column.values.items()):
                continue
            same_family = _family(uses[group_so_far[0]]) == _family(first)
            if same_family or (_is_telling(column) and any(number in values for number in column.values)):
                group_so_far += group
                values.update(column.values)
                break
        else:
            groups.append(list(group))
            merged.append(dict(column.values))
    return sorted((sorted(group) for group in groups), key=lambda group: group[0])


def _family(use: _Use) -> str:
    """Return what a use has in common with those that are one parameter where they agree.

    What a use is called anyway counts for more than which of several settings has its values: generated classes take
    `conv2d_stride` beside the `stride` that they inherit.
    """
    site = use.column.site
    if use.setting and use.setting not in (*_names_of(site), *WIDTHS):
        return use.setting
    return "width" if site.name in WIDTHS else site.name


def _is_telling(column: Column) -> bool:
    """Tell whether values are such that columns which agree mean the same."""
    values = list(dict.fromkeys(column.values.values()))
    if all(value in (TRUE, FALSE) for value in values):
        return column.site.owner == FLAG
    return len(values) > 1 and all(
        value.kind == "literal" and not (value.text.isdecimal() and int(value.text) < _SMALL) and value != NONE
        for value in values
    )


def _is_distinctive(values: Mapping[int, Tree]) -> bool:
    """Tell whether something else has such values for the same reason, and not by chance."""
    found = list(dict.fromkeys(values.values()))
    if all(value.text.isdecimal() for value in found):
        return len(found) > 2 or any(int(value.text) >= _SMALL for value in found)
    return not all(value in (TRUE, FALSE, NONE) for value in found)


def _names_of(site: Site) -> list[str]:
    """Return names for a parameter, the one that says most first."""
    return [f"{site.owner}_{site.name}".lstrip("_"), site.name] if site.owner else [site.name]


_SELF = syntax.identifier("self")
_BARE = syntax.expression_statement(syntax.call(syntax.attribute(syntax.call(syntax.identifier("super")), "__init__")))


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
