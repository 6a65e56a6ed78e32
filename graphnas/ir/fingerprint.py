"""Fingerprints: a hash of what a definition computes and how it starts, whatever its parts are called.

What counts: operations in the order of their execution and which value feeds which port; constructor arguments of
leaves; shapes, trainability and recorded initialisation of parameters; the bytes of constants; which calls and reads
go to the very same module or tensor; evaluation and training graphs; labels, kinds and candidates of open decisions.

What does not: names of values, inputs, children, parameters and classes, the order of attributes, containers without a
forward, hints, types of values, labels of nodes and leaves, locations, guards, the nodes that serve guards or nothing
and that the source leaves out, where and how often an attribute, an item of a sequence or a size is read, whether a
function of torch is given a list or a tuple, whether a buffer is saved, and whether it was recorded how a tensor is
built, or source builds it so without a record. Nor does a module that is never called, or a parameter that is never
read: nothing computed depends on it, although it is part of the `state_dict` and of the `key`. A recorded
initialisation counts even where it touches such a parameter, since it draws random numbers.

Instances are numbered by their first use. A definition is hashed once and the hash is kept on the object, so that after
an edit only the edited path is hashed again. Equality of names and order is `key` (`graphnas.ir.keyed`).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pkgutil import resolve_name
from typing import Any, TypeAlias

import torch

from graphnas.ir.effects import assigned_paths, is_item, is_size, live_nodes, reshapes
from graphnas.ir.graph import Graph, Node
from graphnas.ir.initial import initial_buffer, initial_parameter
from graphnas.ir.keyed import Written, digest, written
from graphnas.ir.literal import Argument, FrozenDict, Value, freeze, map_values, values_in
from graphnas.ir.module import BufferSpec, Child, Definition, ModuleSpec, ParameterSpec
from graphnas.ir.types import Type

FINGERPRINT_VERSION = 4
"""Counts changes of what a fingerprint covers; part of every fingerprint."""

_TAG = f"graphnas-fingerprint-{FINGERPRINT_VERSION}"
_MEMO = f"_fingerprint_{FINGERPRINT_VERSION}"
_INIT = f"_fingerprint_{FINGERPRINT_VERSION}_init"
_READS = "_reads_by_use"


def fingerprint(definition: Definition) -> str:
    """Return the hash of what `definition` computes: 32 hexadecimal digits, equal in every process."""
    return _canonical(definition).fingerprint


def spec_fingerprint(spec: ModuleSpec) -> str:
    """Return the hash of a leaf: its class and the arguments of its constructor, however the call is spelled.

    Only signatures of `torch.nn` are looked at. Arguments of other classes count as they are written, since finding out
    their defaults would import the user's modules.
    """
    memo = vars(spec).get(_MEMO)
    if memo is None:
        target, arguments = _normal_call(spec)
        memo = digest(f"{_TAG}-leaf", target, arguments, tuple(sorted(spec.frozen)), *spec.wrappers)
        vars(spec)[_MEMO] = memo
    return str(memo)


@dataclass(frozen=True)
class _Canonical:
    """What is remembered of a definition.

    Attributes:
        fingerprint: Its hash.
        numbers: The numbers that it gave to what it uses, by resolved path.
        places: Where paths below it lead, as far as anybody asked; see `_place`.
    """

    fingerprint: str
    numbers: Mapping[str, int]
    places: dict[str, tuple[Any, ...] | None] = field(default_factory=dict)


def _canonical(definition: Definition) -> _Canonical:
    known: _Canonical | None = vars(definition).get(_MEMO)
    if known is not None:
        return known
    for item in definition.bottom_up(lambda item: _MEMO in vars(item)):
        vars(item)[_MEMO] = _Hasher(item).run()
    memo = vars(definition)[_MEMO]
    assert isinstance(memo, _Canonical)
    return memo


@dataclass(frozen=True)
class _Inherited:
    """A parameter or buffer that the base of a definition creates."""

    base: ModuleSpec
    name: str


_TAKES_ANY_SEQUENCE = ("torch:", "torch.nn.functional:")
"""Functions that do the same with a list as with a tuple."""

_Part: TypeAlias = Child | ParameterSpec | BufferSpec | _Inherited


class _Hasher:
    """One definition on its way to a fingerprint."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.numbers: dict[str, int] = {}
        self.contents: list[Any] = []
        self.outside: dict[str, int] = {}

    def run(self) -> _Canonical:
        definition = self.definition
        forwards = []
        for forward in definition.forwards:
            graphs = [self.graph(graph) for graph in forward.graphs]
            forwards.append(tuple(graphs[:1] if graphs[-1] == graphs[0] else graphs))
        init = self.init()
        decision: tuple[Any, ...] = ()
        if definition.kind in ("choice", "repeat"):
            candidates = tuple(_content(child) for child in definition.children.values())
            decision = (definition.kind, definition.label, candidates)
        ties = self.ties()
        whole = digest(_TAG, tuple(forwards), init, ties, decision, tuple(self.contents))
        return _Canonical(whole, self.numbers)

    def graph(self, graph: Graph) -> tuple[Any, ...]:
        """Return a graph as nested tuples without a name in them."""
        ports = {item.name: Value(str(index)) for index, item in enumerate(graph.inputs)}
        types: dict[str, Type] = {item.name: item.type for item in graph.inputs}
        waiting: dict[str, Node] = {}  # reads of attributes, numbered where they are used
        assigned = assigned_paths(self.definition)
        sizes: set[str] = set()
        reshaped = 0

        def port(value: Value) -> Value:
            if value.name in waiting:
                address = self.address(waiting.pop(value.name).operation.target)
                ports[value.name] = Value(_attribute_port(address))
            return ports.get(value.name, value)

        def number(argument: Argument) -> Argument:
            return map_values(argument, port)

        body: list[Any] = []
        for node in live_nodes(graph):
            types[node.name] = node.type
            if node.operation.kind == "attribute" and node.operation.target not in assigned:
                waiting[node.name] = node
                continue
            operation, kwargs = self.operation(node)
            args, keywords = node.args, tuple(sorted(kwargs, key=_first))
            if node.operation.kind == "function" and node.operation.target.startswith(_TAKES_ANY_SEQUENCE):
                args, keywords = _without_lists((args, keywords))
            content = (operation, number(args), number(keywords))
            first = node.inputs[0].name if node.inputs else ""
            size = is_size(node, sizes)
            if size or is_item(node, types.get(first)):
                sizes |= {node.name} if size else set()
                ports[node.name] = Value(digest(_TAG, "reference", content, reshaped))
                continue
            reshaped += reshapes(node)
            ports[node.name] = Value(str(len(graph.inputs) + len(body)))
            body.append(content)
        return len(graph.inputs), tuple(body), number(graph.output)

    def init(self) -> Any:
        """Return the initialisation as a graph, the one found before if what it reads has the numbers that it had.

        It often speaks of every parameter below, and edits hardly ever change it.
        """
        graph = self.definition.init
        reads = None if assigned_paths(self.definition) else _reads(graph)
        if reads is None:
            return self.graph(graph)
        places = tuple(self.address(path) for path in reads)
        if self.outside:  # their contents stand among the places, and these hold more than equality tells apart
            return self.graph(graph)
        known: tuple[Any, Written] | None = vars(graph).get(_INIT)
        if known is None or known[0] != places:
            known = vars(graph)[_INIT] = (places, written(self.graph(graph)))
        return known[1]

    def operation(self, node: Node) -> tuple[tuple[Any, ...], list[tuple[Any, Argument]]]:
        """Return what a node does, and its keyword arguments; those of a definition by the number of the input."""
        operation, kwargs = node.operation, list(node.kwargs.items())
        if operation.kind in ("attribute", "assign"):
            return (operation.kind, self.address(operation.target)), kwargs
        if operation.kind != "module":
            return (operation.kind, operation.target), kwargs
        path = resolve_ties(self.definition, operation.target)
        child = _lookup(self.definition, path)
        if isinstance(child, Definition) and operation.forward < len(child.forwards):
            order = child.forwards[operation.forward].inputs
            kwargs = [(order.index(name) if name in order else name, value) for name, value in kwargs]
        return ("module", self.address(operation.target), operation.forward), kwargs

    def address(self, path: str) -> tuple[Any, ...]:
        """Return where `path` leads, by numbers of first use instead of names; what is new gets the next number."""
        unit, rest = split_unit(self.definition, resolve_ties(self.definition, path))
        if unit not in self.numbers:
            self.numbers[unit] = len(self.numbers)
            self.contents.append(_content(_lookup(self.definition, unit)))
        number = self.numbers[unit]
        return (number, self.within(unit, rest)) if rest else (number,)

    def within(self, unit: str, rest: str) -> Any:
        """Return where `rest` leads below `unit`, in the numbers of that definition."""
        child = _lookup(self.definition, unit)
        if not isinstance(child, Definition):
            return rest  # the name of a leaf's own parameter is part of its class
        place = _place(child, rest)
        if place is not None:
            return place
        inner, deeper = split_unit(child, resolve_ties(child, rest))
        known = _canonical(child).numbers
        if inner in known:
            here: tuple[Any, ...] = (known[inner],)
        else:
            full = f"{unit}.{inner}"
            here = ("unused", self.outside.setdefault(full, len(self.outside)), _content(_lookup(child, inner)))
        return (*here, self.within(f"{unit}.{inner}", deeper)) if deeper else here

    def ties(self) -> tuple[Any, ...]:
        """Return what is shared between the insides of different children; other sharing shows in the numbers."""
        groups: dict[str, list[tuple[Any, ...]]] = {}
        for tie in self.definition.ties:
            unit, rest = split_unit(self.definition, tie.path)
            if rest and unit in self.numbers:
                groups.setdefault(tie.source, []).append((self.numbers[unit], self.within(unit, rest)))
        found = [(self.address(source), tuple(sorted(paths, key=repr))) for source, paths in groups.items()]
        return tuple(sorted(found, key=repr))


