"""The one editor through which every change of a model goes.

A `Rewriter` is an open edit of a model, a transaction: the model that it was opened on never changes, an operation that
is refused leaves the edit as it was, and `freeze` gives another model or raises. Only definitions on the paths that
were edited are copied, all others are the very same objects in both models.

What does not belong here: what to change (`graphnas.mutators`), and the steps on single graphs (`graphnas.ir.edits`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from graphnas.errors import MutationError
from graphnas.ir.constructor import with_arguments, with_base_arguments
from graphnas.ir.edits import (
    UNTYPED,
    add_child,
    as_chain,
    base_name,
    free_child_name,
    free_name,
    insert,
    listed,
    named,
    position,
    put,
    replace_uses,
    substitute,
    twins,
    typed,
    users,
    without,
)
from graphnas.ir.graph import Graph, Node, Operation
from graphnas.ir.literal import Argument, FrozenDict, Value, freeze
from graphnas.ir.model import Model, Mutation
from graphnas.ir.module import Child, Definition, ModuleSpec, join
from graphnas.ir.resolve import format_spec, path_of
from graphnas.ir.sites import Site, lookup
from graphnas.ir.transaction import (
    Edit,
    Place,
    Slot,
    Spot,
    Transaction,
    computed,
    graph_in,
    module_users,
    with_graph,
    with_modules,
)
from graphnas.ir.verify import verified

__all__ = ["Edit", "Place", "Rewriter"]


class Rewriter(Transaction):
    """An open edit of a model.

    Paths lead from the root. An edit at a path is about that instance alone, even where instances share a definition;
    a module that the user's model shares is one module at two paths, and both change. Edits that name a module affect
    every call of it. Edits of a node affect the graph of its site; if that is an eval graph, and the train graph has a
    node of the same name, operation and arguments, they affect that one likewise.

    Used as a context, a block that ends without an error freezes the edit into `result`::

        with Rewriter(model) as edit:
            edit.update_module("stem", kernel_size=5, padding=2)
        child = edit.result
    """

    def __enter__(self) -> Rewriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self.result is None:
            self.freeze()
        self._closed = True

    # The end of an edit.

    def verify(self) -> None:
        """Check the edit as it stands, and bring the types of its values up to date.

        Raises:
            VerificationError: An invariant is broken; the edit stays open, as it was.
        """
        self._current = verified(self._current)

    def freeze(
        self, *, mutator: str = "Rewriter", label: str = "", decisions: Mapping[str, Any] | None = None
    ) -> Model:
        """Return the edited model, verified, with what was done appended to its history.

        Args:
            mutator: Name of the class that made the edit.
            label: Its label.
            decisions: What it chose, label to value, in order.

        Raises:
            VerificationError: An invariant is broken; the message names the node, what it expected and what it got.
        """
        self._check_open()
        self.verify()
        chosen: FrozenDict[Any] = FrozenDict((name, freeze(value)) for name, value in (decisions or {}).items())
        mutation = Mutation(
            mutator, label, self.touched, chosen, self.edits, self.base.fingerprint, self.created, self.weights
        )
        history = (*self.base.history, mutation)
        self.result = replace(self._current, history=history, report=self.base.report, parent=self.base)
        return self.result

    # Modules.

    def set_module(self, path: str, module: Child) -> None:
        """Put another module in the place of the one at `path`, for every call of it.

        Raises:
            MutationError: Nothing stands at `path`, or it is the root.
        """
        old = lookup(self.root, path)
        if not path:
            raise MutationError("the root of a model cannot be replaced; edit what is below it", site=path)
        self._put_module("set_module", path, module, f"Set {path} to {named(module)}, which was {named(old)}.")

    def update_module(self, path: str, **arguments: object) -> None:
        """Change arguments of a leaf's constructor, by name; those not named stay as they are.

        Of a definition that derives from a class of torch, the arguments of that base are changed. Its forward is a
        graph of its own, so what does not show in a parameter or buffer of the base changes nothing, and is refused.

        Raises:
            MutationError: `path` is no leaf and has no base, its constructor has no such argument (the message lists
                those it has), or the argument of a base changes nothing.
        """
        old = lookup(self.root, path)
        if isinstance(old, ModuleSpec):
            new: Child = with_arguments(old, arguments, path)
            before, after = format_spec(old), format_spec(with_arguments(old, arguments, path))
        elif old.base is not None:
            base = with_base_arguments(old, arguments, path)
            new = replace(old, base=base)
            before, after = f"a {old.class_name} on {format_spec(old.base)}", format_spec(base)
        else:
            raise MutationError(f"{path!r} is {named(old)}, not a leaf; name one of its leaves", site=path)
        self._put_module("update_module", path, new, f"Changed {path} from {before} to {after}.")

    def add_module(self, path: str, module: Child) -> str:
        """Add a module that nothing calls yet, and return its path.

        Raises:
            MutationError: There is no definition above `path`, or the name is taken.
        """
        above, _, name = path.rpartition(".")
        definition = self.definition(above)
        if name in (*definition.children, *definition.parameters, *definition.buffers):
            raise MutationError(f"the name {path!r} is taken by {named(definition.children.get(name))}", site=path)
        self._commit(
            above, add_child(definition, name, module), "add_module", path, f"Added {named(module)} as {path}."
        )
        return path

    def append(self, path: str, module: Child) -> str:
        """Add a module at the end of a list, or of a sequential, which then calls it last; return its path.

        Raises:
            MutationError: What stands at `path` is neither.
        """
        definition = self.definition(path)
        if definition.kind not in ("sequential", "list", "repeat"):
            raise MutationError(f"{path!r} is a {definition.kind}, append takes a list or a sequential", site=path)
        numbered = all(name.isdecimal() for name in definition.children)
        wanted = str(max(map(int, definition.children), default=-1) + 1) if numbered else base_name(module)
        name = free_child_name(definition, wanted)
        changed = add_child(definition, name, module)
        slots = [Slot(path, 0, train) for train in (False, True)][: len(definition.graphs)]
        for slot in slots:
            graph = graph_in(changed, slot)
            if not isinstance(graph.output, Value):
                raise MutationError(f"{path!r} does not return a single value, so nothing follows it", site=path)
            node = self._node(f"_{name}" if numbered else name, Operation("module", name), (graph.output,), {}, slots)
            node = typed(changed, graph, node)
            changed = with_graph(changed, slot, replace(graph, nodes=(*graph.nodes, node), output=node.value))
        where = join(path, name)
        self._commit(path, changed, "append", where, f"Appended {named(module)} as {where}.")
        return where

    def remove_module(self, path: str) -> None:
        """Remove a module that nothing calls, with its ties and its initialisation.

        Raises:
            MutationError: Something calls it or reads its parameters; the message names the nodes.
        """
        old = lookup(self.root, path)
        if not path:
            raise MutationError("the root of a model cannot be removed", site=path)
        names = module_users(self.root, path)
        if names:
            raise MutationError(f"{path!r} is used by {listed(names)}; erase these first", site=path)
        self._put_module("remove_module", path, None, f"Removed {path}, which was {named(old)}.")

    def replace_root(self, root: Definition, kind: str, site: str, sentence: str) -> None:
        """Put another root in the place of the one there is: an edit of many places at once, computed elsewhere.

        Args:
            root: The new root; what did not change should be the very objects of the old one.
            kind: What listeners hear it was, the name of a verb.
            site: The place that the edit is about.
            sentence: What was done.
        """
        self._check_open()
        self._record(root, [Edit(kind, site, sentence)])

    # Nodes.

    def insert_after(
        self,
        site: Place,
        what: Child | Operation,
        *,
        name: str = "",
        args: Sequence[object] | None = None,
        kwargs: Mapping[str, object] | None = None,
        rewire: bool = True,
    ) -> Site:
        """Execute something right after a node, and hand its value to whatever took the node's.

        Args:
            site: The node.
            what: A module to add to the definition and to call, or an operation.
            name: Name of the module and the value; a number is added if it is taken.
            args: Positional arguments, in which sites stand for their values; the node's value by default.
            kwargs: Keyword arguments.
            rewire: Whether the users of the node's value take the new one.

        Raises:
            MutationError: The site is stale, or an argument is no value that is known at this place.
        """
        return self._insert("insert_after", site, what, name, args, kwargs, rewire=rewire)

    def insert_before(
        self,
        site: Place,
        what: Child | Operation,
        *,
        name: str = "",
        args: Sequence[object] | None = None,
        kwargs: Mapping[str, object] | None = None,
        rewire: bool = True,
    ) -> Site:
        """Execute something right before a node, which takes its value instead of its own first input.

        Arguments and errors are those of `insert_after`; `args` is the first input of the node by default.
        """
        return self._insert("insert_before", site, what, name, args, kwargs, rewire=rewire)

    def call_module(
        self,
        path: str,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        *,
        after: Place | None = None,
        before: Place | None = None,
        name: str = "",
    ) -> Site:
        """Call the module at `path`, which stands below the definition of `after` or `before`; nothing is rewired.

        Raises:
            MutationError: Not exactly one of `after` and `before` is given, it is stale, or cannot call the module.
        """
        kind, site = _anchor(after, before)
        above = self._locate(site).slots[0].path
        lookup(self.root, path)
        if above and not path.startswith(f"{above}."):
            raise MutationError(f"{above!r} cannot call {path!r}, which is not below it", site=path)
        operation = Operation("module", path[len(above) + 1 :] if above else path)
        return self._insert(kind, site, operation, name, args, kwargs, rewire=False)

    def call_function(
        self,
        function: str | Callable[..., object],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        *,
        after: Place | None = None,
        before: Place | None = None,
        name: str = "",
    ) -> Site:
        """Call a function, given as such or by its import path; nothing is rewired."""
        kind, site = _anchor(after, before)
        target = function if isinstance(function, str) else path_of(function)
        return self._insert(kind, site, Operation("function", target), name, args, kwargs, rewire=False)

    def call_method(
        self,
        method: str,
        args: Sequence[object],
        kwargs: Mapping[str, object] | None = None,
        *,
        after: Place | None = None,
        before: Place | None = None,
        name: str = "",
    ) -> Site:
        """Call a method of `args[0]`; nothing is rewired."""
        kind, site = _anchor(after, before)
        return self._insert(kind, site, Operation("method", method), name, args, kwargs, rewire=False)

    def replace_all_uses_with(self, old: Place, new: Place | Value) -> None:
        """Let every user of `old`'s value, `new` itself left out, take `new`'s instead.

        Raises:
            MutationError: A site is stale, or `new` is not known where `old` is first used.
        """
        spot, value = self._locate(old), self._value(new, self._locate(old))
        changed = spot.definition
        for slot in spot.slots:
            graph = graph_in(changed, slot)
            for index, node in enumerate(graph.nodes):
                if node.name != value.name and spot.node.value in node.inputs:
                    self._check_known(graph, (value,), index, f"{slot.path}:{node.name}")
            changed = with_graph(changed, slot, replace_uses(graph, spot.node.name, value.name, spare=value.name))
        sentence = f"Replaced every use of {spot.name} by {value}."
        self._commit(spot.slots[0].path, changed, "replace_all_uses_with", spot.name, sentence, spot.slots)

    def replace_input(self, site: Place, old: Place | Value, new: Place | Value) -> Site:
        """Let one node take `new` where it took `old`.

        Raises:
            MutationError: The site is stale, does not take `old`, or `new` is not known there.
        """
        spot = self._locate(site)
        before, after = self._value(old, spot), self._value(new, spot)
        if before not in spot.node.inputs:
            taken = listed(str(value) for value in spot.node.inputs)
            raise MutationError(f"{spot.name} does not take {before}; it takes {taken}", site=spot.name)
        sentence = f"Let {spot.name} take {after} instead of {before}."
        node = substitute(spot.node, before.name, after.name)
        return self._put_node("replace_input", spot, spot.definition, node, sentence)

    def replace_operation(
        self,
        site: Place,
        what: Child | Operation,
        args: Sequence[object] | None = None,
        kwargs: Mapping[str, object] | None = None,
    ) -> Site:
        """Let a node compute something else under its name; a module that nothing else uses goes.

        Args:
            site: The node.
            what: An operation, or a module: it takes the place of the old one, or is added if that is used elsewhere.
            args: Positional arguments; by default those that the node has.
            kwargs: Keyword arguments; by default those that the node has.

        Raises:
            MutationError: The site is stale, or an argument is no value that is known at this place.
        """
        spot = self._locate(site)
        definition = spot.definition
        old = spot.node.operation
        operation = what if isinstance(what, Operation) else None
        if operation is None:
            assert not isinstance(what, Operation), "told apart above"
            shared = old.kind != "module" or self._is_used_elsewhere(spot)
            name = free_child_name(definition, base_name(what)) if shared else old.target
            definition = add_child(definition, name, what) if shared else definition.with_child(name, what)
            operation = Operation("module", name)
        given = spot.node.args if args is None else tuple(self._argument(item, spot) for item in args)
        keywords = (
            spot.node.kwargs
            if kwargs is None
            else FrozenDict((key, self._argument(item, spot)) for key, item in kwargs.items())
        )
        node = replace(spot.node, operation=operation, args=given, kwargs=keywords)
        sentence = f"Let {spot.name} compute {named(what)} instead of {computed(spot)}."
        stays = old.kind == operation.kind == "module" and operation.target == old.target
        gone = old.target if old.kind == "module" and not stays else ""
        changed = old.target if stays else ""
        return self._put_node("replace_operation", spot, definition, node, sentence, gone, changed)

    def erase(self, site: Place, *, keep_module: bool = False) -> None:
        """Erase a node whose value nobody takes, and the module that it calls if nothing else uses that.

        Raises:
            MutationError: The site is stale, or its value is used; the message names the users.
        """
        spot = self._locate(site)
        changed = spot.definition
        for slot in spot.slots:
            graph = graph_in(changed, slot)
            names = users(graph, spot.node.name)
            if names:
                hint = "replace_all_uses_with another value first"
                raise MutationError(f"{spot.name} is used by {listed(names)}; {hint}", site=spot.name)
            changed = with_graph(changed, slot, without(graph, spot.node.name))
        operation = spot.node.operation
        gone = operation.target if operation.kind == "module" and not keep_module else ""
        sentence = f"Erased {spot.name}, which computed {computed(spot)}."
        self._commit(spot.slots[0].path, changed, "erase", spot.name, sentence, spot.slots, gone)

    # How an edit is made.

    def _insert(
        self,
        kind: str,
        site: Place,
        what: Child | Operation,
        name: str,
        args: Sequence[object] | None,
        kwargs: Mapping[str, object] | None,
        *,
        rewire: bool,
    ) -> Site:
        spot = self._locate(site)
        after = kind == "insert_after"
        operand = spot.node.value if after else next(iter(spot.node.inputs), None)
        given = [operand] if args is None and operand is not None else args
        if given is None or (rewire and operand is None):
            raise MutationError(f"{spot.name} takes no value; give args, and rewire=False", site=spot.name)
        if name and not name.isidentifier():
            raise MutationError(f"{name!r} is no identifier, so nothing can have this name", site=spot.name)
        changed = spot.definition
        wanted = name or base_name(what)
        if isinstance(what, Operation):
            operation = what
        else:
            child = free_child_name(changed, wanted)
            neighbour = spot.node.operation.target if spot.node.operation.kind == "module" else ""
            changed = add_child(changed, child, what, neighbour=neighbour, after=after)
            operation, wanted = Operation("module", child), child
        frozen = [self._argument(item, spot) for item in given]
        keywords = {key: self._argument(item, spot) for key, item in (kwargs or {}).items()}
        node = self._node(wanted, operation, frozen, keywords, spot.slots)
        for slot in spot.slots:
            graph = graph_in(changed, slot)
            index = position(graph, spot.node.name) + after
            self._check_known(graph, node.inputs, index, f"{slot.path}:{node.name}")
            node = typed(changed, graph, node)
            if rewire and operand is not None and after:
                graph = replace_uses(graph, operand.name, node.name)
            elif rewire and operand is not None:
                graph = put(graph, substitute(graph[spot.node.name], operand.name, node.name))
            changed = with_graph(changed, slot, insert(graph, node, index))
        where = f"{spot.slots[0].path}:{node.name}"
        sentence = f"Inserted {named(what)} as {where} {'after' if after else 'before'} {spot.name}."
        self._commit(spot.slots[0].path, as_chain(changed), kind, where, sentence, spot.slots)
        return self._site(spot.slots[0], node.name)

    def _put_node(
        self,
        kind: str,
        spot: Spot,
        definition: Definition,
        node: Node,
        sentence: str,
        gone: str = "",
        changed: str = "",
    ) -> Site:
        for slot in spot.slots:
            graph = graph_in(definition, slot)
            self._check_known(graph, node.inputs, position(graph, node.name), spot.name)
            definition = with_graph(definition, slot, put(graph, typed(definition, graph, node)))
        self._commit(spot.slots[0].path, as_chain(definition), kind, spot.name, sentence, spot.slots, gone, changed)
        return self._site(spot.slots[0], node.name)

    def _put_module(self, kind: str, path: str, module: Child | None, sentence: str) -> None:
        """Put a module, or nothing, at a path and wherever the same module stands; drop what refers to the old one."""
        self._check_open()
        root, notes = with_modules(self.root, path, module)
        self._record(root, [Edit(kind, path, text) for text in (sentence, *notes)])

    def _node(
        self,
        wanted: str,
        operation: Operation,
        args: Sequence[Argument],
        kwargs: Mapping[str, Argument],
        slots: Sequence[Slot],
    ) -> Node:
        """Return a node under a name that none of its graphs has, or had: a stale site must not find it."""
        definition = self.definition(slots[0].path) if slots else self.root
        graphs = [graph for slot in slots for graph in (graph_in(definition, slot), *self._past.get(slot, ()))]
        name = free_name(wanted, lambda name: any(name in graph for graph in graphs))
        return Node(name, operation, tuple(args), FrozenDict(kwargs), UNTYPED)

    def _check_known(self, graph: Graph, values: Sequence[Value], index: int, site: str) -> None:
        before = {item.name for item in graph.inputs} | {node.name for node in graph.nodes[:index]}
        for value in values:
            if value.name not in before:
                raise MutationError(f"{site} cannot take {value}, which is not computed before it", site=site)

    def _is_used_elsewhere(self, spot: Spot) -> bool:
        path = join(spot.slots[0].path, spot.node.operation.target)
        users_of = [name for name in module_users(self.root, path) if name != spot.name]
        return bool(users_of) or len(twins(self.root, path)) > len(twins(self.root, spot.slots[0].path))


def _anchor(after: Place | None, before: Place | None) -> tuple[str, Place]:
    if after is not None and before is None:
        return "insert_after", after
    if before is not None and after is None:
        return "insert_before", before
    raise MutationError("give exactly one of after= and before=")
