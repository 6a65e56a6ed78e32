"""The model: a root definition, how it came to be, and what the trace had to say.

A `Model` is a value. Queries return tuples of `Site`s, which say where in the hierarchy a node stands. Changes go
through `graphnas.ir.rewrite.Rewriter`, which returns another model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from graphnas.errors import MutationError
from graphnas.ir.graph import Graph, Node
from graphnas.ir.keyed import Keyed
from graphnas.ir.literal import FrozenDict, Literal, Value
from graphnas.ir.module import Child, Definition, ModuleSpec

if TYPE_CHECKING:
    from graphnas.ir.report import Report


@dataclass(frozen=True)
class Mutation:
    """One application of a mutator, in strings and literals only.

    Attributes:
        mutator: Name of the class of the mutator.
        label: Label of the mutator.
        sites: Places that it changed, as `path:node` or `path`, in order.
        decisions: What it chose, label to value, in order.
        edits: What was done, one sentence each, in order.
        parent: Fingerprint of the model that it was applied to.
    """

    mutator: str
    label: str
    sites: tuple[str, ...]
    decisions: FrozenDict[Literal]
    edits: tuple[str, ...]
    parent: str


@dataclass(frozen=True, slots=True)
class Site:
    """A node at its place in the hierarchy.

    Attributes:
        path: Path of the definition whose graph holds the node; the empty path is the root.
        node: The node.
        graph: The graph that holds it.
        spec: What a `module` operation calls, None for the other kinds.
    """

    path: str
    node: Node
    graph: Graph
    spec: Child | None = None

    @property
    def name(self) -> str:
        """`path:node`, as histories write it."""
        return f"{self.path}:{self.node.name}"

    @property
    def module_path(self) -> str:
        """Path from the root of the module that the node calls, the empty string if it calls none."""
        if self.node.operation.kind != "module":
            return ""
        return f"{self.path}.{self.node.operation.target}" if self.path else self.node.operation.target

    @property
    def type(self) -> str:
        """What a mutator asks for: the class of a module (`Conv2d`), else the bare name of the operation (`relu`)."""
        if isinstance(self.spec, ModuleSpec):
            return self.spec.type
        if isinstance(self.spec, Definition):
            return self.spec.class_name
        return self.node.operation.target.rpartition(":")[2]

    @property
    def label(self) -> str:
        """The label of the node or of the module that it calls."""
        return self.node.label or (self.spec.label if isinstance(self.spec, ModuleSpec) else "")

    @property
    def uses(self) -> tuple[Node, ...]:
        """The nodes that take the value, in the order of execution."""
        return self.graph.uses(Value(self.node.name))


@dataclass(frozen=True, eq=False)
class Model(Keyed):
    """A traced model as an immutable value: equal means equal by `key`.

    Attributes:
        root: The definition of the model itself.
        history: Mutations since the trace, oldest first; not part of equality.
        report: What the trace had to say, None for a model that was read from a file; not part of equality.
    """

    root: Definition
    history: tuple[Mutation, ...] = field(default=(), compare=False)
    report: Report | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """Name of the class of the model, and of the class that is generated for it."""
        return self.root.class_name

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what is computed: names and the order of attributes do not count. 32 hexadecimal digits."""
        from graphnas.ir.fingerprint import fingerprint  # a property cannot be given what lies above it

        return fingerprint(self.root)

    def __getitem__(self, path: str) -> Child:
        """Return the leaf or definition at a dotted path.

        Raises:
            MutationError: Nothing stands there; the message lists what does.
        """
        return lookup(self.root, path)

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        """Every node of every graph, in the order of execution of the eval mode; the train graphs' own follow."""
        return tuple(_sites(self.root, ""))

    def find(
        self,
        *,
        type: str | None = None,
        label: str | None = None,
        path: str | None = None,
        where: Callable[[Site], bool] | None = None,
    ) -> tuple[Site, ...]:
        """Return the sites that meet every condition, in the order of execution.

        Args:
            type: Class of the module, or bare name of the operation.
            label: Label of the node or of its module.
            path: Path of the definition that holds the node, or one above it.
            where: Any further condition.
        """
        return find_sites(self.sites, type=type, label=label, path=path, where=where)

    def __str__(self) -> str:
        from graphnas.ir.text import format_model  # the printer stands above the types that it prints

        return format_model(self)


def find_sites(
    sites: tuple[Site, ...],
    *,
    type: str | None = None,
    label: str | None = None,
    path: str | None = None,
    where: Callable[[Site], bool] | None = None,
) -> tuple[Site, ...]:
    """Return those of `sites` that meet every condition; see `Model.find`."""
    return tuple(
        site
        for site in sites
        if (type is None or site.type == type)
        and (label is None or site.label == label)
        and (path is None or site.path == path or site.path.startswith(f"{path}.") or path == "")
        and (where is None or where(site))
    )


def lookup(root: Definition, path: str) -> Child:
    """Return what stands at `path`.

    Raises:
        MutationError: Nothing stands there; the message lists the names that do.
    """
    try:
        return root.child(path)
    except KeyError:
        known = path
        while known:
            known = known.rpartition(".")[0]
            try:
                parent = root.child(known)
            except KeyError:
                continue
            break
        else:
            parent = root
        names = ", ".join(parent.children) if isinstance(parent, Definition) else "nothing, it is a leaf"
        where = f"{known!r}" if known else "the root"
        message = f"{root.class_name} has no module at {path!r}; below {where} stand: {names}"
        raise MutationError(message, site=path) from None


def _sites(definition: Definition, path: str) -> Iterator[Site]:
    seen: set[str] = set()
    for graph in definition.graphs:
        for node in graph.nodes:
            spec = None
            if node.operation.kind == "module":
                target = node.operation.target
                spec = definition.child(target)
                if isinstance(spec, Definition) and target not in seen:
                    seen.add(target)
                    yield Site(path, node, graph, spec)
                    yield from _sites(spec, f"{path}.{target}" if path else target)
                    continue
            yield Site(path, node, graph, spec)
