"""Items of a list that repeat: folded while classes are compared, written as comprehensions in the end."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence

from graphnas.codegen import syntax
from graphnas.codegen.syntax import Tree
from graphnas.codegen.template import Site, weight

_OVERHEAD = 8
"""Syntax nodes of `*[... for _ in range(2)]`."""


def fold(items: Sequence[Tree], owner: str) -> list[Tree]:
    """Return items with equal ones in a row as one `repeat`, whose count is a constant of `owner`."""
    found: list[Tree] = []
    for item, equal in itertools.groupby(items):
        count = len(list(equal))
        times = syntax.literal(str(count), Site("depth", owner, 1))
        found.append(item if count == 1 else Tree("repeat", "", (item, times)))
    return found


def unfold(tree: Tree) -> Tree:
    """Return a tree without `repeat`s: the items themselves, or a comprehension where that is shorter."""
    if not tree.parts:
        return tree
    parts: list[Tree] = []
    for part in map(unfold, tree.parts):
        parts += [part] if part.kind != "repeat" else _unfolded(part)
    if tree.kind == "repeat":
        return tree._replace(parts=tuple(parts))
    if tree.kind == "list" and len(parts) == 1 and parts[0].kind == "star":
        return parts[0].parts[0]  # [*[...]]
    same = len(parts) == len(tree.parts) and all(map(operator.is_, parts, tree.parts))
    return tree if same else tree._replace(parts=tuple(parts))


def _unfolded(tree: Tree) -> list[Tree]:
    item, times = tree.parts
    count = int(times.text) if times.kind == "literal" else 0
    if count == 1 or (count == 2 and weight(item) <= _OVERHEAD):
        return [item] * count
    repeated = syntax.call(syntax.identifier("range"), [times._replace(note=None)])
    return [syntax.starred(syntax.comprehension(item, syntax.identifier("_"), repeated))]
