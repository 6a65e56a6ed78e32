"""Questions about the flow of values through a model: what comes before what, by which paths, and past which nodes.

The algorithms are those of networkx. What this adds is order: networkx answers in sets, this in the order of execution.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TypeAlias

import networkx as nx

from graphnas.errors import MutationError
from graphnas.ir.sites import Site

Name: TypeAlias = str | Site
"""A node of the flat graph: its name, or the site of its first call."""

_OUTPUT = ":output"


class Flow:
    """A flat graph and questions about it; nodes are named as in `graph`, `layer1.0:conv1`.

    Every answer is a tuple of names in the order of execution. A name that is not in the graph is refused.

    Attributes:
        graph: The graph, as `to_networkx` made it.
    """

    def __init__(self, graph: nx.MultiDiGraph) -> None:
        self.graph = graph

    def __iter__(self) -> Iterator[str]:
        """Iterate over all names in the order of execution, which is a topological order."""
        return iter(self.graph)

    def __len__(self) -> int:
        return len(self.graph)

    def __contains__(self, name: object) -> bool:
        return (name.name if isinstance(name, Site) else name) in self.graph

    def site(self, name: Name) -> Site | None:
        """Return the site behind a name, None for an input and for the output."""
        found: Site | None = self.graph.nodes[self._known(name)]["site"]
        return found

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs of the model."""
        return tuple(name for name, kind in self.graph.nodes(data="kind") if kind == "input")

    def predecessors(self, name: Name) -> tuple[str, ...]:
        """Return the nodes whose values a node takes, each once."""
        return self._in_order(self.graph.predecessors(self._known(name)))

    def successors(self, name: Name) -> tuple[str, ...]:
        """Return the nodes that take the value of a node, each once."""
        return self._in_order(self.graph.successors(self._known(name)))

    def before(self, name: Name) -> tuple[str, ...]:
        """Return all that a node depends on."""
        return self._in_order(nx.ancestors(self.graph, self._known(name)))

    def after(self, name: Name) -> tuple[str, ...]:
        """Return all that depends on a node."""
        return self._in_order(nx.descendants(self.graph, self._known(name)))

    def between(self, start: Name, end: Name) -> tuple[str, ...]:
        """Return all nodes on paths from `start` to `end`, both included; nothing if there is no path."""
        start, end = self._known(start), self._known(end)
        after = {start, *nx.descendants(self.graph, start)}
        return self._in_order(after & {end, *nx.ancestors(self.graph, end)}) if end in after else ()

    def paths(self, start: Name, end: Name) -> Iterator[tuple[str, ...]]:
        """Yield each path from `start` to `end`, once; their number can grow exponentially with the length."""
        inside = set(self.between(start, end))
        if inside:
            yield from self._paths(self._known(start), self._known(end), inside)

    def dominators(self, name: Name) -> tuple[str, ...]:
        """Return the nodes that every path from an input to a node passes, the node itself last.

        A node that hangs on no input, such as a parameter that is read, has itself alone.
        """
        return tuple(reversed(_chain(self._dominators, self._known(name))))

    def post_dominators(self, name: Name) -> tuple[str, ...]:
        """Return the nodes that every path from a node to the output passes, the node itself first.

        A node that the output does not hang on has itself alone.
        """
        return tuple(_chain(self._post_dominators, self._known(name)))

    @cached_property
    def _dominators(self) -> Mapping[str, str | None]:
        """Immediate dominators, None where the beginning itself is the next."""
        start = object()
        graph = nx.DiGraph(self.graph.edges())
        graph.add_edges_from((start, name) for name in self.inputs)
        return _immediate(graph, start)

    @cached_property
    def _post_dominators(self) -> Mapping[str, str | None]:
        start = object()
        graph = nx.DiGraph((end, begin) for begin, end in self.graph.edges())
        graph.add_edge(start, _OUTPUT)
        return _immediate(graph, start)

    def _paths(self, name: str, end: str, inside: set[str]) -> Iterator[tuple[str, ...]]:
        path = [name]
        open = [iter(self.successors(name))] if name != end else []
        if not open:
            yield (name,)
        while open:
            following = next((item for item in open[-1] if item in inside), None)
            if following is None:
                open.pop()
                path.pop()
            elif following == end:
                yield (*path, end)
            else:
                path.append(following)
                open.append(iter(self.successors(following)))

    def _known(self, name: Name) -> str:
        text = name.name if isinstance(name, Site) else name
        if text not in self.graph:
            path = text.rpartition(":")[0]
            near = [known for known in self.graph if known.rpartition(":")[0] == path][:12]
            hint = f"; there are {', '.join(near)}" if near else "; names are `path:node`, as `list(flow)` has them"
            raise MutationError(f"the flow has no node {text!r}{hint}", site=text)
        return text

    def _in_order(self, names: Iterable[str]) -> tuple[str, ...]:
        order = self.graph.nodes
        return tuple(sorted(set(names), key=lambda name: int(order[name]["order"])))


def _immediate(graph: nx.DiGraph, start: object) -> Mapping[str, str | None]:
    found = nx.immediate_dominators(graph, start)
    return {name: None if above is start else above for name, above in found.items() if name is not start}


def _chain(above: Mapping[str, str | None], name: str) -> list[str]:
    chain: list[str] = []
    following: str | None = name
    while following is not None:
        chain.append(following)
        following = above.get(following)
    return chain
