"""Variables of finished statements: copies that are not needed, and lists that grow from statement to statement."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence

from graphnas.codegen import names, syntax
from graphnas.codegen.syntax import Expression, Statement, Tree, remembered


def without_copies(statements: Sequence[Statement]) -> list[Statement]:
    """Give a value that is copied to a variable of its own the name of that one from the start."""
    bound = [tuple(dict.fromkeys(bound_by(item))) for item in statements]
    times = Counter(name for item in statements for name in bound_by(item))
    ahead: dict[str, deque[int]] = {}
    for position, names_bound in enumerate(bound):
        for name in names_bound:
            ahead.setdefault(name, deque()).append(position)
    past: dict[str, list[int]] = {}
    whole: list[Statement | None] = list(statements)
    for position, names_bound in enumerate(bound):
        for name in names_bound:
            ahead[name].popleft()
        copy = whole[position]
        assert copy is not None, "only copies are left out, and each when it is come to"
        if _is_copy(copy) and times[copy.parts[0].text] == 1:
            new, old = copy.parts[0], copy.parts[1].text
            end = next(iter(ahead.get(old, ())), len(whole))
            moved = _renamed_from_the_start(whole, position, end, new, past.get(old, []))
            if moved:
                del past[old][-len(moved) :]
                past[new.text] = moved
                continue
        for name in names_bound:
            past.setdefault(name, []).append(position)
    return [item for item in whole if item is not None]


def _renamed_from_the_start(
    statements: list[Statement | None], position: int, end: int, new: Expression, past: Sequence[int]
) -> list[int]:
    """Take out a copy, and rename the variable that it copies; none where that is a parameter or changed since.

    Args:
        statements: The statements, those that are gone as None.
        position: Where the copy stands.
        end: Where the variable is bound next.
        new: What the variable is called instead.
        past: Where it was bound before.

    Returns:
        Where the variable was bound and updated under the old name.
    """
    copy = statements[position]
    assert copy is not None, "the caller looked at it"
    known = {copy.parts[1].text: new}
    count = next((n for n, place in enumerate(reversed(past), 1) if not _updates(statements[place])), 0)
    first = statements[past[-count]] if count else None
    last = statements[end] if end < len(statements) else None
    if first is None or first.kind != "assign" or (last is not None and (last.kind != "assign" or last.text)):
        return []
    target, value = first.parts
    statements[past[-count]] = first._replace(parts=(with_names(target, known), value))
    for place in range(past[-count] + 1, end):
        item = statements[place]
        statements[place] = None if item is None or place == position else with_names(item, known)
    if last is not None:
        target, value = last.parts
        statements[end] = last._replace(parts=(target, with_names(value, known)))
    return list(past[-count:])


def with_late_copies(statements: list[Statement]) -> list[Statement]:
    """Put a copy that stays right before its source gets another value; until then the source is read."""
    position = len(statements) - 1
    while position >= 0:
        if _is_copy(statements[position]):
            statements = _postponed(statements, position)
        position -= 1
    return statements


def _postponed(statements: list[Statement], position: int) -> list[Statement]:
    copy = statements[position]
    new, old = copy.parts
    end = next((n for n in range(position + 1, len(statements)) if old.text in bound_by(statements[n])), None)
    between = statements[position + 1 : end]
    if end is None or any(new.text in bound_by(item) for item in between):
        return statements
    read = [with_names(item, {new.text: old}) for item in between]
    return [*statements[:position], *read, copy, *statements[end:]]


def _is_copy(item: Statement) -> bool:
    return is_binding(item) and item.parts[1].kind == "name"


def is_binding(item: Statement) -> bool:
    """Tell whether a statement is `x = ...` for one variable."""
    return item.kind == "assign" and not item.text and item.parts[0].kind == "name"


def _updates(item: Statement | None) -> bool:
    return item is not None and item.kind == "assign" and bool(item.text)


def with_names(tree: Tree, known: dict[str, Expression]) -> Tree:
    """Return a tree with other names for some variables."""
    if tree.kind == "name":
        return known.get(tree.text, tree)
    return tree.with_parts([with_names(part, known) for part in tree.parts]) if tree.parts else tree


def append(name: Expression, value: Expression) -> Statement:
    """Return `name.append(value)`."""
    return syntax.expression_statement(syntax.call(syntax.attribute(name, "append"), [value]))


def bound_by(tree: Tree) -> Iterator[str]:
    """Yield the names that a statement binds."""
    if tree.kind in ("assign", "for"):
        yield from _bound(tree.parts[0])
    for part in tree.parts if tree.kind in ("if", "for", "with", "block", "slot") else ():
        yield from bound_by(part)


def _bound(target: Tree) -> Iterator[str]:
    if target.kind == "name":
        yield target.text
    elif target.kind == "tuple":
        for part in target.parts:
            yield from _bound(part)


def with_growing_lists(statements: list[Statement]) -> list[Statement] | None:
    """Write `b = f([x, a])` after `a = f([x])` with one list that grows; None where no list grows three times.

    Every list is the one before with the value that was computed from that one.
    """
    plain = without_copies(statements)
    bindings = Counter(name for item in plain for name in bound_by(item))
    for start in range(len(plain) - 2):
        chain = _chain(plain, start, bindings)
        if len(chain) >= 3:
            return _grown(plain, start, chain)
    return None


def _chain(statements: list[Statement], start: int, bindings: Counter[str]) -> list[Tree]:
    """Return the lists of the statements from a position on, as long as each grows by the value before."""
    found: list[Tree] = []
    for place in range(start, len(statements)):  # no slice: most chains end at once
        item = statements[place]
        if not is_binding(item) or bindings[item.parts[0].text] != 1:
            break
        lists = [tree for tree in _lists(item.parts[1]) if not found or same(tree, found[-1])]
        if len(lists) != 1 or any(part.kind != "name" for part in lists[0].parts):
            break
        if not found:
            found.append(lists[0])
        found.append(lists[0]._replace(parts=(*lists[0].parts, item.parts[0])))
    return found[:-1] if len(found) > 1 else []


def _grown(statements: list[Statement], start: int, chain: list[Tree]) -> list[Statement]:
    end = start + len(chain)
    last = statements[end - 1].parts[0]
    taken = {name for item in statements for name in names_in(item)}
    name = syntax.identifier(names.free_name("features", taken))
    whole = chain[-1]._replace(parts=(*chain[-1].parts, last))
    behind = [_with_list(item, whole, name) for item in statements[end:]]
    reads = Counter(text for item in (*statements[start:end], *behind) for text in names_in(item))
    lists = Counter(part.text for tree in chain for part in tree.parts)
    found = [*statements[:start], syntax.assign(name, chain[0])]
    for item, tree in zip(statements[start:end], chain, strict=True):
        target, value = item.parts
        value = _with_list(value, tree, name)
        if reads[target.text] == lists[target.text] + 1:  # read in these lists only
            found.append(append(name, value))
        else:
            found += [syntax.assign(target, value), append(name, target)]
    return [*found, *behind]


def _lists(tree: Tree) -> Iterator[Tree]:
    if tree.kind == "list":
        yield tree
    for part in tree.parts:
        yield from _lists(part)


def _with_list(tree: Tree, known: Tree, name: Expression) -> Tree:
    if same(tree, known):
        return name
    return tree._replace(parts=tuple(_with_list(part, known, name) for part in tree.parts)) if tree.parts else tree


@remembered
def names_in(tree: Tree) -> tuple[str, ...]:
    """Return every name that a tree reads or binds, in order, repetitions included."""
    return syntax.texts_of("name", tree)


def same(left: Tree, right: Tree) -> bool:
    """Tell whether two trees mean the same, wherever their literals come from."""
    if left is right:
        return True
    if left.kind != right.kind or left.text != right.text or len(left.parts) != len(right.parts):
        return False
    return all(map(same, left.parts, right.parts))
