"""Which definitions may share a class, and in which order their classes are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from graphlib import TopologicalSorter

from graphnas.codegen.constructor import holds_parameters
from graphnas.errors import CodegenError
from graphnas.ir.module import Definition


def distinct(root: Definition) -> dict[str, Definition]:
    """Return the definitions of a model by key, each after those that it holds.

    Raises:
        CodegenError: A decision is still open.
    """
    found: dict[str, Definition] = {}
    for definition in root.bottom_up(lambda item: item.key in found):
        if definition.kind in ("choice", "repeat"):
            raise CodegenError(
                f"the {definition.kind} labelled {definition.label!r} is still open, so no source can be "
                "written; freeze the space with decisions for it first"
            )
        found.setdefault(definition.key, definition)
    return found


def instances(definitions: dict[str, Definition]) -> Counter[str]:
    """Return how often each definition of a model stands in it; all after those that they hold, the root last."""
    counts = Counter[str]({next(reversed(definitions)): 1})
    for key, definition in reversed(definitions.items()):
        for child in children(definition):
            counts[child.key] += counts[key]
    return counts


def children(definition: Definition) -> Iterator[Definition]:
    """Yield the children that are definitions."""
    for child in definition.children.values():
        if isinstance(child, Definition):
            yield child


def is_container(definition: Definition) -> bool:
    """Tell whether a definition is written as a container of torch.nn where it stands, without a class."""
    if definition.kind == "module" or definition.buffers or definition.init.nodes:
        return False
    if definition.parameters:
        return holds_parameters(definition)
    return definition.kind != "sequential" or not definition.forwards or definition.is_sequence


def may_have_class(definition: Definition) -> bool:
    """Tell whether a definition can be worth a class: it is no mere container, or one to which the user gave a name."""
    own_name = definition.kind == "sequential" and definition.class_name != "Sequential"
    return own_name or not is_container(definition)


def groups(definitions: Sequence[Definition]) -> list[list[Definition]]:
    """Return definitions by class name, each group after those that it holds.

    A class that stands inside itself, or inside one that it holds elsewhere, is taken height by height.
    """
    held = {item.key: list(_held(item)) for item in definitions}
    heights: dict[str, int] = {}
    for item in definitions:
        heights[item.key] = 1 + max((heights[child.key] for child in held[item.key]), default=0)
    edges: dict[str, dict[str, None]] = {}
    for item in definitions:
        edges.setdefault(item.class_name, {}).update(dict.fromkeys(child.class_name for child in held[item.key]))
    cyclic = {name for name in edges if name in _reached(name, edges)}

    def group_of(item: Definition) -> tuple[str, int]:
        return (item.class_name, heights[item.key] if item.class_name in cyclic else 0)

    found: dict[tuple[str, int], list[Definition]] = {}
    waits: dict[tuple[str, int], dict[tuple[str, int], None]] = {}
    for item in definitions:
        found.setdefault(group_of(item), []).append(item)
        waits.setdefault(group_of(item), {}).update(dict.fromkeys(map(group_of, held[item.key])))
    order = TopologicalSorter(waits)
    return [found[group] for group in order.static_order()]


def _held(definition: Definition) -> Iterator[Definition]:
    for child in children(definition):
        if may_have_class(child):
            yield child
        else:
            yield from _held(child)


def _reached(start: str, edges: Mapping[str, Mapping[str, None]]) -> set[str]:
    found: set[str] = set()
    pending = list(edges[start])
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += edges[name]
    return found
