"""Calls that hand on an item of what they return: `outputs = layer(x)`, `x = outputs[0]`, and so on.

A trace shows `outputs = layer1(outputs[0])` only, since it does not see that an item was given a name. Where three or
more calls are alike, the name that the first of them was given is given to the items as well. That is how people write
the loop, and what the turns of one look like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from graphnas.codegen import syntax
from graphnas.codegen.syntax import Statement, Tree
from graphnas.codegen.variables import is_binding, names_in, same

_LEAST = 3


def with_carried_items(statements: list[Statement], shape: Callable[[Tree], Tree]) -> list[Statement]:
    """Return statements in which items that are handed on have a name.

    Args:
        statements: Statements of a function; the last one is its output.
        shape: Gives a statement without what the turns of a loop may differ in.
    """
    position = 0
    while position < len(statements) - _LEAST:
        item = _handed_on(statements, position)
        count = 0 if item is None else _count_alike(statements, position, item, shape)
        carried = None if item is None or count < _LEAST else _carrier(statements, position)
        if item is None or carried is None:
            position += max(count, 1)
            continue
        named = [_replaced(statement, item, carried) for statement in statements[position:]]
        take = syntax.assign(carried, item)
        turns = [part for turn in named[:count] for part in (turn, take)]
        statements = [*statements[:position], *turns, *named[count:]]
        position += len(turns)
    return statements


def _handed_on(statements: list[Statement], position: int) -> Tree | None:
    """Return `y[0]` where `y` is what a statement binds, and the next one takes only that item of it."""
    first = statements[position]
    if not is_binding(first) or first.parts[1].kind != "call":
        return None
    items = list(_items_of(first.parts[0], statements[position + 1]))
    return items[0] if items and all(same(item, items[0]) for item in items) else None


def _count_alike(statements: list[Statement], start: int, item: Tree, shape: Callable[[Tree], Tree]) -> int:
    """Return how many calls in a row bind the same variable, and would look alike if the item were a variable."""
    first = statements[start]
    wanted, count = shape(first), 1
    while start + count < len(statements) - 1:
        statement = statements[start + count]
        turn = _replaced(statement, item, first.parts[0])
        if not is_binding(statement) or statement.parts[0] != first.parts[0] or turn is statement:
            break
        if shape(turn) != wanted:
            break
        count += 1
    return count


def _carrier(statements: list[Statement], start: int) -> Tree | None:
    """Return the variable that the first call takes and that nobody reads afterwards, None if there is none."""
    first, turn = statements[start], statements[start + 1]
    later = {name for statement in statements[start + 1 :] for name in names_in(statement)}
    pairs = zip(names_in(first.parts[1]), names_in(turn.parts[1]), strict=True)  # they are alike
    found = [mine for mine, other in pairs if mine != other]
    is_free = len(found) == 1 and found[0] not in later and found[0] != first.parts[0].text
    return syntax.identifier(found[0]) if is_free else None


def _items_of(name: Tree, tree: Tree) -> Iterator[Tree]:
    if tree.kind == "subscript" and tree.parts[0] == name and len(tree.parts) == 2 and tree.parts[1].text.isdecimal():
        yield tree
    for part in tree.parts:
        yield from _items_of(name, part)


def _replaced(tree: Tree, known: Tree, other: Tree) -> Tree:
    if tree.kind == known.kind and same(tree, known):
        return other
    if not tree.parts:
        return tree
    parts = tuple([_replaced(part, known, other) for part in tree.parts])
    return tree if all(new is old for new, old in zip(parts, tree.parts, strict=True)) else tree._replace(parts=parts)
