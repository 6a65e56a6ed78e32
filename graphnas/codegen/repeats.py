"""Items of a list that repeat, or differ in a value or two only: folded while compared, comprehensions in the end."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from graphnas.codegen import names, syntax
from graphnas.codegen.syntax import Tree
from graphnas.codegen.template import Site, weight
from graphnas.codegen.variables import names_in

_LEAST_GAIN = 4
"""How much shorter a comprehension must be than the items, in syntax nodes."""

_MOST_COLUMNS = 2
"""Most values that change from item to item: with more, a row of a table says less than a call with keywords."""

_SUPER = syntax.attribute(syntax.call(syntax.identifier("super")), "__init__")

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
    if tree.kind == "list":
        parts = _gathered(parts)
    elif _takes_items(tree):
        parts[1:] = _gathered(parts[1:])
    if tree.kind == "repeat":
        return tree._replace(parts=tuple(parts))
    if tree.kind == "list" and len(parts) == 1 and parts[0].kind == "star":
        return parts[0].parts[0]  # [*[...]]
    return tree.with_parts(parts)


def may_unfold(tree: Tree) -> bool:
    """Tell whether `unfold` may change something of a tree itself, whatever it does to its parts."""
    return tree.kind in ("repeat", "list") or _takes_items(tree)


def _takes_items(tree: Tree) -> bool:
    """Tell whether the arguments of a call are items as those of a list are."""
    return tree.kind == "call" and (tree.parts[0] == _SUPER or tree.parts[0].text == "torch.nn:Sequential")


def _gathered(items: Sequence[Tree]) -> list[Tree]:
    """Return items, three or more in a row that differ in a value or two as `*[Block(rate) for rate in (0.1, 0.2)]`."""
    found: list[Tree] = []
    for _, group in itertools.groupby(items, _shape):
        run = list(group)
        gathered = _comprehension(run) if len(run) > 2 and run[0].kind == "call" else None
        shorter = gathered is not None and weight(gathered) + _LEAST_GAIN <= sum(map(weight, run))
        found += [gathered] if gathered is not None and shorter else run
    return found


def _shape(tree: Tree) -> Tree:
    """Return a call without the constants that it is given."""
    if tree.kind == "literal" and isinstance(tree.note, Site):
        return Tree("literal")
    return Tree(tree.kind, tree.text, tuple(map(_shape, tree.parts)))


def _comprehension(items: Sequence[Tree]) -> Tree | None:
    columns: dict[tuple[str, ...], Site] = {}

    def collect(trees: Sequence[Tree]) -> None:
        values = tuple(tree.text for tree in trees)
        if trees[0].kind == "literal" and len(set(values)) > 1:
            columns.setdefault(values, trees[0].note)
        for parts in zip(*(tree.parts for tree in trees), strict=True):
            collect(parts)

    collect(items)
    if not 1 <= len(columns) <= _MOST_COLUMNS:
        return None
    taken = {name for item in items for name in names_in(item)}
    variables: dict[tuple[str, ...], Tree] = {}
    for values, site in columns.items():
        name = names.free_name(site.name, taken)
        taken.add(name)
        variables[values] = syntax.identifier(name)

    def filled(trees: Sequence[Tree]) -> Tree:
        if trees[0].kind == "literal":
            return variables.get(tuple(tree.text for tree in trees), trees[0])
        return trees[0]._replace(parts=tuple(map(filled, zip(*(tree.parts for tree in trees), strict=True))))

    rows = [syntax.tuple_of(map(syntax.literal, row)) for row in zip(*columns, strict=True)]
    single = len(columns) == 1
    source = syntax.tuple_of([row.parts[0] for row in rows] if single else rows)
    targets = list(variables.values())
    target = targets[0] if single else syntax.tuple_of(targets, bare=True)
    return syntax.starred(syntax.comprehension(filled(items), target, source))


def _unfolded(tree: Tree) -> list[Tree]:
    item, times = tree.parts
    count = int(times.text) if times.kind == "literal" else 0
    if count == 1 or (count == 2 and weight(item) <= _OVERHEAD):
        return [item] * count
    repeated = syntax.call(syntax.identifier("range"), [times._replace(note=None)])
    return [syntax.starred(syntax.comprehension(item, syntax.identifier("_"), repeated))]
