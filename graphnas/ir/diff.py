"""What differs between two models, by place: modules, own tensors, and nodes of graphs.

Parts are matched by name, which edits keep. Two models that compute the same under other names differ here, although
their fingerprints are equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from typing import Literal as OneOf

from graphnas.ir.graph import EMPTY_GRAPH, Graph, Node
from graphnas.ir.model import Model
from graphnas.ir.module import Child, Definition
from graphnas.ir.text import format_argument, format_leaf, format_operation, format_type


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        kind: Whether the second model has it in addition, lacks it, or has it otherwise.
        what: `module`, `base`, `parameter`, `buffer`, `node`, `output`, `forward`, `tie`, `initialisation` or `order`.
        path: Path of the definition that holds it.
        name: Its name there; empty for what has none.
        before: Text of it in the first model, empty if it was added.
        after: Text of it in the second model, empty if it was removed.
        graph: Which graph a node or output belongs to: `forward`, `train`, `forward#1`, …; empty otherwise.
    """

    kind: OneOf["added", "removed", "changed"]
    what: str
    path: str
    name: str
    before: str
    after: str
    graph: str = ""

    @property
    def site(self) -> str:
        """`path:node` for nodes, the dotted path for the rest."""
        if self.what == "node":
            return f"{self.path}:{self.name}"
        return f"{self.path}.{self.name}".strip(".")

    def __str__(self) -> str:
        where = f"{self.what} {self.site}".rstrip()
        if self.graph not in ("", "forward"):
            where += f" ({self.graph})"
        if self.kind == "changed":
            return f"~ {where}: {self.before} -> {self.after}"
        return f"+ {where}: {self.after}" if self.kind == "added" else f"- {where}: {self.before}"


@dataclass(frozen=True)
class Diff:
    """Every difference between two models, parents before what stands below them; empty if they are equal."""

    changes: tuple[Change, ...]

    @cached_property
    def _by_place(self) -> Mapping[tuple[str, str, str], Change]:
        kinds = {"node": "node", "module": "module"}
        return {(kinds[c.what] + c.graph, c.path, c.name): c for c in self.changes if c.what in kinds}

    def node(self, path: str, graph: str, name: str) -> Change | None:
        """Return the change of a node of a graph of the definition at `path`."""
        return self._by_place.get((f"node{graph}", path, name))

    def module(self, path: str) -> Change | None:
        """Return the change of the module at `path`."""
        parent, _, name = path.rpartition(".")
        return self._by_place.get(("module", parent, name))

    def below(self, path: str) -> bool:
        """Tell whether anything changed at or below `path`."""
        return any(change.path == path or change.path.startswith(f"{path}.") for change in self.changes)

    def removed_nodes(self, path: str, graph: str) -> tuple[Change, ...]:
        """Return what was removed from a graph of the definition at `path`."""
        return tuple(
            c for c in self.changes if c.what == "node" and c.kind == "removed" and (c.path, c.graph) == (path, graph)
        )

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        return "\n".join(map(str, self.changes)) if self.changes else "no difference"


def diff(a: Model, b: Model) -> Diff:
    """Return what has to be done to `a` to get `b`.

    Types, hints, settings and locations do not count: they follow from the rest, or are names only.
    """
    return Diff(tuple(_definitions(a.root, b.root, "")))


def _definitions(a: Definition, b: Definition, path: str) -> Iterator[Change]:
    if a.key == b.key:
        return
    yield from _mapping("base", path, _base(a), _base(b))
    yield from _children(a, b, path)
    for what, before, after in (("parameter", a.parameters, b.parameters), ("buffer", a.buffers, b.buffers)):
        yield from _mapping(what, path, _texts(before), _texts(after))
    yield from _mapping("tie", path, {t.path: t.source for t in a.ties}, {t.path: t.source for t in b.ties})
    yield from _graphs("initialisation", path, a.init, b.init)
    if a.steps != b.steps and sorted(a.steps) == sorted(b.steps):
        yield Change("changed", "order", path, "", ", ".join(a.steps), ", ".join(b.steps))
    graphs_a, graphs_b = _named_graphs(a), _named_graphs(b)
    for name in {**graphs_b, **graphs_a}:
        if name not in graphs_a or name not in graphs_b:
            kind: Any = "removed" if name in graphs_a else "added"
            yield Change(kind, "forward", path, name, *(("", name) if kind == "added" else (name, "")), name)
            continue
        yield from _graphs(name, path, graphs_a[name], graphs_b[name])


def _children(a: Definition, b: Definition, path: str) -> Iterator[Change]:
    for name in {**b.children, **a.children}:
        before, after = a.children.get(name), b.children.get(name)
        below = f"{path}.{name}" if path else name
        if before is None or after is None:
            texts = (_child_text(before), _child_text(after))
            yield Change("added" if before is None else "removed", "module", path, name, *texts)
        elif isinstance(before, Definition) and isinstance(after, Definition):
            header = (before.class_name, before.kind, before.label), (after.class_name, after.kind, after.label)
            if header[0] != header[1]:
                yield Change("changed", "module", path, name, _child_text(before), _child_text(after))
            yield from _definitions(before, after, below)
        elif before.key != after.key:
            yield Change("changed", "module", path, name, _child_text(before), _child_text(after))


def _base(definition: Definition) -> dict[str, str]:
    return {} if definition.base is None else {"": format_leaf(definition.base)}


def _child_text(child: Child | None) -> str:
    if child is None:
        return ""
    if isinstance(child, Definition):
        return f"{child.class_name}" + (f" label {child.label}" if child.label else "")
    return format_leaf(child)


def _texts(specs: Mapping[str, Any]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, spec in specs.items():
        details = [format_type(spec.type)]
        details += [f"{key}={value}" for key, value in vars(spec).items() if key in ("requires_grad", "storage")]
        details += [f"initial {spec.initial.key[:8]}"] if spec.initial is not None else []
        data = getattr(spec, "data", None)
        details += [f"data {data.data.hex()[:16]}"] if data is not None else []
        texts[name] = " ".join(details)
    return texts


def _named_graphs(definition: Definition) -> dict[str, Graph]:
    graphs: dict[str, Graph] = {}
    for index, forward in enumerate(definition.forwards):
        suffix = f"#{index}" if index else ""
        graphs[f"forward{suffix}"] = forward.eval
        if forward.train is not None:
            graphs[f"train{suffix}"] = forward.train
    return graphs


def _graphs(name: str, path: str, a: Graph, b: Graph) -> Iterator[Change]:
    if a is b or a.key == b.key:
        return
    yield from _mapping("node", path, _nodes(a), _nodes(b), name)
    if a.output != b.output or (a is EMPTY_GRAPH) != (b is EMPTY_GRAPH):
        before, after = format_argument(a.output), format_argument(b.output)
        if before != after:
            yield Change("changed", "output", path, "", before, after, name)


def _nodes(graph: Graph) -> dict[str, str]:
    def text(node: Node) -> str:
        return format_operation(node) + (f" label {node.label}" if node.label else "")

    return {node.name: text(node) for node in graph.nodes}


def _mapping(
    what: str, path: str, before: Mapping[str, str], after: Mapping[str, str], graph: str = ""
) -> Iterator[Change]:
    for name in {**after, **before}:
        if name not in before:
            yield Change("added", what, path, name, "", after[name], graph)
        elif name not in after:
            yield Change("removed", what, path, name, before[name], "", graph)
        elif before[name] != after[name]:
            yield Change("changed", what, path, name, before[name], after[name], graph)
