"""What a loop over `self.modules()` meets, and what the recorded initialisation did to each module that it meets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from torch import nn

from graphnas.errors import GraphNASError
from graphnas.ir.fingerprint import resolve_ties
from graphnas.ir.graph import Graph, Node
from graphnas.ir.keyed import digest
from graphnas.ir.leaves import built_on_meta
from graphnas.ir.literal import Argument, FrozenDict, Value, values_in
from graphnas.ir.module import Child, Definition, ModuleSpec, join


@dataclass(frozen=True)
class Visit:
    """One module, as the loop meets it.

    Attributes:
        path: Its name in `self.named_modules()`.
        kind: Its class if that is torch's, or the class of torch that it derives from; None for the user's own.
        tensors: Its parameters and buffers by name, as paths under which they were built; None for absent ones.
        module: A module of torch like it on the meta device, None for the user's own.
    """

    path: str
    kind: type[nn.Module] | None
    tensors: Mapping[str, str | None]
    module: nn.Module | None = None


class Call(NamedTuple):
    """An operation that changes a parameter in place.

    Attributes:
        tensor: The parameter: its path, or its name where the module is known.
        part: Which part of it is changed, in a tuple; empty for the whole.
        target: `torch.nn.init:normal_`, or the name of a method.
        args: Further arguments.
        kwargs: Keyword arguments.
    """

    tensor: str
    part: tuple[Argument, ...]
    target: str
    args: tuple[Argument, ...]
    kwargs: FrozenDict[Argument]

    def __hash__(self) -> int:
        # Not of the whole: slices stand in parts, and have no hash before Python 3.12.
        return hash((self.tensor, self.target, len(self.part), len(self.args)))

    @property
    def is_method(self) -> bool:
        """Whether it is a method of the tensor."""
        return ":" not in self.target

    @property
    def needs_no_grad(self) -> bool:
        """Whether it fails on a parameter unless gradients are off; the functions of `torch.nn.init` see to that."""
        return self.is_method or bool(self.part)


@dataclass
class Piece:
    """A part of an initialisation: calls one after the other, or nodes that are not of this form."""

    calls: list[Call] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)


def visits(definition: Definition, built: Sequence[str]) -> list[Visit] | None:
    """Return the modules that a loop meets, in its order; None where something holds modules that are not known.

    Args:
        definition: That of the module itself, which comes first.
        built: Names of the children that are there when the loop is run.
    """
    try:
        return list(_visits(definition, definition, "", frozenset(built)))
    except GraphNASError:
        return None


_MEMO = "_visits"


def outline_of_visits(definition: Definition) -> str:
    """Return a hash of what `visits` gives but for the modules: of names, classes, and which tensors are there."""
    for item in definition.bottom_up(lambda item: _MEMO in vars(item)):
        below = tuple(_outline(child) for child in item.children.values())
        base = "" if item.base is None else _outline(item.base)
        own = (base, tuple(item.parameters), tuple(item.buffers), tuple(item.children), below, item.ties)
        vars(item)[_MEMO] = digest("visits", *own)
    return _outline(definition)


def _outline(child: Child) -> str:
    return str(vars(child)[_MEMO]) if isinstance(child, Definition) else _outline_of_leaf(child)


@lru_cache(maxsize=1024)
def _outline_of_leaf(spec: ModuleSpec) -> str:
    try:
        parts = _leaf(spec)
    except GraphNASError:
        return ""
    seen = (
        (part.path, type(part.module).__module__, type(part.module).__qualname__, tuple(part.tensors.items()))
        for part in parts
    )
    return digest("leaf", *seen)


def _visits(root: Definition, found: Definition, path: str, built: frozenset[str]) -> Iterator[Visit]:
    base = None if found.base is None else _leaf(found.base)[0]
    present = dict.fromkeys((*found.parameters, *found.buffers), True)
    if base is not None:
        present |= {name: there for name, there in base.tensors.items() if name not in present}
    module = None if base is None else base.module
    yield Visit(path, None if module is None else type(module), _resolved(root, path, present), module)
    for name, child in found.children.items():
        here = join(path, name)
        if (not path and name not in built) or (root.has_ties and resolve_ties(root, here) != here):
            continue
        if isinstance(child, Definition):
            yield from _visits(root, child, here, built)
            continue
        for part in _leaf(child):
            place = join(here, part.path)
            yield Visit(place, type(part.module), _resolved(root, place, part.tensors), part.module)


def _resolved(root: Definition, path: str, present: Mapping[str, bool]) -> dict[str, str | None]:
    """Return tensors by name, as paths under which they were built, None for those that are absent."""
    prefix = f"{path}." if path else ""
    if not root.has_ties:
        return {name: f"{prefix}{name}" if there else None for name, there in present.items()}
    return {name: resolve_ties(root, f"{prefix}{name}") if there else None for name, there in present.items()}


class _Part(NamedTuple):
    """A module of a leaf, the leaf itself first: its path in it, and which of its tensors are there."""

    path: str
    module: nn.Module
    tensors: Mapping[str, bool]


@lru_cache(maxsize=1024)
def _leaf(spec: ModuleSpec) -> tuple[_Part, ...]:
    if spec.wrappers:
        raise GraphNASError(f"{spec.type} computes its parameters")
    return tuple(
        _Part(
            path,
            module,
            {name: item is not None for name, item in (*module._parameters.items(), *module._buffers.items())},
        )
        for path, module in built_on_meta(spec).named_modules()
    )


def pieces(graph: Graph) -> list[Piece]:
    """Return an initialisation in pieces, in order; a value never goes from one piece to another."""
    tensors: dict[str, tuple[str, tuple[Argument, ...]]] = {}
    items: list[Call | Node] = []
    views: dict[str, Node] = {}
    for node in graph.nodes:
        if node.operation.kind == "attribute":
            tensors[node.name] = (node.operation.target, ())
            continue
        part = _part(node, tensors)
        if part is not None:
            tensors[node.name], views[node.name] = part, node
            continue
        call = _call(node, tensors)
        items.append(node if call is None else call)
    found: list[Piece] = []
    for item in items:
        if not found or bool(found[-1].nodes) != isinstance(item, Node):
            found.append(Piece())
        if isinstance(item, Node):
            needed = [views[value.name] for value in item.inputs if value.name in views]
            found[-1].nodes += [node for node in needed if node not in found[-1].nodes]
            found[-1].nodes.append(item)
        else:
            found[-1].calls.append(item)
    known: dict[str, int] = {}
    for number, piece in enumerate(found):
        known.update((node.name, number) for node in piece.nodes if node.name not in views)
        if any(known.get(value.name, number) != number for node in piece.nodes for value in node.inputs):
            return [Piece(nodes=[node for node in graph.nodes if node.operation.kind != "attribute"])]
    return found


def _part(
    node: Node, tensors: Mapping[str, tuple[str, tuple[Argument, ...]]]
) -> tuple[str, tuple[Argument, ...]] | None:
    if node.operation.target != "operator:getitem" or not isinstance(node.args[0], Value) or values_in(node.args[1]):
        return None
    path, index = tensors.get(node.args[0].name, ("", ()))
    return (path, (node.args[1],)) if path and not index else None


def _call(node: Node, tensors: Mapping[str, tuple[str, tuple[Argument, ...]]]) -> Call | None:
    target = node.operation.target
    in_place = target.startswith("torch.nn.init:") or (node.operation.kind == "method" and target.endswith("_"))
    if not in_place or not node.args or not isinstance(node.args[0], Value) or node.args[0].name not in tensors:
        return None
    if values_in((node.args[1:], node.kwargs)):
        return None
    path, index = tensors[node.args[0].name]
    return Call(path, index, target, node.args[1:], node.kwargs)


def passes(found: Sequence[Visit], calls: Sequence[Call]) -> list[list[tuple[int, Call]]]:
    """Return calls by the modules that a loop meets, with their bare names; a new list where it has to start again.

    Calls on what no loop meets, and on the module itself, get a list of their own, under the number 0.
    """
    places: dict[str, list[tuple[int, str]]] = {}
    for number, visit in enumerate(found):
        for name, path in visit.tensors.items():
            if path is not None:
                places.setdefault(path, []).append((number, name))
    result: list[list[tuple[int, Call]]] = []
    current = 0
    for call in calls:
        options = places.get(call.tensor, [(0, call.tensor)])
        number, name = next((item for item in options if item[0] >= current), options[0])
        if not result or number < current or (number == 0) != (current == 0):
            result.append([])
        result[-1].append((number, call._replace(tensor=name) if number else call))
        current = number
    return result
