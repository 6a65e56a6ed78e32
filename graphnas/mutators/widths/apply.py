"""Writing new sizes into a model: constructor arguments, numbers in graphs, and shapes of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch

from graphnas.ir.constructor import with_arguments
from graphnas.ir.graph import Graph, Node
from graphnas.ir.infer import Inferred, infer
from graphnas.ir.literal import Argument, FrozenDict, FrozenList
from graphnas.ir.module import Child, Definition, Forward, ModuleSpec
from graphnas.ir.types import TensorType
from graphnas.mutators.widths.axes import Atom, size_of
from graphnas.mutators.widths.survey import Run, Survey
from graphnas.mutators.widths.values import Key, Place, Tensor

_T = TypeVar("_T")
Numbers = dict[tuple[Key, ...], int]
"""New numbers by where they stand among the arguments of one node or constructor."""


@dataclass
class Rewrite:
    """What is written anew in one module.

    Attributes:
        arguments: Of the constructor.
        graphs: By part and number of the graph, and by name of the node.
        shapes: Of own parameters and buffers.
    """

    arguments: Numbers = field(default_factory=dict)
    graphs: dict[tuple[str, Key], dict[str, Numbers]] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What tells it apart from others."""
        return repr((self.arguments, self.graphs, self.shapes))


def rewrites(found: Survey, sizes: Mapping[Atom, int]) -> dict[str, Rewrite]:
    """Return what has to be written anew, by the path of the module, for new sizes of some atoms."""
    result: dict[str, Rewrite] = {}
    uses = found.affected(sizes)
    for place, axis in uses.places.items():
        _enter(result.setdefault(place.path, Rewrite()), place, size_of(axis, sizes))
    for division in found.divisions:
        groups = division.groups_of(size_of(division.axis, sizes))
        if groups is not None and groups != division.groups and division.place is not None:
            _enter(result.setdefault(division.place.path, Rewrite()), division.place, groups)
    for (path, name), tensor in uses.states.items():
        result.setdefault(path, Rewrite()).shapes[name] = predicted(tensor, sizes)
    return result


def _enter(rewrite: Rewrite, place: Place, new: int) -> None:
    if place.part == "argument":
        rewrite.arguments[place.keys] = new
    else:
        rewrite.graphs.setdefault((place.part, place.which), {}).setdefault(place.node, {})[place.keys] = new


def rewritten(root: Definition, found: Survey, changes: Mapping[str, Rewrite]) -> Definition:
    """Return a model with all rewrites; what is not on a path to one is shared with `root`."""
    at: dict[str, Rewrite] = {}
    for path, rewrite in changes.items():
        for name in found.names(path):
            at[name] = rewrite
    tree: _Tree = _Tree()
    for path, rewrite in at.items():
        tree.enter(path.split(".") if path else [], rewrite)
    done: dict[tuple[str, str], Definition] = {}
    result = _rewritten(root, tree, done)
    assert isinstance(result, Definition), "a definition stays one"
    return result


@dataclass
class _Tree:
    """Rewrites by the names on the way to them."""

    rewrite: Rewrite | None = None
    below: dict[str, _Tree] = field(default_factory=dict)

    def enter(self, names: Sequence[str], rewrite: Rewrite) -> None:
        tree = self
        for name in names:
            tree = tree.below.setdefault(name, _Tree())
        tree.rewrite = rewrite

    @property
    def key(self) -> str:
        own = "" if self.rewrite is None else self.rewrite.key
        return f"{own}{{{','.join(f'{name}:{tree.key}' for name, tree in self.below.items())}}}"


def _rewritten(part: Child, tree: _Tree, done: dict[tuple[str, str], Definition]) -> Child:
    rewrite = tree.rewrite or Rewrite()
    if isinstance(part, ModuleSpec):
        return _with_arguments(part, rewrite)
    # Instances that share their definition, and change alike, share it afterwards as well.
    memo = (part.key, tree.key)
    if memo not in done:
        children = {name: _rewritten(part.children[name], below, done) for name, below in tree.below.items()}
        done[memo] = _definition(part, rewrite, children)
    return done[memo]


def _definition(part: Definition, rewrite: Rewrite, children: Mapping[str, Child]) -> Definition:
    forwards = []
    for number, forward in enumerate(part.forwards):
        graphs = [
            None if graph is None else _graph(graph, rewrite.graphs.get(("forward", 2 * number + train), {}))
            for train, graph in enumerate((forward.eval, forward.train))
        ]
        assert graphs[0] is not None, "every forward has a graph for eval mode"
        is_same = graphs[0] is forward.eval and graphs[1] is forward.train
        forwards.append(forward if is_same else Forward(graphs[0], graphs[1]))
    parameters, buffers = dict(part.parameters), dict(part.buffers)
    for owned in (parameters, buffers):
        for name in owned:
            changed = _owned(owned[name], rewrite.shapes.get(name), rewrite.graphs.get(("initial", name), {}))
            owned[name] = changed  # type: ignore[assignment]  # of the kind that it was
    return replace(
        part,
        children=FrozenDict({**part.children, **children}),
        parameters=FrozenDict(parameters),
        buffers=FrozenDict(buffers),
        forwards=tuple(forwards),
        init=_graph(part.init, rewrite.graphs.get(("init", 0), {})),
        base=None if part.base is None else _with_arguments(part.base, rewrite),
    )


