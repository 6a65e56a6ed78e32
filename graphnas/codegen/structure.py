"""Which definitions share a class, and what the constructor of that class takes.

Definitions are lowered from the leaves up: each one that needs a class becomes a `ModuleSpec` of that class, whose
target is `:` and the number of the class. Definitions that are equal but for constants share one; the columns of
constants in which they differ become parameters of the constructor, columns that always agree become one parameter, and
a value that most places have becomes its default.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from torch import nn

from graphnas.codegen import names
from graphnas.codegen.constants import Site, map_constants, skeleton
from graphnas.codegen.literals import Hole
from graphnas.errors import CodegenError, GraphNASError
from graphnas.ir.literal import FrozenDict, Literal
from graphnas.ir.module import Child, Definition, Forward, ModuleSpec
from graphnas.ir.resolve import resolve

_MODULE_ATTRIBUTES = frozenset(dir(nn.Module))
_POSITIONAL = 3


@dataclass(frozen=True)
class Parameter:
    """A parameter of a generated constructor; `default` counts if `has_default`."""

    name: str
    default: Literal = None
    has_default: bool = False


@dataclass
class ClassPlan:
    """One class to be written.

    Attributes:
        name: Its name in the file.
        definition: What it holds, children lowered, constants that differ replaced by `Hole`s.
        original: The first definition that it stands for, children as they were: paths are followed in it.
        parameters: What the constructor takes, those with a default last.
        stored: Parameters that forwards use, kept as attributes.
    """

    name: str
    definition: Definition
    original: Definition
    parameters: tuple[Parameter, ...] = ()
    stored: tuple[str, ...] = ()


@dataclass
class Structure:
    """The classes of a model in the order in which they are defined; the last one is the root's."""

    classes: list[ClassPlan] = field(default_factory=list)


def plan_classes(root: Definition) -> Structure:
    """Return the classes of a model.

    Raises:
        CodegenError: A decision is still open.
    """
    return _Planner(root).run()


def is_container(definition: Definition) -> bool:
    """Tell whether a definition is written as a container of torch.nn where it stands, without a class."""
    if definition.kind == "module" or definition.parameters or definition.buffers or definition.init.nodes:
        return False
    return definition.kind != "sequential" or not definition.forwards or is_plain_chain(definition)


def is_plain_chain(definition: Definition) -> bool:
    """Tell whether the forward of `nn.Sequential` will do."""
    forwards = tuple(Forward(replace(item.eval, guards=()), item.train) for item in definition.forwards)
    return replace(definition, forwards=forwards).is_chain


@cache
def parameter_names(target: str) -> tuple[str, ...]:
    """Return the names of a constructor's positional parameters, none where they cannot be known."""
    try:
        signature = inspect.signature(resolve(target))
    except (GraphNASError, TypeError, ValueError):
        return ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(item.name for item in signature.parameters.values() if item.kind in kinds)


