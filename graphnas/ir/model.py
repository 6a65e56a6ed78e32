"""The model: a root definition, how it came to be, and what the trace had to say.

A `Model` is a value. Queries return tuples of `Site`s (`graphnas.ir.sites`), which say where in the hierarchy a node
stands. Changes go through `graphnas.ir.rewrite.Rewriter`, which returns another model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

from graphnas.errors import MutationError
from graphnas.ir.keyed import Keyed
from graphnas.ir.literal import FrozenDict, Literal
from graphnas.ir.module import Child, Definition
from graphnas.ir.sites import Conditions, Site, find_sites, group_sites, lookup, sites_of

if TYPE_CHECKING:
    import networkx as nx

    from graphnas.ir.flow import Flow
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
        created: Nodes and modules at the sites that were not there before, in order.
        weights: How parameters and buffers come from those of the parent, by name in the `state_dict`, where names and
            shapes do not tell; see `graphnas.mutators.inherit`.
    """

    mutator: str
    label: str
    sites: tuple[str, ...]
    decisions: FrozenDict[Literal]
    edits: tuple[str, ...]
    parent: str
    created: tuple[str, ...] = ()
    weights: FrozenDict[Literal] = field(default_factory=FrozenDict)


@dataclass(frozen=True, eq=False)
class Model(Keyed):
    """A traced model as an immutable value: equal means equal by `key`.

    Attributes:
        root: The definition of the model itself.
        history: Mutations since the trace, oldest first; not part of equality.
        report: What the trace had to say, None for a model that was read from a file; not part of equality.
        parent: The model that the last mutation was applied to, which shares with this one what did not change; None
            after a trace, and for a model that was read from a file or sent to another process. Not part of equality.
    """

    root: Definition
    history: tuple[Mutation, ...] = field(default=(), compare=False)
    report: Report | None = field(default=None, compare=False, repr=False)
    parent: Model | None = field(default=None, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: everything but the ancestors."""
        return {**vars(self), "parent": None}

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
        return tuple(sites_of(self.root))

    def __iter__(self) -> Iterator[Site]:
        """Iterate over `sites`."""
        return iter(self.sites)

    def site(self, name: str) -> Site:
        """Return the site of that name, `layer1.0:relu`; of several graphs that have it, the one of the first.

        Raises:
            MutationError: There is none; the message lists the nodes of the definition.
        """
        if name in self._sites_by_name:
            return self._sites_by_name[name]
        path = name.rpartition(":")[0]
        lookup(self.root, path)
        known = ", ".join(dict.fromkeys(site.node.name for site in self.sites if site.path == path))
        where = f"at {path!r}" if path else "of the root"
        raise MutationError(f"{self.name} has no node {name!r}; the graphs {where} have {known or 'none'}", site=name)

    def find(self, **conditions: Unpack[Conditions]) -> tuple[Site, ...]:
        """Return the sites that meet every condition, in the order of execution.

        Args:
            **conditions: See `graphnas.ir.sites.Conditions`: `type`, `operation`, `kind`, `label`, `path`, `module`,
                `where`.
        """
        return find_sites(self.sites, conditions)

    def by_type(self) -> dict[str, tuple[Site, ...]]:
        """Return the sites by their `type`, types in the order of their first appearance."""
        return group_sites(self.sites, lambda site: site.type)

    def by_operation(self) -> dict[str, tuple[Site, ...]]:
        """Return the sites by their `operation`, operations in the order of their first appearance."""
        return group_sites(self.sites, lambda site: site.operation)

    def by_label(self) -> dict[str, tuple[Site, ...]]:
        """Return the sites that have a label by their label, labels in the order of their first appearance."""
        return group_sites(self.sites, lambda site: site.label)

    def to_networkx(self, *, flat: bool = True) -> nx.MultiDiGraph:
        """Return the model as a graph of networkx; see `graphnas.ir.convert.to_networkx`."""
        from graphnas.ir.convert import to_networkx  # views stand above the types that they show

        return to_networkx(self, flat=flat)

    @cached_property
    def flow(self) -> Flow:
        """The flat graph of the model with questions about reach, paths and dominators."""
        from graphnas.ir.flow import Flow

        return Flow(self.to_networkx())

    @cached_property
    def _sites_by_name(self) -> dict[str, Site]:
        return {site.name: site for site in reversed(self.sites)}

    def __str__(self) -> str:
        from graphnas.ir.text import format_model  # the printer stands above the types that it prints

        return format_model(self)
