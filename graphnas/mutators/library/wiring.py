"""Connections: skip connections that come and go, and nodes that take another value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from graphnas.errors import ConfigError
from graphnas.ir.effects import is_droppable
from graphnas.ir.graph import Graph, Node, Operation
from graphnas.ir.infer import same_type
from graphnas.ir.literal import Value
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.sites import Site
from graphnas.ir.types import TensorType, Type
from graphnas.mutators.canonical import canonical
from graphnas.mutators.in_place import overwrites, protect
from graphnas.mutators.library.modules import Where
from graphnas.mutators.sited import SiteMutator, Sites, own_sites

_ADD = "operator:add"


class AddSkip(SiteMutator[Site]):
    """Adds an earlier value of the same type to the result of a module; the choice is `source`.

    Args:
        farthest: How many calls of modules may at most lie between the two.
        sites: How the places are decided, see `SiteMutator`.
        where: Which sites count, the ones behind which is added; by default every call of a module.
        label: Name of the mutator.

    Raises:
        ConfigError: `farthest` is below 1.
    """

    def __init__(
        self, farthest: int = 8, *, sites: Sites = "one", where: Where | None = None, label: str | None = None
    ) -> None:
        super().__init__(sites=sites, where=where, label=label)
        if farthest < 1:
            raise ConfigError(f"farthest: expected a number from 1, got {farthest}", field="farthest")
        self.farthest = farthest

    def find(self, model: Rewriter) -> Iterable[Site]:
        for site in own_sites(model):
            if (site.spec is not None or self.where is not None) and any(self._sources(model, site)):
                yield site

    def edit(self, model: Rewriter, place: Site) -> None:
        source = self.choice(tuple(self._sources(model, place)), "source")
        model.insert_after(place, Operation("function", _ADD), name="skip", args=[place, Value(source)])

    def wanted(self) -> str:
        return "a module whose result has the type of an earlier value that it comes of"

    def _sources(self, model: Rewriter, site: Site) -> Iterator[str]:
        """Yield the values of its type that the result comes of, the last one first."""
        between = 0
        known = _ancestors(site.graph, site.node)
        # What stands in an addition with the result already is a skip connection.
        added = {
            value.name for user in site.uses if _is_addition(user) for value in user.inputs if value != site.node.value
        }
        for name, type, calls in _values_before(model, site):
            is_free = name in known and name not in added
            if is_free and _is_floating(type) and same_type(type, site.node.type):
                yield name
            between += calls
            if between > self.farthest:
                return


class RemoveSkip(SiteMutator[Site]):
    """Removes skip connections: of a sum of a value and of something that comes of it, the latter stays.

    Args:
        sites: How the places are decided, see `SiteMutator`.
        where: Which sites count, the additions.
        label: Name of the mutator.
    """

    def find(self, model: Rewriter) -> Iterable[Site]:
        return (site for site in own_sites(model) if branch_of(site.graph, site.node) is not None)

    def edit(self, model: Rewriter, place: Site) -> None:
        branch = branch_of(place.graph, place.node)
        assert branch is not None, "found as a skip connection"
        skip = next(value for value in place.node.inputs if value != branch)
        model.replace_all_uses_with(place, branch)
        model.erase(place.name)
        protect(model, place.path, branch)
        _drop_unused(model, place, skip.name)

    def wanted(self) -> str:
        return "a sum of a value and of something that comes of it"


class RewireInput(SiteMutator[Site]):
    """Lets a node take another value of the same type; the choices are `input`, where it takes several, and `source`.

    Args:
        sites: How the places are decided, see `SiteMutator`.
        where: Which sites count; by default calls of modules, additions and concatenations.
        label: Name of the mutator.
    """

    def find(self, model: Rewriter) -> Iterable[Site]:
        for site in own_sites(model):
            usual = site.spec is not None or _is_addition(site.node) or site.operation in ("torch:cat", "torch:concat")
            if (usual or self.where is not None) and _rewirable(model, site):
                yield site

    def edit(self, model: Rewriter, place: Site) -> None:
        inputs = _rewirable(model, place)
        names = tuple(inputs)
        old = names[0] if len(names) == 1 else self.choice(names, "input")
        new = self.choice(inputs[old], "source")
        model.replace_input(place, Value(old), Value(new))
        protect(model, place.path, Value(new))
        _drop_unused(model, place, old)

    def wanted(self) -> str:
        return "a node that could take another value of the same type"


def _rewirable(model: Rewriter, site: Site) -> dict[str, tuple[str, ...]]:
    """Return, for each input of a node, the other values of its type that are known there."""
    found: dict[str, tuple[str, ...]] = {}
    before = [(name, type) for name, type, _ in _values_before(model, site)]
    for value in dict.fromkeys(site.node.inputs):
        wanted = site.graph.type_of(value)
        if isinstance(wanted, TensorType):
            others = tuple(name for name, type in before if name != value.name and same_type(type, wanted))
            if others:
                found[value.name] = others
    return found


def _drop_unused(model: Rewriter, place: Site, name: str) -> None:
    """Erase what computed a value that nobody takes any more, and what only that took."""
    waiting = [name]
    while waiting:
        name = waiting.pop()
        here = next((s for s in model.sites if s.path == place.path and s.node.name == name), None)
        if here is None or here.uses or Value(name) in here.graph.output_values:
            continue
        if here.spec is None and not is_droppable(here.node):
            continue
        if any(guard.value == name for guard in here.graph.guards):
            continue
        model.erase(here.name)
        waiting += [value.name for value in dict.fromkeys(here.node.inputs)]


def _values_before(model: Rewriter, site: Site) -> list[tuple[str, Type, bool]]:
    """Return name and type of the values known before a node, and whether a module computed them; the last first.

    What some operation overwrites in place is left out: another user would get in the way of its gradients.
    """
    graph, definition = site.graph, model.definition(site.path)
    found: list[tuple[str, Type, bool]] = [(item.name, item.type, False) for item in graph.inputs]
    for node in graph.nodes:
        if node.name == site.node.name:
            break
        found.append((node.name, node.type, node.operation.kind == "module"))
    gone = {value.name for node in graph.nodes for value in node.inputs if overwrites(definition, node, value)}
    return [item for item in found[::-1] if item[0] not in gone]


def _is_floating(type: Type) -> bool:
    return isinstance(type, TensorType) and type.dtype.is_floating_point


def _ancestors(graph: Graph, node: Node) -> set[str]:
    """Return the names of all that a node's value comes of."""
    found: set[str] = set()
    waiting = [value.name for value in node.inputs]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            producer = graph.producer(Value(name))
            waiting += [] if producer is None else [value.name for value in producer.inputs]
    return found


def _is_addition(node: Node) -> bool:
    return (
        node.operation.kind == "function"
        and canonical(node.operation, None, node.args, node.kwargs)[0] == _ADD
        and len(node.args) == 2
        and all(isinstance(item, Value) for item in node.args)
    )


def branch_of(graph: Graph, node: Node) -> Value | None:
    """Return, of a skip connection, the operand that comes of the other one; None for any other node."""
    if not _is_addition(node) or not isinstance(node.type, TensorType):
        return None
    left, right = node.args
    for branch, skip in ((left, right), (right, left)):
        producer = graph.producer(branch)
        if (
            producer is not None
            and same_type(producer.type, node.type)
            and (skip.name in _ancestors(graph, producer) or _meet(graph, producer, skip))
        ):
            return branch  # type: ignore[no-any-return]  # arguments are not typed
    return None


def _meet(graph: Graph, producer: Node, skip: Value) -> bool:
    """Tell whether the other operand is a projection of something that the branch comes of, with a shorter way."""
    other = graph.producer(skip)
    if other is None or other.operation.kind != "module":
        return False
    mine, theirs = _ancestors(graph, producer), _ancestors(graph, other)
    return bool(theirs) and theirs <= mine and len(theirs) < len(mine)