def _place(definition: Definition, path: str) -> tuple[Any, ...] | None:
    """Return where `path` leads below a definition, in its own numbers; None where these lack something on the way."""
    canonical = _canonical(definition)
    if path in canonical.places:
        return canonical.places[path]
    unit, rest = split_unit(definition, resolve_ties(definition, path))
    place: tuple[Any, ...] | None = None
    if unit in canonical.numbers:
        child = _lookup(definition, unit) if rest else None
        inner = _place(child, rest) if isinstance(child, Definition) else rest
        if inner is not None:
            place = (canonical.numbers[unit], inner) if rest else (canonical.numbers[unit],)
    canonical.places[path] = place
    return place


@lru_cache(maxsize=8192)
def _attribute_port(address: tuple[Any, ...]) -> str:
    return digest(_TAG, "attribute", address)


def resolve_ties(definition: Definition, path: str) -> str:
    """Return the path at which what stands at `path` was built, as far as ties at and below `definition` say."""
    if not definition.has_ties:
        return path
    for _ in range(len(definition.ties) + 1):
        for tie in definition.ties:
            if path == tie.path or path.startswith(f"{tie.path}."):
                path = tie.source + path[len(tie.path) :]
                break
        else:
            break
    head, _, rest = path.partition(".")
    child = definition.children.get(head)
    return f"{head}.{resolve_ties(child, rest)}" if rest and isinstance(child, Definition) else path


