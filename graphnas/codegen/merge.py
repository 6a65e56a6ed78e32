"""Two templates as one: what both have is written once, what differs becomes a hole, a choice, or an item of some.

Each member keeps its own statements in its own order, so merging never changes what a member computes. What is gained
or lost is a matter of size only, and decided by the caller; here, of several ways to align two sequences, the one that
shares most is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphnas.codegen import syntax
from graphnas.codegen.signatures import role
from graphnas.codegen.syntax import Function, Tree
from graphnas.codegen.template import (
    Site,
    has_hole,
    hole,
    is_whole,
    members_of,
    plain,
    site_of,
    slot,
    takes_any_sequence,
    weight,
    with_site,
)
from graphnas.codegen.variants import common_parameters, with_fewer_variables

Defaults = Callable[[str], Mapping[str, Tree]]
"""Gives the defaults of a constructor or function, by the text of its reference."""

_VARIADIC = ("torch.nn:Sequential",)
_SELF = syntax.identifier("self")

_CELLS = 4096
"""Most pairs of items that one alignment compares; beyond, only what is equal at both ends is shared."""

_Item = tuple[int, Tree]
"""An item of a sequence, and the members that have it."""


class Merger:
    """Merges templates.

    Args:
        defaults: The defaults of what is called.
        base: What the class derives from, as the text of a reference.
        holes: Whether constants may become parameters. Without, only what is equal is shared.
        optional: Gives the inputs of a child that it need not be given, by position, with their defaults.
    """

    def __init__(
        self,
        defaults: Defaults,
        base: str = "",
        *,
        holes: bool = True,
        optional: Callable[[str], Mapping[Any, Tree]] = lambda name: {},
    ) -> None:
        self.defaults = defaults
        self.optional = optional
        self.base = base
        self.holes = holes
        self.owner = ""
        self.rank = 2
        self.takes_any_sequence = False

    def function(self, left: Function, right: Function, masks: tuple[int, int]) -> Function | None:
        """Return both methods as one, None if their signatures differ in more than further inputs of one of them."""
        parameters = common_parameters(left, right, masks)
        bare = [item._replace(body=(), parameters=()) for item in (left, right)]
        if parameters is None or bare[0] != bare[1]:
            return None
        self.rank = 2 if left.name.startswith("forward") else 1
        body = self.sequence(left.body, right.body, masks)
        if self.rank == 2:
            body = self._with_fewer_variables(left.body, right.body, masks, body)
        return left._replace(body=body, parameters=parameters)

    def _with_fewer_variables(
        self, left: tuple[Tree, ...], right: tuple[Tree, ...], masks: tuple[int, int], merged: tuple[Tree, ...]
    ) -> tuple[Tree, ...]:
        """Return what is merged from bodies that give up variables of their own, if that is shorter."""
        least = sum(map(weight, merged))
        for mine, other in (
            *((item, right) for item in with_fewer_variables(left, merged)),
            *((left, item) for item in with_fewer_variables(right, merged)),
        ):
            found = self.sequence(mine, other, masks)
            if sum(map(weight, found)) < least:
                return self._with_fewer_variables(mine, other, masks, found)
        return merged

    def sequence(
        self, left: Sequence[Tree], right: Sequence[Tree], masks: tuple[int, int], *, elements: bool = False
    ) -> tuple[Tree, ...]:
        """Return the items of two lists or blocks, those that align as one, the others as slots."""
        ours = [(item.note, item.parts[0]) if item.kind == "slot" else (masks[0], item) for item in left]
        theirs = [(item.note, item.parts[0]) if item.kind == "slot" else (masks[1], item) for item in right]
        whole = masks[0] | masks[1]
        if not elements:
            ours, theirs = _with_variable(ours, theirs), _with_variable(theirs, ours)
        found: list[_Item] = []
        for pair in self._align(ours, theirs):
            if pair[2] is not None:
                found.append((pair[0] | pair[1], pair[2]))
        merged = self._gaps(found, masks) if elements else found
        return tuple(item if mask == whole else slot(item, mask) for mask, item in merged)

    def unify(self, left: Tree, right: Tree, masks: tuple[int, int]) -> Tree | None:
        """Return one template for two, None if they have too little in common."""
        if left == right or (left.kind in ("literal", "reference") and left[:2] == right[:2]):
            return left
        if left.kind == "hole" or right.kind == "hole":
            return self._hole(left, right, masks)
        if left.kind == "select" or right.kind == "select":
            return self._select(left, right, masks)
        if left.kind == "repeat" or right.kind == "repeat":
            return self._repeat(left, right, masks)
        if site_of(left) is not None and site_of(right) is not None:
            return self._constants(left, right, masks)
        if left.kind != right.kind or left.text != right.text:
            return None
        if left.kind == "call":
            return self._call(left, right, masks)
        if left.kind == "block":
            return left._replace(parts=self.sequence(left.parts, right.parts, masks))
        if left.kind == "list" and self.rank == 1:
            return left._replace(parts=self.sequence(left.parts, right.parts, masks, elements=True))
        if left.kind == "assign" and not left.text:
            return self._assign(left, right, masks)
        if left.kind in ("if", "for", "with") and left.parts[0] != right.parts[0]:
            return None
        return self._parts(left, right, masks)

    def value(self, left: Tree, right: Tree, masks: tuple[int, int]) -> Tree | None:
        """Return what `unify` does, or a choice between the two where they are short enough or the constructor's."""
        merged = self.unify(left, right, masks)
        if merged is not None or (self.rank == 2 and weight(left) + weight(right) > 8):
            return merged
        if not self.holes or "star" in (left.kind, right.kind):
            return None
        return Tree("select", "", (slot(left, masks[0]), slot(right, masks[1])))

    def _parts(self, left: Tree, right: Tree, masks: tuple[int, int]) -> Tree | None:
        if len(left.parts) != len(right.parts) or (not left.parts and left.note != right.note):
            return None
        found: list[Tree] = []
        for mine, other in zip(left.parts, right.parts, strict=True):
            merged = self.unify(mine, other, masks)
            if merged is None:
                return None
            found.append(merged)
        return left._replace(parts=tuple(found))

    def _constants(self, left: Tree, right: Tree, masks: tuple[int, int]) -> Tree | None:
        if self.takes_any_sequence and left.kind in ("tuple", "list") and right.kind in ("tuple", "list"):
            right = right._replace(kind=left.kind, text=left.text)
        if left.kind == right.kind and not is_whole(left) and not is_whole(right):
            merged = self._parts(left, right, masks)
            if merged is not None:
                return merged
        return self._hole(left, right, masks)

    def _hole(self, left: Tree, right: Tree, masks: tuple[int, int]) -> Tree | None:
        if not self.holes:
            return None
        values: dict[int, Tree] = {}
        site: Site | None = None
        for item, mask in ((left, masks[0]), (right, masks[1])):
            if item.kind == "hole":
                values |= item.note.values
                site = site or item.note.site
                continue
            own = site_of(item)
            if own is None or has_hole(item):
                return None
            site = site or own
            values |= dict.fromkeys(members_of(mask), plain(item))
        assert site is not None
        if len(values) > 1 and all(value == next(iter(values.values())) for value in values.values()):
            return with_site(next(iter(values.values())), site)
        return hole(values, site)

    def _select(self, left: Tree, right: Tree, masks: tuple[int, int]) -> Tree | None:
        if not self.holes:
            return None
        options = [_slot(part, masks[0]) for part in (left.parts if left.kind == "select" else (left,))]
        for part in right.parts if right.kind == "select" else (right,):
            mask, item = _slot(part, masks[1])
            for number, (known, option) in enumerate(options):
                merged = self.unify(option, item, (known, mask))
                if merged is not None:
                    options[number] = (known | mask, merged)
                    break
            else:
                options.append((mask, item))
        return Tree("select", "", tuple(slot(item, mask) for mask, item in options))

    def _repeat(self, left: Tree, right: Tree, masks: tuple[int, int]) -> Tree | None:
        items = [
            item.parts if item.kind == "repeat" else (item, syntax.literal("1", Site("depth", self.owner)))
            for item in (left, right)
        ]
        element = self.unify(items[0][0], items[1][0], masks)
        count = self.unify(items[0][1], items[1][1], masks)
        return None if element is None or count is None else Tree("repeat", "", (element, count))

    def _assign(self, left: Tree, right: Tree, masks: tuple[int, int]) -> Tree | None:
        if left.parts[0] != right.parts[0]:
            return None
        outer, self.owner = self.owner, left.parts[0].text
        merged = self.value(left.parts[1], right.parts[1], masks)
        self.owner = outer
        return None if merged is None else left._replace(parts=(left.parts[0], merged))

    def _call(self, left: Tree, right: Tree, masks: tuple[int, int]) -> Tree | None:
        function = self._callee(left.parts[0], right.parts[0], masks)
        if function is None:
            return None
        called = self.base if function.text == "__init__" else function.text
        if called in _VARIADIC:
            return Tree("call", "", (function, *self.sequence(left.parts[1:], right.parts[1:], masks, elements=True)))
        mine, other = _arguments(left), _arguments(right)
        if mine is None or other is None:
            return None
        known = self.defaults(called) if called != function.text or function.kind == "reference" else {}
        if function.kind == "attribute" and function.parts[0] == _SELF and self.rank == 2:
            known = self.optional(called)
        names = list(dict.fromkeys([*mine, *other]))
        if mine.keys() != other.keys():
            order = {name: place for place, name in enumerate(known, 1)}
            names.sort(key=lambda name: order.get(name, 0) if isinstance(name, str) else -1)
        outer, self.takes_any_sequence = self.takes_any_sequence, takes_any_sequence(left)
        args: list[Tree] = []
        for name in names:
            ours, theirs = (side[name] if name in side else self._default(known, name) for side in (mine, other))
            merged = None if ours is None or theirs is None else self.value(ours, theirs, masks)
            if merged is None:
                break
            args.append(Tree("keyword", name, (merged,)) if isinstance(name, str) else merged)
        self.takes_any_sequence = outer
        return Tree("call", "", (function, *args)) if len(args) == len(names) else None

    def _default(self, known: Mapping[Any, Tree], name: str | int) -> Tree | None:
        found = known.get(name)
        return with_site(found, Site(name, self.owner, self.rank)) if found and isinstance(name, str) else found

    def _callee(self, left: Tree, right: Tree, masks: tuple[int, int]) -> Tree | None:
        if self.rank == 1 and left != right and all(item.kind in ("reference", "hole") for item in (left, right)):
            site = self._class_site(left, right)
            if site is None:
                return None
            mine, other = (with_site(item, site) if item.kind == "reference" else item for item in (left, right))
            return self._hole(mine, other, masks)
        return self.unify(left, right, masks)

    def _class_site(self, left: Tree, right: Tree) -> Site | None:
        """Return the site of a class that is handed in: called like its attribute, in a sequence like its role."""
        if any(item.text in _VARIADIC for item in (left, right)):
            return None
        if self.owner:
            return Site(self.owner.lstrip("_"), self.owner, 1)
        roles = {_role(left), _role(right)}
        name = roles.pop()
        return None if roles or not name else Site(name, "", 1)

    def _align(self, ours: list[_Item], theirs: list[_Item]) -> list[tuple[int, int, Tree | None]]:
        """Pair items in order: the masks that have it, the item; what has no partner stands alone."""
        most = min(len(ours), len(theirs))
        head = next((index for index in range(most) if ours[index][1] != theirs[index][1]), most)
        most -= head
        tail = next((index for index in range(most) if ours[-1 - index][1] != theirs[-1 - index][1]), most)
        inner = self._best(ours[head : len(ours) - tail], theirs[head : len(theirs) - tail])
        equal = [(mine[0], other[0], mine[1]) for mine, other in zip(ours[:head], theirs[:head], strict=True)]
        behind = zip(ours[len(ours) - tail :], theirs[len(theirs) - tail :], strict=True)
        return [*equal, *inner, *((mine[0], other[0], mine[1]) for mine, other in behind)]

    def _best(self, ours: list[_Item], theirs: list[_Item]) -> list[tuple[int, int, Tree | None]]:
        if not ours or not theirs or len(ours) * len(theirs) > _CELLS:
            return [*((mask, 0, item) for mask, item in ours), *((0, mask, item) for mask, item in theirs)]
        pairs: dict[tuple[int, int], tuple[Tree, int]] = {}
        keys = [[_key(item) for _, item in side] for side in (ours, theirs)]
        for row, (mask, item) in enumerate(ours):
            for column, (other_mask, other) in enumerate(theirs):
                if keys[0][row] == keys[1][column] and not mask & other_mask:
                    merged = self.unify(item, other, (mask, other_mask))
                    gain = 0 if merged is None else weight(item) + weight(other) - weight(merged)
                    if merged is not None and gain > 0:
                        pairs[row, column] = (merged, gain)
        best = [[0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]
        for row in range(len(ours) - 1, -1, -1):
            for column in range(len(theirs) - 1, -1, -1):
                here = pairs.get((row, column))
                paired = best[row + 1][column + 1] + here[1] if here else -1
                best[row][column] = max(best[row + 1][column], best[row][column + 1], paired)
        return _walk(ours, theirs, pairs, best)

    def _gaps(self, items: list[_Item], masks: tuple[int, int]) -> list[_Item]:
        """Put elements that stand at the same place of two lists, one in each, together as a choice."""
        found: list[_Item] = []
        for mask, item in items:
            before = found[-1] if found else None
            if (
                before is not None
                and not before[0] & masks[1]
                and not mask & masks[0]
                and "repeat" not in (item.kind, before[1].kind)
            ):
                merged = self.value(before[1], item, masks)
                if merged is not None:
                    found[-1] = (mask | before[0], merged)
                    continue
            found.append((mask, item))
        return found


def _walk(
    ours: list[_Item], theirs: list[_Item], pairs: Mapping[tuple[int, int], tuple[Tree, int]], best: list[list[int]]
) -> list[tuple[int, int, Tree | None]]:
    found: list[tuple[int, int, Tree | None]] = []
    row = column = 0
    while row < len(ours) or column < len(theirs):
        here = pairs.get((row, column))
        if here is not None and best[row][column] == best[row + 1][column + 1] + here[1]:
            found.append((ours[row][0], theirs[column][0], here[0]))
            row, column = row + 1, column + 1
        elif row < len(ours) and best[row][column] == best[row + 1][column]:
            found.append((ours[row][0], 0, ours[row][1]))
            row += 1
        else:
            found.append((0, theirs[column][0], theirs[column][1]))
            column += 1
    return found


def _with_variable(items: list[_Item], others: list[_Item]) -> list[_Item]:
    """Return items that end in `x = f(x)` and `return x` for `return f(x)`, if that is how the others go on."""
    if (
        not items
        or items[-1][1].kind != "return"
        or (others and others[-1][1].kind == "return" and others[-1][1] == items[-1][1])
    ):
        return items
    mask, value = items[-1][0], items[-1][1].parts[0]
    key = _key(value)
    for _, other in reversed(others):
        if (
            value.kind == "call"
            and other.kind == "assign"
            and other.parts[0].kind == "name"
            and _key(other.parts[1]) == key
        ):
            target = other.parts[0]
            return [*items[:-1], (mask, syntax.assign(target, value)), (mask, syntax.return_of(target))]
    return items


def _slot(item: Tree, mask: int) -> _Item:
    return (item.note, item.parts[0]) if item.kind == "slot" else (mask, item)


def _arguments(tree: Tree) -> dict[str | int, Tree] | None:
    """Return the arguments of a call by position and name, None if some are starred."""
    found: dict[str | int, Tree] = {}
    for position, part in enumerate(tree.parts[1:]):
        if part.kind in ("star", "slot"):
            return None
        if part.kind == "keyword":
            found[part.text] = part.parts[0]
        else:
            found[position] = part
    return found


def _role(callee: Tree) -> str:
    """Return the role of a class, or of one of several that are handed in."""
    if callee.kind == "hole":
        found = {_role(value) for value in callee.note.values.values()}
        return found.pop() if len(found) == 1 else ""
    return role(callee.text) if callee.kind == "reference" else ""


def _key(tree: Tree) -> Any:
    """Return what two items must have in common to be one."""
    if tree.kind in ("assign", "if", "for", "with"):
        return (tree.kind, tree.text, tree.parts[0])
    if tree.kind == "expression":
        return (tree.kind, _key(tree.parts[0]))
    if tree.kind == "repeat":
        return _key(tree.parts[0])
    if tree.kind == "call":
        first = tree.parts[1:2]
        return (
            tree.kind,
            _role(tree.parts[0]) or tree.parts[0],
            first if first and first[0].kind == "attribute" else (),
        )
    if tree.kind == "tuple":
        return (tree.kind, tree.parts[:1])
    return tree.kind
