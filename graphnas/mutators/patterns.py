"""The declarative form of mutators: what to look for, and what to put in its place.

What belongs here: finding where a recorded function stands in a graph, and writing another in its place. How functions
are recorded is `recorded`, which spellings count as one is `canonical`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn

from graphnas.errors import ConfigError, MutationError, TraceError
from graphnas.ir.graph import Graph, Node
from graphnas.ir.infer import leaf_module
from graphnas.ir.literal import Argument, FrozenList, Value, map_values
from graphnas.ir.module import Child, Definition, ModuleSpec, join
from graphnas.ir.record import recording
from graphnas.ir.resolve import resolve
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.sites import Site
from graphnas.ir.trace.child import child_of
from graphnas.ir.types import Type
from graphnas.mutators.canonical import COMMUTATIVE, canonical
from graphnas.mutators.in_place import protect
from graphnas.mutators.recorded import Expression, Parameter, Recording, parameters_of, record
from graphnas.mutators.sited import SiteMutator, Sites, own_sites

Function = Callable[..., Any]
_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Match:
    """A place where a pattern stands.

    Attributes:
        site: The node that computes what the pattern returns.
        nodes: Names of all nodes of the pattern, in order of execution.
        values: What each value parameter stands for.
        modules: Path of the module that each module parameter stands for, below the definition of the site.
    """

    site: Site
    nodes: tuple[str, ...]
    values: Mapping[str, Argument]
    modules: Mapping[str, str]
    definition: Definition

    @property
    def name(self) -> str:
        """The name of the site."""
        return self.site.name

    @property
    def type(self) -> Type:
        """Type of what the pattern returns."""
        return self.site.node.type

    def __getitem__(self, parameter: str) -> Any:
        """Return the module that a parameter stands for, its tensors without data, or the type of the value.

        Raises:
            KeyError: The pattern has no such parameter.
        """
        if parameter in self.modules:
            child = self.definition.child(self.modules[parameter])
            assert isinstance(child, ModuleSpec), "only leaves are matched"
            return leaf_module(child)
        value = self.values[parameter]
        return self.site.graph.type_of(value) if isinstance(value, Value) else value


class Replace(SiteMutator[Match]):
    """Puts something else in the place of a pattern.

    >>> class Gelu(Replace):
    ...     def __init__(self):
    ...         super().__init__(nn.ReLU, lambda relu: nn.GELU())

    A pattern is a class of modules, or several, or a function of values and modules. What the function does to them is
    looked for, within one forward, however it is spelled (`nn.ReLU`, `F.relu` and `x.relu()` are one). Values between
    its operations must not be used by anything else.

    Args:
        pattern: A class of modules, a tuple of classes, or a function. Parameters of the function that are annotated
            with classes of modules are modules; the others are values, which stand for anything.
        replacement: For a class, a function from the old module to the new one. For a function, one with the same
            parameters or fewer of them; it may call the modules that it is given, and make new ones. Several by name,
            or in a list, make a choice `by`.
        sites: How the places are decided, see `SiteMutator`.
        where: Which matches count: `match["conv"].kernel_size == (3, 3)`, `match.type.shape[1] > 64`.
        label: Name of the mutator.

    Raises:
        ConfigError: The two sides do not fit each other, or cannot be recorded.
    """

    def __init__(
        self,
        pattern: type[nn.Module] | tuple[type[nn.Module], ...] | Function,
        replacement: Function | Sequence[Function] | Mapping[str, Function],
        *,
        sites: Sites = "one",
        where: Callable[[Match], bool] | None = None,
        label: str | None = None,
    ) -> None:
        super().__init__(sites=sites, where=where, label=label)
        classes = pattern if isinstance(pattern, tuple) else (pattern,)
        self._is_class = all(isinstance(item, type) and issubclass(item, nn.Module) for item in classes)
        if self._is_class:
            self._parameters: tuple[Parameter, ...] = (Parameter("old", classes),)  # type: ignore[arg-type]  # just checked
        elif callable(pattern) and not isinstance(pattern, tuple):
            self._parameters = parameters_of(pattern, "pattern")
            holes = {item.name: _NOTHING if item.classes else None for item in self._parameters}
            self._pattern = _Pattern(self._parameters, record(pattern, holes, "pattern"))
        else:
            raise ConfigError(
                f"pattern: expected a class of modules, a tuple of them, or a function, got {pattern!r:.100}",
                field="pattern",
            )
        self._replacements = _by_name(replacement)
        if not self._is_class:
            known = [item.name for item in self._parameters]
            for function in self._replacements.values():
                for item in parameters_of(function, "replacement"):
                    if item.name not in known:
                        raise ConfigError(
                            f"replacement: it takes {item.name!r}; the pattern has {', '.join(known)}",
                            field="replacement",
                        )

    def find(self, model: Rewriter) -> Iterable[Match]:
        taken: set[tuple[str, str]] = set()
        for site in own_sites(model):
            match = self._class_match(model, site) if self._is_class else self._pattern.match(model, site)
            if match is None:
                continue
            places = {(site.path, name) for name in match.nodes}
            if not taken & places:
                taken |= places
                yield match

    def edit(self, model: Rewriter, place: Match) -> None:
        names = tuple(self._replacements)
        chosen = names[0] if len(names) == 1 else self.choice(names, "by")
        function = self._replacements[chosen]
        if self._is_class:
            self.swap(model, place, lambda: function(place["old"]))
            return
        wanted = [item.name for item in parameters_of(function, "replacement")]
        holes = {
            item.name: place[item.name] if item.classes else None for item in self._parameters if item.name in wanted
        }
        recording = built(lambda: record(function, holes, "replacement"))
        _Writer(model, place).write(recording)

    def swap(self, model: Rewriter, place: Match, make: Callable[[], object]) -> None:
        """Put the module that `make` returns in the place of the matched one, for this call of it.

        Raises:
            MutationError: It is no module, or cannot be traced.
        """
        made = built(make)
        graph = place.site.graph
        types = [graph.type_of(value) for value in place.site.node.inputs]
        model.replace_operation(place.site, child_for(made, types, place.name))
        protect(model, place.site.path, place.site.node.value)

    def wanted(self) -> str:
        if self._is_class:
            return f"a {' or '.join(item.__name__ for item in self._parameters[0].classes)}"
        return "its pattern"

    def _class_match(self, model: Rewriter, site: Site) -> Match | None:
        if not isinstance(site.spec, ModuleSpec) or not _is_of(site.spec, self._parameters[0].classes):
            return None
        definition = model.definition(site.path)
        return Match(site, (site.node.name,), {}, {"old": site.node.operation.target}, definition)


_NOTHING = object()


def _by_name(replacement: Function | Sequence[Function] | Mapping[str, Function]) -> dict[str, Function]:
    if isinstance(replacement, Mapping):
        found = dict(replacement)
    elif isinstance(replacement, Sequence):
        found = {str(index): function for index, function in enumerate(replacement)}
    else:
        found = {"0": replacement}
    if not found or not all(callable(function) for function in found.values()):
        raise ConfigError(f"replacement: expected functions, got {replacement!r:.100}", field="replacement")
    return found


def _is_of(spec: ModuleSpec, classes: tuple[type[nn.Module], ...]) -> bool:
    kind = resolve(spec.target)
    return isinstance(kind, type) and issubclass(kind, classes)


def built(make: Callable[[], _T]) -> _T:
    """Return what `make` returns, modules recorded and, if their constructors allow it, without memory for weights."""
    with torch.random.fork_rng(devices=[]), recording():
        try:
            with torch.device("meta"):
                return make()
        except (NotImplementedError, RuntimeError):  # a constructor that reads the values of tensors
            return make()


def child_for(made: object, types: Sequence[Type], site: str) -> Child:
    """Return what an edit adds for a module that was built.

    Args:
        made: The module.
        types: Types of what it is called with.
        site: Where, for messages.

    Raises:
        MutationError: It is no module, or cannot be traced.
    """
    if not isinstance(made, nn.Module):
        raise MutationError(f"{site}: got {made!r:.100}, expected a module", site=site)
    try:
        return child_of(made, types, site)
    except TraceError as error:
        raise MutationError(f"{site}: the new {type(made).__name__} cannot be used: {error}", site=site) from error


class _Pattern:
    """A recorded function, and where it stands in graphs."""

    def __init__(self, parameters: tuple[Parameter, ...], recording: Recording) -> None:
        self.classes = {item.name: item.classes for item in parameters if item.classes}
        self.inputs = {item.name for item in parameters if not item.classes}
        self.steps = {step.name: step for step in recording.steps}
        self.output = recording.output
        if self.output.name not in self.steps:
            raise ConfigError("pattern: it returns what it is given; it must do something", field="pattern")

    def match(self, model: Rewriter, site: Site) -> Match | None:
        """Return the match whose result the node of `site` computes, None if there is none."""
        definition = model.definition(site.path)
        for found in self._step(self.output.name, site.node.value, _Found({}, {}, {}), site.graph, definition):
            names = set(found.nodes.values())
            nodes = tuple(node.name for node in site.graph.nodes if node.name in names)
            if all(_is_inside(site.graph, name, names) for name in nodes if name != site.node.name):
                return Match(site, nodes, found.values, found.modules, definition)
        return None

    def _step(
        self, name: str, value: Argument, found: _Found, graph: Graph, definition: Definition
    ) -> Iterator[_Found]:
        node = graph.producer(value) if isinstance(value, Value) else None
        if node is None:
            return
        known = found.nodes.get(name)
        if known is not None or node.name in found.nodes.values():
            if known == node.name:
                yield found
            return
        step = self.steps[name]
        child = definition.child(node.operation.target) if node.operation.kind == "module" else None
        found = _Found({**found.nodes, name: node.name}, found.values, found.modules)
        if step.operation.kind == "module" and step.operation.target:
            modules = _with_module(step, node, child, found.modules, self.classes)
            if modules is None:
                return
            found = _Found(found.nodes, found.values, modules)
            left: tuple[Any, ...] = ("", step.args, step.kwargs)
            right: tuple[Any, ...] = ("", node.args, node.kwargs)
        else:
            made = None if step.module is None else child_of(step.module)
            left = canonical(step.operation, made, step.args, step.kwargs)
            right = canonical(node.operation, child, node.args, node.kwargs)
            if made is not None and isinstance(made, ModuleSpec) and left[0].startswith("module"):
                same = isinstance(child, ModuleSpec) and child.key == made.key
                left, right = ("", *left[1:]), ("" if same else "another", *right[1:])
        if left[0] != right[0] or len(left[1]) != len(right[1]) or set(left[2]) != set(right[2]):
            return
        pairs = [(item, right[2][key]) for key, item in left[2].items()]
        orders = [left[1], left[1][::-1]] if left[0] in COMMUTATIVE else [left[1]]
        for order in orders:
            both = [*zip(order, right[1], strict=True), *pairs]
            yield from self._arguments(both, found, graph, definition)

    def _arguments(
        self, pairs: Sequence[tuple[Argument, Argument]], found: _Found, graph: Graph, definition: Definition
    ) -> Iterator[_Found]:
        """Yield every way to make all pairs of a pattern's argument and a node's the same."""
        if not pairs:
            yield found
            return
        (wanted, given), *rest = pairs
        if isinstance(wanted, Value):
            if wanted.name in self.inputs:
                if wanted.name not in found.values or found.values[wanted.name] == given:
                    bound = _Found(found.nodes, {**found.values, wanted.name: given}, found.modules)
                    yield from self._arguments(rest, bound, graph, definition)
                return
            for deeper in self._step(wanted.name, given, found, graph, definition):
                yield from self._arguments(rest, deeper, graph, definition)
            return
        if isinstance(wanted, (tuple, FrozenList)) and type(given) is type(wanted) and len(given) == len(wanted):
            yield from self._arguments([*zip(wanted, given, strict=True), *rest], found, graph, definition)
        elif type(wanted) is type(given) and wanted == given:
            yield from self._arguments(rest, found, graph, definition)


@dataclass(frozen=True)
class _Found:
    """What is known so far: node for each step, argument and module for each parameter."""

    nodes: Mapping[str, str]
    values: Mapping[str, Argument]
    modules: Mapping[str, str]


def _with_module(
    step: Expression,
    node: Node,
    child: Child | None,
    modules: Mapping[str, str],
    classes: Mapping[str, tuple[type[nn.Module], ...]],
) -> Mapping[str, str] | None:
    name = step.operation.target
    if not isinstance(child, ModuleSpec) or not _is_of(child, classes[name]):
        return None
    if modules.get(name, node.operation.target) != node.operation.target:
        return None
    return {**modules, name: node.operation.target}


def _is_inside(graph: Graph, name: str, names: set[str]) -> bool:
    """Tell whether only the nodes of a match take a value."""
    value = Value(name)
    return (
        all(user.name in names for user in graph.uses(value))
        and value not in graph.output_values
        and all(guard.value != name for guard in graph.guards)
    )


class _Writer:
    """Writes a recorded function into a graph, in the place of a match."""

    def __init__(self, model: Rewriter, match: Match) -> None:
        self.model = model
        self.match = match
        self.known: dict[str, Argument] = dict(match.values)
        self.last: Site = match.site

    def write(self, recording: Recording) -> None:
        model, match = self.model, self.match
        for step in recording.steps:
            self.known[step.name] = self._insert(step).node.value
        result = self.known[recording.output.name]
        if not isinstance(result, Value):
            raise MutationError(f"{match.name}: the replacement is the constant {result!r}", site=match.name)
        model.replace_all_uses_with(match.name, result)
        for name in reversed(match.nodes):
            model.erase(f"{match.site.path}:{name}")
        protect(model, match.site.path, result)

    def _insert(self, step: Expression) -> Site:
        model, where = self.model, self.last
        args = [self._argument(item) for item in step.args]
        kwargs = {key: self._argument(item) for key, item in step.kwargs.items()}
        if step.operation.kind != "module":
            self.last = model.insert_after(where, step.operation, args=args, kwargs=kwargs, rewire=False)
        elif step.module is None:
            path = join(self.match.site.path, self.match.modules[step.operation.target])
            self.last = model.call_module(path, args, kwargs, after=where)
        else:
            types = [where.graph.type_of(item) for item in args if isinstance(item, Value)]
            child = child_for(step.module, types, self.match.name)
            self.last = model.insert_after(where, child, args=args, kwargs=kwargs, rewire=False)
        return self.last

    def _argument(self, item: Argument) -> Argument:
        if isinstance(item, Value):
            return self.known[item.name]
        return map_values(item, lambda value: self.known[value.name])