class _Planner:
    def __init__(self, root: Definition) -> None:
        self.root = root
        self.structure = Structure()
        self.lowered: dict[str, ModuleSpec] = {}
        self.counts = _count_instances(root)
        self.named = Counter[str]()

    def run(self) -> Structure:
        heights: dict[str, int] = {}
        unique: dict[str, Definition] = {}
        self._measure(self.root, heights, unique)
        by_height: dict[int, list[Definition]] = {}
        for key, definition in unique.items():
            if key == self.root.key or self._needs_class(definition):
                by_height.setdefault(heights[key], []).append(definition)
        for height in sorted(by_height):
            groups: dict[str, list[tuple[Definition, Definition]]] = {}
            for definition in by_height[height]:
                children = self._lower_children(definition)
                groups.setdefault(skeleton(children, self.names_of), []).append((definition, children))
            for members in groups.values():
                self._add_class(members)
        self._name_classes()
        return self.structure

    def names_of(self, spec: ModuleSpec) -> tuple[str, ...]:
        if spec.target.startswith(":"):
            return tuple(item.name for item in self.structure.classes[int(spec.target[1:])].parameters)
        return parameter_names(spec.target)

    def _needs_class(self, definition: Definition) -> bool:
        if not is_container(definition):
            return True
        own_name = definition.kind == "sequential" and definition.class_name != "Sequential"
        return own_name and self.named[definition.class_name] > 1

    def _measure(self, definition: Definition, heights: dict[str, int], unique: dict[str, Definition]) -> int:
        known = heights.get(definition.key)
        if known is not None:
            return known
        if definition.kind in ("choice", "repeat"):
            raise CodegenError(
                f"the {definition.kind} labelled {definition.label!r} is still open, so no source can be "
                "written; freeze the space with decisions for it first"
            )
        inner = [self._measure(child, heights, unique) for child in _definitions(definition)]
        heights[definition.key] = 1 + max(inner, default=0)
        unique[definition.key] = definition
        self.named[definition.class_name] += self.counts[definition.key]
        return heights[definition.key]

    def _lower(self, child: Child) -> Child:
        if isinstance(child, ModuleSpec):
            return child
        known = self.lowered.get(child.key)
        return known if known is not None else self._lower_children(child)

    def _lower_children(self, definition: Definition) -> Definition:
        children = FrozenDict((name, self._lower(child)) for name, child in definition.children.items())
        return replace(definition, children=children)

    def _add_class(self, members: list[tuple[Definition, Definition]]) -> None:
        columns = [_constants(lowered, self.names_of) for _, lowered in members]
        weights = [self.counts[definition.key] for definition, _ in members]
        taken = _attribute_names(members[0][0])
        holes, parameters, values = _columns(columns, weights, taken)
        sites = iter(holes)
        lowered = map_constants(members[0][1], lambda site, value: _filled(next(sites), value), self.names_of)
        stored = dict.fromkeys(
            hole.name for hole, (site, _) in zip(holes, columns[0], strict=True) if hole and site.in_forward
        )
        number = len(self.structure.classes)
        plan = ClassPlan(members[0][0].class_name, lowered, members[0][0], parameters, tuple(stored))
        self.structure.classes.append(plan)
        for row, (definition, _) in enumerate(members):
            self.lowered[definition.key] = _instance(number, parameters, {n: v[row] for n, v in values.items()})

    def _name_classes(self) -> None:
        taken: set[str] = set()
        for plan in (self.structure.classes[-1], *self.structure.classes[:-1]):  # the root keeps its name
            if not plan.name.isidentifier():
                raise CodegenError(f"the class name {plan.name!r} is no Python identifier; rename the class")
            plan.name = names.free_name(plan.name, taken, dir(torch) if plan.name == "Tensor" else ())
            taken.add(plan.name)


def _instance(number: int, parameters: tuple[Parameter, ...], values: Mapping[str, Literal]) -> ModuleSpec:
    required = [item.name for item in parameters if not item.has_default]
    positional = required if len(required) <= _POSITIONAL else []
    kwargs = {
        item.name: values[item.name]
        for item in parameters
        if item.name not in positional and not (item.has_default and _same(values[item.name], item.default))
    }
    return ModuleSpec(f":{number}", tuple(values[name] for name in positional), FrozenDict(kwargs))


def _filled(hole: Hole | None, value: Literal) -> Literal:
    return value if hole is None else hole


def _constants(definition: Definition, names_of: Callable[[ModuleSpec], tuple[str, ...]]) -> list[tuple[Site, Literal]]:
    found: list[tuple[Site, Literal]] = []

    def note(site: Site, value: Literal) -> Literal:
        found.append((site, value))
        return value

    map_constants(definition, note, names_of)
    return found


