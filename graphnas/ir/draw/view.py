"""What a drawing shows, before any format: boxes, arrows and clusters.

Here it is decided what is expanded and what is one box. Formats only spell a `View` out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from graphnas.ir.convert import pick, substitute
from graphnas.ir.diff import Diff
from graphnas.ir.draw.style import category
from graphnas.ir.effects import live_nodes
from graphnas.ir.graph import Graph, Node
from graphnas.ir.literal import Argument, FrozenDict, Value, values_in
from graphnas.ir.module import Child, Definition, ModuleSpec
from graphnas.ir.text import format_argument, format_call, format_leaf, format_operation, format_type

BOX_LIMIT = 60
"""Without a given depth, hierarchy is expanded as long as there are no more boxes than this."""

CHANGES_LIMIT = 240
"""Without a given depth, what changed is shown wherever it is nested, unless that takes more boxes than this."""

_DEEPEST = 8


@dataclass(frozen=True)
class Box:
    """One operation, or a definition that is not expanded.

    Attributes:
        id: Unique in the drawing.
        title: Class or operation.
        detail: Constructor arguments or literal arguments, shortened; may be empty.
        place: Path of the module, or name of the value.
        category: Key of `graphnas.ir.draw.style.STYLES`.
        tooltip: Everything that is known, a line each.
        type: Text of the type of the value.
        status: `added`, `removed`, `changed` or empty.
        before: What it was, if it changed.
        cluster: Id of the cluster that it stands in, empty for none.
        key: What equal boxes in a row have in common, empty if they are not to be folded.
        count: How many equal boxes in a row this one stands for.
    """

    id: str
    title: str
    detail: str
    place: str
    category: str
    tooltip: str
    type: str
    status: str = ""
    before: str = ""
    cluster: str = ""
    key: str = ""
    count: int = 1


@dataclass(frozen=True)
class Edge:
    """A value on its way; `type` is the text of its type."""

    source: str
    target: str
    type: str
    status: str = ""


@dataclass(frozen=True)
class Cluster:
    """A definition that is expanded; `parent` is the id of the cluster around it, or empty."""

    id: str
    title: str
    place: str
    parent: str
    level: int
    status: str = ""
    choice: bool = False


@dataclass
class View:
    """A drawing without a format; everything in the order of execution."""

    title: str
    subtitle: str
    compared: bool = False
    boxes: list[Box] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    clusters: list[Cluster] = field(default_factory=list)


def build_view(
    definition: Definition,
    *,
    title: str,
    subtitle: str,
    path: str = "",
    depth: int | None = None,
    changes: Diff | None = None,
) -> View:
    """Return the view of a definition.

    Args:
        definition: What is drawn.
        title: First line of the drawing.
        subtitle: Second line of the drawing.
        path: Where the definition stands in the model; places in the drawing are counted from the root.
        depth: How many levels of definitions are expanded; None for as many as can be read, and for all that lead to
            a change. A definition that was drawn before, and whose inside did not change, is one box all the same.
        changes: What to mark, None for a plain drawing.
    """

    def attempt(level: int, to_changes: bool) -> tuple[View, bool]:
        view = View(title, subtitle, changes is not None)
        builder = _ViewBuilder(view, level, changes, to_changes)
        builder.draw(definition, path)
        return view, builder.cut

    if depth is not None:
        return attempt(depth, False)[0]
    view, cut = attempt(0, True)
    to_changes = len(view.boxes) <= CHANGES_LIMIT
    if not to_changes:
        view, cut = attempt(0, False)
    for level in range(1, _DEEPEST):
        if not cut:
            break
        deeper, cut = attempt(level, to_changes)
        if len(deeper.boxes) > BOX_LIMIT:
            break
        view = deeper
    return view


class _ViewBuilder:
    def __init__(self, view: View, depth: int, changes: Diff | None, to_changes: bool) -> None:
        self.view = view
        self.depth = depth
        self.changes = changes
        self.to_changes = to_changes
        self.drawn: dict[str, str] = {}
        self.places: dict[str, int] = {}
        self.cut = False

    def draw(self, definition: Definition, path: str) -> None:
        if not definition.forwards:
            for name, child in definition.children.items():
                below = f"{path}.{name}" if path else name
                self.add(_child_box(below, child, "", "module"), ())
            return
        graph = definition.forwards[0].eval
        known: dict[str, Argument] = {}
        for item in graph.inputs:
            box = Box("", item.name, "", "", "input", f"input {item.name}", format_type(item.type))
            known[item.name] = self.add(box, ())
        output = self.graph(definition, graph, path, "forward", "", 0, known)
        text = format_argument(graph.output)
        self.add(Box("", "output", "", "", "output", f"return {text}", ""), output)

    def graph(
        self,
        definition: Definition,
        graph: Graph,
        path: str,
        graph_name: str,
        cluster: str,
        level: int,
        known: dict[str, Argument],
    ) -> Argument:
        """Draw the nodes of a graph; `known` maps names of values to boxes, as values named by their ids."""
        for node in live_nodes(graph):
            args, kwargs = substitute(node.args, known), substitute(node.kwargs, known)
            picked = pick(node, args)
            if picked is not None:
                known[node.name] = picked[0]
                continue
            known[node.name] = self.node(definition, node, path, graph_name, cluster, level, args, kwargs)
        if self.changes is not None:
            for change in self.changes.removed_nodes(path, graph_name):
                box = Box("", change.name, "", change.site, "module", change.before, "", "removed", cluster=cluster)
                names = [name for name in known if name in _value_names(change.before)]
                title = change.before.partition("(")[0].rpartition(" ")[2].rpartition(":")[2]
                detail = change.before if len(change.before) < 60 else ""
                box = replace(box, title=title or change.name, detail=detail)
                self.add(box, tuple(known[name] for name in names))
        return substitute(graph.output, known)

    def node(
        self,
        definition: Definition,
        node: Node,
        path: str,
        graph_name: str,
        cluster: str,
        level: int,
        args: tuple[Argument, ...],
        kwargs: FrozenDict[Argument],
    ) -> Argument:
        child = self.child(definition, node)
        below = f"{path}.{node.operation.target}".strip(".") if child is not None else ""
        status, before = self.status(node, path, graph_name, below)
        if isinstance(child, Definition) and self.expands(child, below, level):
            self.drawn.setdefault(child.key, below)
            return self.expand(child, node, below, cluster, level, status, args, kwargs)
        if child is None:
            place, title = f"{path}:{node.name}".lstrip(":"), _operation_title(node)
            box = Box("", title, _literals(node), place, category(node, None), "", format_type(node.type))
            box = replace(box, tooltip=f"{format_operation(node)} : {box.type}")
        else:
            box = _child_box(below, child, format_type(node.type), category(node, child))
            if isinstance(child, Definition) and child.key in self.drawn:
                box = replace(box, detail=f"as {self.drawn[child.key]}")
        label = f"label {node.label}" if node.label else ""
        box = replace(
            box,
            status=status,
            before=before,
            cluster=cluster,
            detail=" ".join(filter(None, (box.detail, label))),
        )
        return self.add(box, (args, kwargs))

    def child(self, definition: Definition, node: Node) -> Child | None:
        if node.operation.kind != "module":
            return None
        try:
            return definition.child(node.operation.target)
        except KeyError:
            return ModuleSpec(f"?:{node.operation.target}", opaque=True)

    def status(self, node: Node, path: str, graph_name: str, below: str) -> tuple[str, str]:
        if self.changes is None:
            return "", ""
        change = self.changes.node(path, graph_name, node.name)
        module = self.changes.module(below) if below else None
        if change is not None and change.kind == "added":
            return "added", ""
        if module is not None:
            return "changed", module.before.removeprefix("torch.nn:")
        if change is not None:
            return "changed", change.before
        return ("changed", "") if below and self.changes.below(below) else ("", "")

    def expands(self, child: Definition, below: str, level: int) -> bool:
        changed = self.changes is not None and self.changes.below(below)
        if not child.forwards or (child.key in self.drawn and not changed):
            return False
        if level >= self.depth and not (changed and self.to_changes):
            self.cut = True
            return False
        return True

    def expand(
        self,
        child: Definition,
        node: Node,
        below: str,
        cluster: str,
        level: int,
        status: str,
        args: tuple[Argument, ...],
        kwargs: FrozenDict[Argument],
    ) -> Argument:
        """Draw a definition as a cluster and return its output."""
        index = node.operation.forward if node.operation.forward < len(child.forwards) else 0
        graph = child.forwards[index].eval
        title = child.class_name
        decision = child.kind in ("choice", "repeat")
        if decision:
            title = f"? {child.kind} {child.label or child.class_name}"
        elif child.label:
            title += f" label {child.label}"
        box = Cluster(f"c{len(self.view.clusters)}", title, below, cluster, level, status, decision)
        self.view.clusters.append(box)
        if child.kind == "choice":
            return self.candidates(child, node, below, box.id, (args, kwargs))
        known = {**dict(zip((item.name for item in graph.inputs), args, strict=False)), **kwargs}
        name = f"forward#{index}" if index else "forward"
        return self.graph(child, graph, below, name, box.id, level + 1, known)

    def candidates(self, child: Definition, node: Node, below: str, cluster: str, inputs: Argument) -> Argument:
        """Draw the candidates of a choice side by side, as boxes."""
        outputs: list[tuple[str, Value]] = []
        for name, candidate in child.children.items():
            box = _child_box(f"{below}.{name}", candidate, format_type(node.type), category(node, candidate))
            outputs.append((f"candidate {name}", self.add(replace(box, cluster=cluster, key=""), inputs)))
        # Not a tuple, whose items a `getitem` behind the choice would pick.
        return FrozenDict(outputs)

    def add(self, box: Box, inputs: Argument) -> Value:
        """Add a box and the arrows to it; one that repeats the box before it is counted there instead."""
        sources = tuple(dict.fromkeys(value.name for value in values_in(inputs) if value.name in self.places))
        if box.key and len(sources) == 1 and self.repeats(sources[0], box):
            place = self.places[sources[0]]
            last = self.view.boxes[place]
            self.view.boxes[place] = replace(last, count=last.count + 1, tooltip=f"{last.tooltip}\n{box.tooltip}")
            return Value(last.id)
        box = replace(box, id=f"n{len(self.view.boxes)}")
        self.places[box.id] = len(self.view.boxes)
        self.view.boxes.append(box)
        for source in sources:
            origin = self.view.boxes[self.places[source]]
            status = "removed" if "removed" in (box.status, origin.status) else ""
            self.view.edges.append(Edge(source, box.id, origin.type, status))
        return Value(box.id)

    def repeats(self, source: str, box: Box) -> bool:
        last = self.view.boxes[self.places[source]]
        taken = any(edge.source == source for edge in self.view.edges)
        same = (last.key, last.cluster, last.status, last.type) == (box.key, box.cluster, box.status, box.type)
        return same and not taken and self.places[source] == len(self.view.boxes) - 1


def _child_box(path: str, child: Child, type: str, category: str) -> Box:
    if isinstance(child, Definition):
        tooltip = f"{path}: {child.class_name} of {', '.join(child.children)}"
        title = f"? {child.kind} {child.label}".rstrip() if category == "choice" else child.class_name
        detail = f"label {child.label}" if child.label and category != "choice" else ""
        return Box("", title, detail, path, category, tooltip, type, key=child.key)
    title = f"{child.type} '{child.label}'" if child.label else child.type
    detail = format_call(child.args, child.kwargs)
    return Box("", title, detail, path, category, f"{path}: {format_leaf(child)}", type)


def _operation_title(node: Node) -> str:
    operation = node.operation
    if operation.kind == "field":
        return f".{operation.target}"
    if operation.kind == "attribute":
        return operation.target
    if operation.kind == "assign":
        return f"{operation.target} ="
    if operation.kind == "training":
        return "self.training"
    return operation.target.rpartition(":")[2]


def _literals(node: Node) -> str:
    """Return the arguments that are no values."""
    args = [format_argument(arg) for arg in node.args if not values_in(arg)]
    args += [f"{name}={format_argument(arg)}" for name, arg in node.kwargs.items() if not values_in(arg)]
    return ", ".join(args)


def _value_names(operation: str) -> tuple[str, ...]:
    """Return the plain names of values in the text of an operation."""
    return tuple(re.findall(r"%(\w+)", operation))


def boxes_by_cluster(view: View) -> Mapping[str, tuple[Box, ...]]:
    """Return the boxes of each cluster, by its id; the empty id has those outside."""
    groups: dict[str, list[Box]] = {"": [], **{cluster.id: [] for cluster in view.clusters}}
    for box in view.boxes:
        groups[box.cluster].append(box)
    return {name: tuple(boxes) for name, boxes in groups.items()}
