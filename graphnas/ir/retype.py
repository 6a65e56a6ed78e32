"""Records inferred types in the graphs of a model, sharing every definition whose types are as they were."""

from __future__ import annotations

from dataclasses import replace

from graphnas.ir.graph import Graph, Input
from graphnas.ir.infer import Inferred, infer, same_type
from graphnas.ir.lru import LRU
from graphnas.ir.module import Definition

Runs = dict[int, tuple[Inferred | None, Inferred | None]]
"""By number of the forward: what its first call gives in eval and in train mode, None where there is none."""


def infer_all(root: Definition) -> Runs:
    """Infer every forward of a root on the input types that it records, in both modes where they differ.

    Raises:
        VerificationError: An operation cannot be executed on the types that it gets (invariant 14).
    """
    runs: Runs = {}
    for number in range(len(root.forwards)):
        evaluated = infer(root, number)
        runs[number] = (evaluated, infer(root, number, training=True) if has_train_graph(root) else None)
    return runs


def retype(definition: Definition, runs: Runs) -> Definition:
    """Return `definition` with the types of `runs` in its graphs and those below; the same object if they agree."""
    return _retype(definition, runs, {})


def _retype(definition: Definition, runs: Runs, done: dict[object, Definition]) -> Definition:
    if all(run is None or run.agrees for pair in runs.values() for run in pair):
        return definition
    # Instances that share their definition, and saw the same types, share it afterwards as well.
    memo = (id(definition), tuple((number, id(pair[0]), id(pair[1])) for number, pair in runs.items()))
    if memo in done:
        return done[memo]
    forwards = list(definition.forwards)
    below: dict[str, Runs] = {}
    for number, pair in runs.items():
        for run in pair:
            if run is None:
                continue
            forward = forwards[number]
            if forward.train is not None and run is pair[1]:
                forwards[number] = replace(forward, train=_typed(forward.train, run))
            elif run is pair[0] or pair[0] is None:
                forwards[number] = replace(forward, eval=_typed(forward.eval, run))
            for (target, callee), called in run.calls.items():
                seen = below.setdefault(target, {}).get(callee, (None, None))
                below[target][callee] = (called, seen[1]) if run is pair[0] else (seen[0], called)
    result = definition
    if any(new is not old for new, old in zip(forwards, definition.forwards, strict=True)):
        result = replace(result, forwards=tuple(forwards))
    for target, inner in below.items():
        child = result.child(target)
        assert isinstance(child, Definition), "only calls of definitions are recorded"
        typed = _retype(child, inner, done)
        if typed is not child:
            result = result.with_child(target, typed)
    done[memo] = result
    return result


def _typed(graph: Graph, run: Inferred) -> Graph:
    inputs = tuple(
        item if same_type(item.type, found) else Input(item.name, found, item.keyword_only)
        for item, found in zip(graph.inputs, run.inputs, strict=True)
    )
    nodes = tuple(
        node if same_type(node.type, found) else replace(node, type=found)
        for node, found in zip(graph.nodes, run.nodes, strict=True)
    )
    if all(a is b for a, b in zip((*inputs, *nodes), (*graph.inputs, *graph.nodes), strict=True)):
        return graph
    return replace(graph, inputs=inputs, nodes=nodes)


_TRAIN: LRU[bool] = LRU(8192)


def has_train_graph(definition: Definition) -> bool:
    """Tell whether a definition, or one below it, has a train graph of its own."""
    known = _TRAIN.get(definition.key)
    if known is None:
        known = any(forward.train is not None for forward in definition.forwards) or any(
            isinstance(child, Definition) and has_train_graph(child) for child in definition.children.values()
        )
        _TRAIN.put(definition.key, known)
    return known