def _columns(
    rows: list[list[tuple[Site, Literal]]], weights: list[int], taken: frozenset[str]
) -> tuple[list[Hole | None], tuple[Parameter, ...], dict[str, tuple[Literal, ...]]]:
    """Return what stands at each site, the parameters, and their values member by member."""
    vectors = [tuple(value for _, value in column) for column in zip(*rows, strict=True)]
    sites = [site for site, _ in rows[0]]
    marks = [tuple((type(value), value) for value in vector) for vector in vectors]
    varying: dict[tuple[Any, ...], list[int]] = {}
    for index, mark in enumerate(marks):
        if any(item != mark[0] for item in mark):
            varying.setdefault(mark, []).append(index)
    groups = list(varying.values())
    # What is used in a forward must be kept on the module, where names of children count as well.
    chosen: dict[int, Hole] = {}
    values: dict[str, tuple[Literal, ...]] = {}
    defaults: dict[str, Parameter] = {}
    derived = _multiples([vectors[group[0]] for group in groups])
    for number, group in enumerate(groups):
        if number in derived:
            continue
        name = _parameter_name([sites[index] for index in group], [*values], taken)
        values[name] = vectors[group[0]]
        defaults[name] = _with_default(name, vectors[group[0]], weights)
        chosen[number] = Hole(name)
    for number, (base, factor) in derived.items():
        chosen[number] = Hole(chosen[base].name, factor)
    holes: list[Hole | None] = [None] * len(sites)
    for number, group in enumerate(groups):
        for index in group:
            holes[index] = chosen[number]
    parameters = sorted(defaults.values(), key=lambda item: item.has_default)
    return holes, tuple(parameters), values


def _multiples(vectors: list[tuple[Literal, ...]]) -> dict[int, tuple[int, int]]:
    """Find columns that are a whole multiple of another: the inner width of a bottleneck, say."""
    found: dict[int, tuple[int, int]] = {}
    whole = [n for n, vector in enumerate(vectors) if all(type(value) is int and value >= 4 for value in vector)]
    for number in sorted(whole, key=lambda n: vectors[n]):
        for base in whole:
            factor, rest = divmod(vectors[number][0], vectors[base][0])
            if base in found or base == number or rest or not 2 <= factor <= 8:
                continue
            if all(a == factor * b for a, b in zip(vectors[number], vectors[base], strict=True)):
                found[number] = (base, factor)
                break
    return found


def _with_default(name: str, vector: tuple[Literal, ...], weights: list[int]) -> Parameter:
    totals: dict[tuple[Any, ...], int] = {}
    for value, weight in zip(vector, weights, strict=True):
        totals[(type(value), value)] = totals.get((type(value), value), 0) + weight
    (_, value), most = max(totals.items(), key=lambda item: item[1])
    return Parameter(name, value, True) if 2 * most > sum(weights) else Parameter(name)


def _parameter_name(sites: list[Site], used: list[str], taken: frozenset[str]) -> str:
    barred = taken | _MODULE_ATTRIBUTES if any(site.in_forward for site in sites) else frozenset()
    ordered = sorted(sites, key=lambda site: site.in_graph)
    for site in ordered:
        if names.is_usable(site.name, barred) and site.name not in used:
            return site.name
    for site in ordered:
        longer = f"{site.owner}_{site.name}"
        if names.is_usable(longer, barred) and longer not in used:
            return longer
    return names.free_name(ordered[0].name, used, barred)


def _attribute_names(definition: Definition) -> frozenset[str]:
    return frozenset({*definition.children, *definition.parameters, *definition.buffers})


def _same(left: Literal, right: Literal) -> bool:
    return type(left) is type(right) and bool(left == right)


def _definitions(definition: Definition) -> Iterator[Definition]:
    for child in definition.children.values():
        if isinstance(child, Definition):
            yield child


def _count_instances(root: Definition) -> Counter[str]:
    """Return how often each definition stands in the model, by key."""
    order: dict[str, Definition] = {}

    def visit(definition: Definition) -> None:
        if definition.key in order:
            return
        for child in _definitions(definition):
            visit(child)
        order[definition.key] = definition

    visit(root)
    counts = Counter[str]({root.key: 1})
    for key, definition in reversed(order.items()):
        for child in _definitions(definition):
            counts[child.key] += counts[key]
    return counts
