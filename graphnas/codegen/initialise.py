"""What a constructor does to parameters once the children are built, in the form a person would write.

Calls that treat all leaves of a class alike, in the order of `modules()`, become one loop; anything else is written
call by call in the recorded order, so that the random numbers are drawn in the same order either way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate

from graphnas.codegen import syntax
from graphnas.codegen.forward import graph_body
from graphnas.codegen.literals import Literals
from graphnas.codegen.structure import ClassPlan
from graphnas.codegen.syntax import Statement
from graphnas.ir.graph import EMPTY_GRAPH, Graph, Node
from graphnas.ir.literal import Argument, FrozenDict, Value
from graphnas.ir.module import Definition, ModuleSpec

_Call = tuple[str, str, tuple[Argument, ...], FrozenDict[Argument]]
"""Name of the parameter, function, further arguments."""

_WITH_CHILDREN = ("MultiheadAttention", "Transformer")


def initialisation(plan: ClassPlan, graph: Graph) -> list[Statement]:
    """Return the statements of `Definition.init`, or of a segment of it."""
    if all(node.operation.kind == "attribute" for node in graph.nodes):
        return []
    loop = _as_loop(plan.original, graph)
    return loop if loop is not None else _one_by_one(plan, graph)


def init_segments(definition: Definition) -> dict[str, Graph]:
    """Return `Definition.init` in pieces, by the step of construction that runs them; the empty string has the rest.

    A value that a later piece takes keeps the piece that computes it together with that one.
    """
    nodes = definition.init.nodes
    places = {f"%{node.name}": index + 1 for index, node in enumerate(nodes)}
    reads = {node.name: node for node in nodes if node.operation.kind == "attribute"}
    last_use = {value.name: index for index, node in enumerate(nodes) for value in node.inputs}
    needed = list(accumulate((-1 if node.name in reads else last_use.get(node.name, -1) for node in nodes), max))
    segments: dict[str, Graph] = {}
    start = 0
    for step in (*(step for step in definition.steps if step in places), ""):
        end = places.get(step, len(nodes))
        if step and (end <= start or needed[end - 1] >= end):
            segments[step] = EMPTY_GRAPH
            continue
        piece = nodes[start:end]
        here = {node.name for node in piece}
        earlier = dict.fromkeys(value.name for node in piece for value in node.inputs if value.name not in here)
        segments[step] = replace(definition.init, nodes=(*(reads[name] for name in earlier), *piece))
        start = end
    return segments


def _one_by_one(plan: ClassPlan, graph: Graph) -> list[Statement]:
    reserved = [item.name for item in plan.parameters]
    body, _ = graph_body(graph, plan.original, hole=syntax.identifier, reserved=reserved)
    if all(_is_init(node) or node.operation.kind == "attribute" for node in graph.nodes):
        return body
    return [syntax.with_statement(syntax.call(syntax.reference("torch:no_grad")), body)]


def _is_init(node: Node) -> bool:
    return node.operation.kind == "function" and node.operation.target.startswith("torch.nn.init:")


def _as_loop(original: Definition, graph: Graph) -> list[Statement] | None:
    calls = _calls(graph)
    leaves = list(_leaves(original, ""))
    if calls is None or len(calls) < 3 or any(part in leaf.type for _, leaf in leaves for part in _WITH_CHILDREN):
        return None
    if any(leaf.opaque or not leaf.target.startswith("torch.nn:") for _, leaf in leaves):
        return None
    by_leaf: dict[str, list[_Call]] = {}
    for path, call in calls:
        by_leaf.setdefault(path, []).append(call)
    expected = [(path, call) for path, _ in leaves for call in by_leaf.get(path, [])]
    if expected != calls:
        return None
    recipes: dict[str, list[_Call]] = {}
    lacking: dict[str, list[str]] = {}
    for path, leaf in leaves:
        known = recipes.setdefault(leaf.target, by_leaf.get(path, []))
        if known != by_leaf.get(path, []):
            longer, shorter = sorted((known, by_leaf.get(path, [])), key=len, reverse=True)
            if [call for call in longer if call[0] != "bias"] != shorter:
                return None
            recipes[leaf.target] = longer
            lacking[leaf.target] = ["bias"]
    for path, leaf in leaves:  # a leaf with a bias that was left alone must stay so
        missing = [call for call in recipes[leaf.target] if call not in by_leaf.get(path, [])]
        if missing and leaf.kwargs.get("bias") is not False:
            return None
    return _loop({target: recipe for target, recipe in recipes.items() if recipe}, lacking)


def _loop(recipes: dict[str, list[_Call]], lacking: dict[str, list[str]]) -> list[Statement]:
    """Return `for m in self.modules(): if isinstance(m, nn.Conv2d): ...`, equal recipes under one test."""
    literals = Literals()
    grouped: list[tuple[list[str], list[_Call]]] = []
    for target, recipe in recipes.items():
        same = next((item for item in grouped if item[1] == recipe and not lacking.get(target)), None)
        if same is not None and not any(lacking.get(item) for item in same[0]):
            same[0].append(target)
        else:
            grouped.append(([target], recipe))
    branch: list[Statement] = []
    for targets, recipe in reversed(grouped):
        body: list[Statement] = []
        for name, function, args, kwargs in recipe:
            weight = syntax.dotted(f"m.{name}")
            options = [(str(key), literals.write(item)) for key, item in kwargs.items()]
            call = syntax.call(syntax.reference(function), [weight, *map(literals.write, args)], options)
            statement: Statement = syntax.expression_statement(call)
            if name in lacking.get(targets[0], []):
                test = syntax.comparison("is not", weight, syntax.literal("None"))
                statement = syntax.if_statement(test, [statement])
            body.append(statement)
        classes = [syntax.reference(target) for target in targets]
        kind = classes[0] if len(classes) == 1 else syntax.tuple_of(classes)
        test = syntax.call(syntax.identifier("isinstance"), [syntax.identifier("m"), kind])
        branch = [syntax.if_statement(test, body, branch)]
    if not branch:
        return []
    return [syntax.for_loop(syntax.identifier("m"), syntax.call(syntax.dotted("self.modules")), branch)]


def _calls(graph: Graph) -> list[tuple[str, _Call]] | None:
    """Return `(leaf, call)` for each call, None if anything but calls of nn.init on parameters is there."""
    paths: dict[str, str] = {}
    found: list[tuple[str, _Call]] = []
    for node in graph.nodes:
        if node.operation.kind == "attribute":
            paths[node.name] = node.operation.target
            continue
        if not _is_init(node) or not node.args or not isinstance(node.args[0], Value):
            return None
        leaf, _, name = paths.get(node.args[0].name, "").rpartition(".")
        if not leaf or any(value.name in paths for value in node.inputs[1:]):
            return None
        found.append((leaf, (name, node.operation.target, node.args[1:], node.kwargs)))
    return found


def _leaves(definition: Definition, prefix: str) -> Iterator[tuple[str, ModuleSpec]]:
    shared = {tie.path for tie in definition.ties}
    for name, child in definition.children.items():
        if name in shared:
            continue
        if isinstance(child, ModuleSpec):
            yield f"{prefix}{name}", child
        else:
            yield from _leaves(child, f"{prefix}{name}.")