def _with_arguments(spec: ModuleSpec, rewrite: Rewrite) -> ModuleSpec:
    if not rewrite.arguments:
        return spec
    changed: dict[str, object] = {}
    for keys, new in rewrite.arguments.items():
        name = str(keys[0])
        if isinstance(keys[0], int):  # of a constructor that takes `*args`
            spec = replace(spec, args=_with_number(spec.args, keys, new))
        elif len(keys) == 1:
            changed[name] = new
        else:
            old = changed.get(name, _argument(spec, name))
            changed[name] = _with_number(old, keys[1:], new)
    return with_arguments(spec, changed)


def _argument(spec: ModuleSpec, name: str) -> Argument:
    """Return an argument of a leaf that is a sequence: only the first one can be positional among these."""
    return spec.kwargs[name] if name in spec.kwargs else spec.args[0]


def _owned(spec: _T, shape: tuple[int, ...] | None, numbers: Mapping[str, Numbers]) -> _T:
    from dataclasses import replace as changed

    if shape is None and not numbers:
        return spec
    return changed(  # type: ignore[type-var]  # a specification of a parameter or a buffer
        spec,
        type=spec.type if shape is None else TensorType(shape, spec.type.dtype),  # type: ignore[attr-defined]
        initial=None if spec.initial is None else _graph(spec.initial, numbers),  # type: ignore[attr-defined]
    )


def _graph(graph: Graph, numbers: Mapping[str, Numbers]) -> Graph:
    if not numbers:
        return graph
    nodes = [_node(node, numbers[node.name]) if node.name in numbers else node for node in graph.nodes]
    output = graph.output
    for keys, new in numbers.get("", {}).items():
        output = _with_number(output, keys[1:], new)
    return replace(graph, nodes=tuple(nodes), output=output)


def _node(node: Node, numbers: Numbers) -> Node:
    args, kwargs = node.args, node.kwargs
    for keys, new in numbers.items():
        if isinstance(keys[0], int):
            args = _with_number(args, keys, new)
        else:
            kwargs = _with_number(kwargs, keys, new)
    return replace(node, args=args, kwargs=kwargs)


def _with_number(argument: Argument, keys: tuple[Key, ...], new: int) -> Argument:
    """Return an argument with another number at a place in it."""
    if not keys:
        return new
    key = keys[0]
    if isinstance(argument, FrozenDict):
        return argument.set(key, _with_number(argument[key], keys[1:], new))
    if isinstance(argument, slice):
        bounds = {name: getattr(argument, name) for name in ("start", "stop", "step")}
        bounds[str(key)] = new
        return slice(bounds["start"], bounds["stop"], bounds["step"])
    assert isinstance(argument, tuple), "numbers stand in containers"
    assert isinstance(key, int), "tuples are indexed by numbers"
    items = [*argument]
    items[key] = _with_number(items[key], keys[1:], new)
    kind = type(argument)
    return kind(items) if kind in (tuple, FrozenList, torch.Size) else tuple(items)


# Checking that the model is what the axes say.


def disagreement(old: Definition, new: Definition, found: Survey, sizes: Mapping[Atom, int]) -> str:
    """Return the first value of a rewritten model that has not the shape that was predicted, or the empty string."""
    changed = {place: predicted(tensor, sizes) for place, tensor in found.affected(sizes).values.items()}
    for path, number, training in [run for run in found.runs if run[0] == ""]:
        called = infer(new, number, training=training)
        before = infer(old, number, training=training)
        text = _disagreement((path, number, training), called, before, changed, set())
        if text:
            return text
    return ""


def _disagreement(
    run: Run, now: Inferred, before: Inferred, changed: Mapping[tuple[Run, str], tuple[int, ...]], seen: set[Run]
) -> str:
    """Compare one call; of what is called several times, the first call is the one that was predicted."""
    if run in seen:
        return ""
    seen.add(run)
    path, _, training = run
    for node, type, old in zip(now.graph.nodes, now.nodes, before.nodes, strict=True):
        if isinstance(type, TensorType) and isinstance(old, TensorType):
            wanted = changed.get((run, node.name), old.shape)
            if type.shape != wanted:
                return f"%{node.name} at {path}:{node.name} is {type}, expected {list(wanted)}"
    for (target, forward), called in now.calls.items():
        below = (f"{path}.{target}" if path else target, forward, training)
        text = _disagreement(below, called, before.calls[target, forward], changed, seen)
        if text:
            return text
    return ""


def predicted(tensor: Tensor, sizes: Mapping[Atom, int]) -> tuple[int, ...]:
    """Return the shape that a tensor will have."""
    return tuple(size_of(axis, sizes) for axis in tensor.axes)
