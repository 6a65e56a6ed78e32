"""An open edit as a transaction: its state, how nodes are found in it again, and how a change is committed.

What belongs here: what every edit needs, whatever it does. What does not: the verbs (`graphnas.ir.rewrite`) and the
steps that they are made of (`graphnas.ir.edits`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, Unpack

from graphnas.errors import MutationError
from graphnas.ir.edits import ancestors, drop_dangling, named, references, replace_at, twins
from graphnas.ir.graph import Graph, Node
from graphnas.ir.literal import Argument, FrozenDict, Literal, Value, freeze
from graphnas.ir.model import Model
from graphnas.ir.module import Child, Definition, Forward, join
from graphnas.ir.resolve import format_spec
from graphnas.ir.sites import Conditions, Site, find_sites, lookup

Place: TypeAlias = Site | str
"""A node: a site of the model or of the edit, or its name `path:node`."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change, as listeners hear of it: its kind is the name of the method, `site` is `path:node` or a path."""

    kind: str
    site: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a graph stands: the forward and the mode of the definition at a path."""

    path: str
    forward: int
    train: bool


@dataclass(frozen=True, slots=True)
class Spot:
    """A node that was found again: the definition that holds it now, and the graphs that an edit of it is about."""

    definition: Definition
    slots: tuple[Slot, ...]
    node: Node

    @property
    def name(self) -> str:
        return f"{self.slots[0].path}:{self.node.name}"


class Transaction:
    """The state of an open edit, and the queries on it.

    Attributes:
        base: The model that the edit was opened on; it never changes.
        result: The model that the edit was frozen into, None as long as it has changes that were not.
    """

    def __init__(self, model: Model) -> None:
        self.base = model
        self.result: Model | None = None
        self._current = Model(model.root)
        self._edits: list[Edit] = []
        self._listeners: list[Callable[[Edit], None]] = []
        self._weights: dict[str, tuple[Literal, ...]] = {}
        self._past: dict[Slot, list[Graph]] = {}
        self._closed = False

    # Queries: the state of the edit as it is now.

    def __getitem__(self, path: str) -> Child:
        """Return the leaf or definition at a path; see `Model.__getitem__`."""
        return self._current[path]

    @property
    def sites(self) -> tuple[Site, ...]:
        """Every node of every graph; see `Model.sites`."""
        return self._current.sites

    @property
    def root(self) -> Definition:
        """The root as it is now."""
        return self._current.root

    def find(self, **conditions: Unpack[Conditions]) -> tuple[Site, ...]:
        """Return the sites that meet every condition; see `Model.find`."""
        return find_sites(self.sites, conditions)

    @property
    def edits(self) -> tuple[str, ...]:
        """What was done so far, one sentence each."""
        return tuple(edit.sentence for edit in self._edits)

    @property
    def touched(self) -> tuple[str, ...]:
        """Places that were changed, `path:node` or a path, each once, in order."""
        return tuple(dict.fromkeys(edit.site for edit in self._edits))

    @property
    def created(self) -> tuple[str, ...]:
        """Nodes and modules at the touched places that the model which was opened does not have, in order.

        Of modules below each other the topmost is named.
        """
        found: dict[str, None] = {}
        for place in self.touched:
            path, colon, name = place.rpartition(":")
            if not _stands_at(self.root, place):
                continue
            if not _stands_at(self.base.root, place):
                found[place] = None
            called = _called(self.root, path, name) if colon else place
            if called:
                found.update(dict.fromkeys(_new_modules(self.base.root, self.root, called)))
        return tuple(found)

    @property
    def weights(self) -> FrozenDict[Literal]:
        """How parameters and buffers come from those of the model that was opened, as noted so far."""
        return FrozenDict(self._weights)

    def note_weights(self, steps: Mapping[str, Sequence[Literal]]) -> None:
        """Note where parameters and buffers come from, where names and shapes will not tell.

        Args:
            steps: By name in the `state_dict`, in the form of `graphnas.mutators.inherit`; they follow earlier ones.
        """
        self._check_open()
        for name, more in steps.items():
            self._weights[name] = (*self._weights.get(name, ()), *map(freeze, more))

    def subscribe(self, callback: Callable[[Edit], None]) -> None:
        """Call `callback` after each change from now on."""
        self._listeners.append(callback)

    # How a node is found again.

    def definition(self, path: str) -> Definition:
        found = lookup(self.root, path)
        if not isinstance(found, Definition):
            raise MutationError(f"{path!r} is the leaf {format_spec(found)}, which holds no modules", site=path)
        return found

    def _locate(self, place: Place) -> Spot:
        """Find a node again, in the graph that its site was taken from."""
        path, _, name = place.rpartition(":") if isinstance(place, str) else (place.path, "", place.node.name)
        stale = f"no node {path}:{name} is left; take sites from the edit after each change"
        try:
            definition = self.definition(path)
        except MutationError as error:
            raise MutationError(f"{stale} ({error})", site=f"{path}:{name}") from None
        slots = [
            Slot(path, number, train)
            for number, forward in enumerate(definition.forwards)
            for train in ((False, True) if forward.train is not None else (False,))
        ]
        holding = [slot for slot in slots if name in graph_in(definition, slot)._by_name]
        if isinstance(place, Site):
            known = [slot for slot in slots if self._was(slot, graph_in(definition, slot), place.graph)]
            holding = [slot for slot in known if slot in holding] if known else holding
        if not holding:
            raise MutationError(stale, site=f"{path}:{name}")
        slot = holding[0]
        node = graph_in(definition, slot)[name]
        twin = replace(slot, train=True)
        if twin in slots and not slot.train:
            other = graph_in(definition, twin)._by_name.get(name)
            if other is not None and (other.operation, other.args, other.kwargs) == (
                node.operation,
                node.args,
                node.kwargs,
            ):
                return Spot(definition, (slot, twin), node)
        return Spot(definition, (slot,), node)

    def _was(self, slot: Slot, now: Graph, graph: Graph) -> bool:
        return now is graph or any(old is graph for old in self._past.get(slot, ())) or now == graph

    def _site(self, slot: Slot, name: str) -> Site:
        definition = self.definition(slot.path)
        graph = graph_in(definition, slot)
        node = graph[name]
        spec = definition.child(node.operation.target) if node.operation.kind == "module" else None
        return Site(slot.path, node, graph, spec)

    def _value(self, what: Place | Value, spot: Spot) -> Value:
        if isinstance(what, Value):
            value = what
        else:
            other = self._locate(what)
            if other.slots[0].path != spot.slots[0].path:
                raise MutationError(f"{other.name} is a value of another graph than {spot.name}", site=spot.name)
            value = other.node.value
        if value.name not in graph_in(spot.definition, spot.slots[0]):
            raise MutationError(f"the graph of {spot.name} has no value {value}", site=spot.name)
        return value

    def _argument(self, item: object, spot: Spot) -> Argument:
        if isinstance(item, Site):
            return self._value(item, spot)
        if isinstance(item, (list, tuple)) and not hasattr(item, "_fields"):
            return freeze(type(item)(self._argument(part, spot) for part in item))
        try:
            return freeze(item)
        except TypeError as error:
            raise MutationError(f"{spot.name}: {error}", site=spot.name) from None

    # How a change is committed.

    def _commit(
        self,
        path: str,
        definition: Definition,
        kind: str,
        site: str,
        sentence: str,
        slots: Sequence[Slot] = (),
        gone: str = "",
        changed: str = "",
    ) -> None:
        """Make `definition` the one at `path`.

        Args:
            path: Where.
            definition: What.
            kind: Name of the edit.
            site: What it was about.
            sentence: What was done.
            slots: The graphs that changed.
            gone: A module below it that goes if nothing uses it.
            changed: A module below it that is another one now, which may lack what the old one had.
        """
        self._check_open()
        places = twins(self.root, path) if path else (path,)
        root = self.root
        for place in places:
            root = replace_at(root, place, definition)
        texts = [sentence]
        if changed:
            root, notes = without_dangling(root, twins(root, join(path, changed)))
            texts += notes
        module = join(path, gone) if gone else ""
        if module and not module_users(root, module) and len(twins(root, module)) == len(places):
            root, notes = with_modules(root, module, None)
            texts += [f"Removed {module}, which nothing uses any more.", *notes]
        for slot in slots:
            for place in places:
                self._past.setdefault(replace(slot, path=place), []).append(
                    graph_in(lookup_definition(self.root, place), slot)
                )
        self._record(root, [Edit(kind, site, text) for text in texts])

    def _record(self, root: Definition, edits: list[Edit]) -> None:
        self._current = Model(root)
        self.result = None
        self._edits += edits
        for edit in edits:
            for listener in self._listeners:
                listener(edit)

    def _check_open(self) -> None:
        if self._closed:
            raise MutationError("this edit is closed; open another Rewriter on its result")


def _stands_at(root: Definition, place: str) -> bool:
    """Tell whether a place of an edit, `path:node` or a path, stands in a model."""
    path, colon, name = place.rpartition(":")
    try:
        part = root.child(path if colon else place)
    except KeyError:
        return False
    return not colon or (isinstance(part, Definition) and any(name in graph._by_name for graph in part.graphs))


def _called(root: Definition, path: str, name: str) -> str:
    """Return the path of the module that a node calls, the empty string if it calls none."""
    for graph in lookup_definition(root, path).graphs:
        node = graph._by_name.get(name)
        if node is not None and node.operation.kind == "module":
            return join(path, node.operation.target)
    return ""


def _new_modules(base: Definition, root: Definition, path: str) -> Iterator[str]:
    """Yield the topmost modules at and below a path that the base has not, or has as another kind of module."""
    new = root.child(path)
    try:
        old = base.child(path)
    except KeyError:
        yield path
        return
    if new is old:
        return
    if isinstance(new, Definition) and isinstance(old, Definition) and new.class_name == old.class_name:
        for name in new.children:
            yield from _new_modules(base, root, join(path, name))
    elif isinstance(new, Definition) or isinstance(old, Definition):
        yield path


def lookup_definition(root: Definition, path: str) -> Definition:
    """Return the definition at a path that is known to lead to one."""
    found = lookup(root, path)
    assert isinstance(found, Definition), "the caller edits a graph of it"
    return found


def graph_in(definition: Definition, slot: Slot) -> Graph:
    """Return the graph that stands in a slot of its definition."""
    forward = definition.forwards[slot.forward]
    return forward.train if slot.train and forward.train is not None else forward.eval


def with_graph(definition: Definition, slot: Slot, graph: Graph) -> Definition:
    """Return a definition with another graph in a slot."""
    forwards = list(definition.forwards)
    old = forwards[slot.forward]
    forwards[slot.forward] = Forward(old.eval, graph) if slot.train else Forward(graph, old.train)
    return replace(definition, forwards=tuple(forwards))


def with_modules(root: Definition, path: str, module: Child | None) -> tuple[Definition, list[str]]:
    """Put a module, or nothing, at a path and at its twins; drop what refers to what is gone, with one note each."""
    places = twins(root, path)
    for place in places:
        above, _, name = place.rpartition(".")
        if module is not None:
            root = root.with_child(place, module)
        elif name in lookup_definition(root, above).children:
            root = _as_dict(root.with_child(place, None), above)
    return without_dangling(root, places)


def _as_dict(root: Definition, path: str) -> Definition:
    """Turn a list with a gap into a dict: a list would number its children anew, and they keep their names."""
    container = lookup_definition(root, path)
    if container.kind != "list" or all(name == str(index) for index, name in enumerate(container.children)):
        return root
    return replace_at(root, path, replace(container, kind="dict"))


def without_dangling(root: Definition, places: Sequence[str]) -> tuple[Definition, list[str]]:
    """Drop what refers to something that no longer stands at or below one of `places`, with one note each."""
    notes: list[str] = []
    for place in places:
        for above, definition in tuple(ancestors(root, place)):
            kept, dropped = drop_dangling(definition, place[len(above) + 1 :] if above else place)
            if kept is not definition:
                root = replace_at(root, above, kept)
                notes += dropped
    return root, notes


def module_users(root: Definition, path: str) -> tuple[str, ...]:
    """Return the nodes, as `path:node`, that call the module at a path, something below it, or read its parameters."""
    found: list[str] = []
    for above, definition in ancestors(root, path):
        found += [f"{above}:{name}" for name in references(definition, path[len(above) + 1 :] if above else path)]
    return tuple(dict.fromkeys(found))


def computed(spot: Spot) -> str:
    """Return what a node computes, for sentences."""
    operation = spot.node.operation
    return named(spot.definition.child(operation.target)) if operation.kind == "module" else str(operation)
