"""Changing how a width is split into heads, in attention that is written out; the width itself stays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from graphnas.errors import MutationError, VerificationError
from graphnas.ir.graph import Graph, Node
from graphnas.ir.literal import Argument, FrozenDict, Value
from graphnas.ir.model import Model
from graphnas.ir.module import Definition, Forward
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.sites import Site
from graphnas.ir.types import TensorType
from graphnas.ir.verify import verified
from graphnas.mutators.widths.apply import disagreement, rewrites, rewritten
from graphnas.mutators.widths.axes import Atom, Axis, atoms, resolve, size_of
from graphnas.mutators.widths.change import note_change, survey_of
from graphnas.mutators.widths.survey import Survey

_SPLITS = frozenset({"view", "reshape", "unflatten"})
_MIXES = frozenset({"softmax", "Softmax", "scaled_dot_product_attention"})
_PRODUCTS = frozenset({"mul", "imul", "mul_", "multiply", "truediv", "itruediv", "div", "div_", "true_divide"})
_POWERS = (-0.5, 0.5, -0.25, 0.25, -1.0)
"""Of the size of a head, by which an attention scales what it compares."""


def head_sites(edit: Rewriter) -> Iterator[Site]:
    """Yield, of each definition, the first node that splits channels into heads, as far as a softmax has them apart.

    Raises:
        VerificationError: The edit is not sound as it stands.
    """
    edit.verify()
    found = survey_of(edit.root)
    sites = [*edit.sites]
    apart = {
        atom
        for site in sites
        if site.type in _MIXES
        for axis in _axes(found, site.path, site.node.name)[:-2]
        for atom in atoms(resolve(axis))
    }
    seen: set[str] = set()
    for site in sites:
        if site.node.operation.kind == "method" and site.type in _SPLITS and site.path not in seen:
            split = _atoms(found, site)
            if split is not None and split[0] in apart:
                seen.add(site.path)
                yield site


def set_heads(edit: Rewriter, site: Site, heads: int) -> None:
    """Split a width into another number of heads, in all attentions that split the same channels.

    Numbers in `forward` that are the number or the size of heads change, as do tensors and layers that have something
    for each head, and literals that are a power of the size of a head and scale something that has heads. Other layers
    keep their widths.

    Args:
        edit: The open edit; unchanged if the number is refused.
        site: Where the heads are, one of `head_sites`.
        heads: How many there shall be.

    Raises:
        MutationError: The number does not divide the width, or something does not fit it that the message names.
    """
    found = survey_of(edit.root)
    atoms = _atoms(found, site)
    if atoms is None:
        raise MutationError(f"{site.name}: there are no heads whose number could change", site=site.name)
    outer, inner = atoms
    width = outer.size * inner.size
    if width % heads:
        raise MutationError(
            f"{site.name}: a width of {width} cannot be split into {heads} heads; choose a divisor", site=site.name
        )
    if heads == outer.size:
        return
    sizes = {outer: heads, inner: width // heads, **_others(found, outer, heads)}
    root = rewritten(edit.root, found, rewrites(found, sizes))
    try:
        _check(found, outer, sizes)
        for path in dict.fromkeys(run[0] for run, _ in found.affected(sizes).values):
            part = root.child(path)
            assert isinstance(part, Definition), "definitions are run"
            scaled = _Scales(found, path, sizes, outer, (inner.size, width // heads)).definition(part)
            root = root.with_child(path, scaled) if path else scaled
        model = verified(Model(root))
        wrong = disagreement(edit.root, model.root, found, sizes)
        if wrong:
            raise MutationError(f"since then {wrong}")
    except (MutationError, VerificationError) as error:
        what = f"{site.name} cannot have {heads} heads instead of {outer.size}"
        raise MutationError(f"{what}: {error}", site=site.name) from error
    edit.replace_root(model.root, "set_heads", site.name, f"Set the heads at {site.name} from {outer.size} to {heads}.")
    note_change(edit, found, sizes)


def _atoms(found: Survey, site: Site) -> tuple[Atom, Atom] | None:
    """Return the heads and the channels of each, None if a node does not split channels that can change into them."""
    taken = site.node.args[:1]
    if not isinstance(site.node.type, TensorType) or not taken or not isinstance(taken[0], Value):
        return None
    together = [
        [factor for factor in term if isinstance(factor, Atom) and not factor.pin]
        for axis in _axes(found, site.path, taken[0].name)
        for term in resolve(axis)
    ]
    for outer in map(_atom, _axes(found, site.path, site.node.name)):
        for free in together:
            if outer in free and len(free) == 2:
                return outer, free[1 - free.index(outer)]
    return None


def _axes(found: Survey, path: str, name: str) -> tuple[Axis, ...]:
    """Return the axes of what a node gives in eval mode, none if that is no tensor."""
    for (run, _, training), values in found.runs.items():
        if run == path and not training and name in values:
            return tuple(values[name].axes)
    return ()


def _atom(axis: Axis) -> Atom | None:
    """Return the atom that an axis is, None if it is something else or cannot change."""
    axis = resolve(axis)
    factor = axis[0][0] if len(axis) == 1 and len(axis[0]) == 1 else 1
    return factor if isinstance(factor, Atom) and not factor.pin else None


def _others(found: Survey, outer: Atom, heads: int) -> dict[Atom, int]:
    """Return new sizes of all that stands inside of the heads: values may have other channels than queries."""
    sizes: dict[Atom, int] = {}
    for tensor in found.affected([outer]).states.values():
        for term in [term for axis in tensor.axes for term in resolve(axis) if outer in term]:
            free = [factor for factor in term if isinstance(factor, Atom) and not factor.pin and factor is not outer]
            if len(free) == 1 and outer.size * free[0].size % heads == 0:  # else a width changes, as `_check` finds out
                sizes[free[0]] = outer.size * free[0].size // heads
    return sizes


def _check(found: Survey, outer: Atom, sizes: Mapping[Atom, int]) -> None:
    """Refuse what would change the width of a layer that has more than something for each head, and other groups."""
    for (path, name), tensor in found.affected(sizes).states.items():
        is_layer = "weight" in found.states[path] and len(found.states[path]["weight"].axes) > 1
        for axis in tensor.axes:
            atom = _atom(axis)
            if size_of(axis, sizes) != size_of(axis) and (atom is None or (is_layer and atom is not outer)):
                raise MutationError(f"{path}.{name} would have another width")
    for division in found.divisions:
        if division.groups_of(size_of(division.axis, sizes)) != division.groups:
            raise MutationError(f"{division.why} takes {division.groups} groups")


class _Scales:
    """Writes anew the literals that scale by the size of a head, in the graphs of one definition.

    Only of what is computed from channels of heads: a bias with a number for each head does not depend on their size.
    """

    def __init__(self, found: Survey, path: str, sizes: Mapping[Atom, int], outer: Atom, size: tuple[int, int]) -> None:
        self.path = path
        self.size = size
        self.changed = {name for run, name in found.affected(sizes).values if run[0] == path}
        inside = [atom for atom in sizes if atom is not outer]
        self.inside = {name for run, name in found.affected(inside).values if run[0] == path}

    def definition(self, part: Definition) -> Definition:
        """Return the definition with its scales written anew; itself if there are none."""
        forwards = [
            Forward(self._graph(forward.eval), None if forward.train is None else self._graph(forward.train))
            for forward in part.forwards
        ]
        is_same = all(
            new.eval is old.eval and new.train is old.train for new, old in zip(forwards, part.forwards, strict=True)
        )
        return part if is_same else replace(part, forwards=tuple(forwards))

    def _graph(self, graph: Graph) -> Graph:
        computed = {item.name for item in graph.inputs if item.name in self.changed} | self.inside
        for node in graph.nodes:
            if any(value.name in computed for value in node.inputs):
                computed.add(node.name)
        nodes = tuple(
            self._node(node) if node.name in self.changed and node.name in computed else node for node in graph.nodes
        )
        is_same = all(new is old for new, old in zip(nodes, graph.nodes, strict=True))
        return graph if is_same else replace(graph, nodes=nodes)

    def _node(self, node: Node) -> Node:
        name = node.operation.target.rpartition(":")[2].rpartition(".")[2]
        args, kwargs = node.args, dict(node.kwargs)
        if node.operation.kind in ("function", "method") and name in _PRODUCTS:
            args = tuple(self._again(node, item) for item in args)
        if "scale" in kwargs:
            kwargs["scale"] = self._again(node, kwargs["scale"])
        return (
            node
            if (args, kwargs) == (node.args, dict(node.kwargs))
            else replace(node, args=args, kwargs=FrozenDict(kwargs))
        )

    def _again(self, node: Node, item: Argument) -> Argument:
        if not isinstance(item, (int, float)) or isinstance(item, bool) or item == 1:
            return item
        old, new = self.size
        power = next((power for power in _POWERS if math.isclose(item, old**power, rel_tol=1e-6)), None)
        if power is None or old == 1:
            raise MutationError(
                f"{self.path}:{node.name} scales heads by {item}, which is no known power of their {old} channels"
            )
        return float(new**power)