def split_unit(definition: Definition, path: str) -> tuple[str, str]:
    """Split `path` behind the first thing on it that is a leaf, a tensor or a definition that is called.

    What has no forward, such as a list, only groups what stands below it.
    """
    found: _Part | None = definition
    names = path.split(".")
    for index, name in enumerate(names):
        found = _own(found, name) if isinstance(found, Definition) else None
        if not isinstance(found, Definition) or found.forwards:
            return ".".join(names[: index + 1]), ".".join(names[index + 1 :])
    return path, ""


def _own(definition: Definition, name: str) -> _Part | None:
    found: _Part | None = definition.children.get(name)
    if found is None:
        found = definition.parameters.get(name)
    if found is None:
        found = definition.buffers.get(name)
    return _Inherited(definition.base, name) if found is None and definition.base is not None else found


def _lookup(definition: Definition, path: str) -> _Part | None:
    found: _Part | None = definition
    for name in path.split("."):
        found = _own(found, name) if isinstance(found, Definition) else None
    return found


def _content(item: _Part | None) -> Any:
    """Return what stands for a thing in the hash of what uses it."""
    if isinstance(item, Definition):
        return ("definition", _canonical(item).fingerprint)
    if isinstance(item, ModuleSpec):
        return ("leaf", spec_fingerprint(item))
    if isinstance(item, ParameterSpec):
        return ("parameter", item.type, item.requires_grad, _expression(initial_parameter(item)))
    if isinstance(item, BufferSpec):
        initial = initial_buffer(item)
        return ("buffer", item.type, _expression(initial), None if initial is not None else item.data)
    if isinstance(item, _Inherited):
        return ("inherited", spec_fingerprint(item.base), item.name)
    return ("missing",)


def _expression(graph: Graph | None) -> Any:
    return None if graph is None else _Hasher(Definition("")).graph(graph)


def _reads(graph: Graph) -> tuple[str, ...] | None:
    """Return the paths that a graph reads, in the order of their first use; None if it calls or assigns anything.

    They are remembered with the graph.
    """
    if _READS not in vars(graph):
        nodes = live_nodes(graph)
        reads = {node.name: node.operation.target for node in nodes if node.operation.kind == "attribute"}
        ports = [(node.args, tuple(sorted(node.kwargs.items(), key=_first))) for node in nodes]
        used = [value.name for value in values_in((*ports, graph.output))]
        plain = all(node.operation.kind not in ("module", "assign") for node in nodes)
        vars(graph)[_READS] = tuple(dict.fromkeys(reads[name] for name in used if name in reads)) if plain else None
    found: tuple[str, ...] | None = vars(graph)[_READS]
    return found


def _without_lists(argument: Any) -> Any:
    """Return an argument with tuples for the lists in it."""
    plain = isinstance(argument, tuple) and not isinstance(argument, torch.Size)
    return tuple(map(_without_lists, argument)) if plain else argument


def _first(pair: tuple[Any, Any]) -> tuple[str, Any]:
    return type(pair[0]).__name__, pair[0]


def _normal_call(spec: ModuleSpec) -> tuple[str, Any]:
    """Return class and arguments in one spelling: every parameter of the signature by name, defaults filled in."""
    as_written = (spec.target, (spec.args, tuple(sorted(spec.kwargs.items(), key=_first))))
    known = _torch_class(spec.target)
    if known is None:
        return as_written
    target, signature = known
    try:
        bound = signature.bind(*spec.args, **dict(spec.kwargs))
    except TypeError:
        return as_written
    bound.apply_defaults()
    arguments: list[tuple[str, Any]] = []
    for name, value in bound.arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            value = FrozenDict(sorted(value.items()))
        try:
            arguments.append((name, freeze(value)))
        except TypeError:  # a default that is no literal says nothing that the signature does not
            arguments.append((name, "default"))
    return target, tuple(arguments)


@lru_cache(maxsize=1024)
def _torch_class(target: str) -> tuple[str, inspect.Signature] | None:
    """Return where a class of torch.nn is defined, and its signature; None for any other class."""
    if not target.startswith(("torch.nn:", "torch.nn.")):
        return None
    try:
        found = resolve_name(target)
        signature = inspect.signature(found)
    except (ImportError, AttributeError, ValueError, TypeError):
        return None
    return (f"{found.__module__}:{found.__qualname__}", signature) if inspect.isclass(found) else None
