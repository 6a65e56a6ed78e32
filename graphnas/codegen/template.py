"""Templates: trees that stand for several definitions at once, the *members* of a class.

A set of members is an int, bit by bit. Beside the kinds of `syntax.Tree`, a template has

| kind | note | parts |
|---|---|---|
| `hole` | the `Column` of its values, member by member | |
| `slot` | the members that have it | one item of a list or block that others lack |
| `select` | | `slot`s: each member has one of them |
| `repeat` | | an item of a list, and how often it stands there, which may be a hole |
| `tensor` | the data | a tensor that does not fit into source; the text is its attribute |

Merging (`graphnas.codegen.merge`) makes templates, settling (`graphnas.codegen.settle`) turns them into plain trees
with constructor parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from graphnas.codegen.syntax import Function, Tree, remembered


class Site(NamedTuple):
    """Where a constant stands, so that a parameter for it can be named.

    Attributes:
        name: Its keyword, or what comes closest.
        owner: The child or variable that it belongs to.
        rank: 0 in the call of a child's constructor, 1 elsewhere in a constructor, 2 in a forward.
    """

    name: str
    owner: str = ""
    rank: int = 0


@dataclass(frozen=True)
class Column:
    """The values at one place of a template, by member."""

    values: Mapping[int, Tree]
    site: Site


def hole(values: Mapping[int, Tree], site: Site) -> Tree:
    """Return the place of a value that differs between members."""
    return Tree("hole", "", (), Column(values, site))


def slot(tree: Tree, members: int) -> Tree:
    """Return an item that only some members have."""
    return Tree("slot", "", (tree,), members)


def item_of(tree: Tree) -> Tree:
    """Return the item itself, whoever has it."""
    return tree.parts[0] if tree.kind == "slot" else tree


def has_hole(tree: Tree) -> bool:
    """Tell whether members differ in a tree."""
    return tree.kind == "hole" or any(map(has_hole, tree.parts))


def mask_of(members: Iterable[int]) -> int:
    """Return a set of members as a number with a bit for each."""
    return sum(1 << number for number in members)


def members_of(mask: int) -> Iterator[int]:
    """Yield the members of a set, in order."""
    number = 0
    while mask:
        if mask & 1:
            yield number
        mask >>= 1
        number += 1


def site_of(tree: Tree) -> Site | None:
    """Return where a constant stands; None if it is no constant, or one that cannot become a parameter."""
    if tree.kind in ("literal", "reference"):
        return tree.note if isinstance(tree.note, Site) else None
    if tree.kind == "hole":
        site: Site = tree.note.site
        return site
    if tree.kind not in ("tuple", "list"):
        return None
    sites = [site_of(part) for part in tree.parts]
    return None if None in sites else next(iter(sites), None)


def with_site(tree: Tree, site: Site) -> Tree:
    """Return a constant that stands at another place."""
    if tree.kind in ("literal", "reference"):
        return tree._replace(note=site)
    return tree._replace(parts=tuple(with_site(part, site) for part in tree.parts))


def owned(tree: Tree, owner: str) -> Tree:
    """Return a call whose constants are those of `owner`, under the names of the keywords that they have."""
    if isinstance(tree.note, Site):
        return tree._replace(note=tree.note._replace(owner=owner))
    return tree._replace(parts=tuple(owned(part, owner) for part in tree.parts)) if tree.parts else tree


def plain(tree: Tree) -> Tree:
    """Return a constant without its place, for comparison."""
    if tree.kind == "hole":
        return tree
    return Tree(tree.kind, tree.text, tuple(map(plain, tree.parts)))


@remembered
def skeleton(function: Function) -> Function:
    """Return what is left of a method when all constants that can become parameters are left out."""
    return function._replace(body=tuple(map(_skeleton, function.body)))


def _skeleton(tree: Tree) -> Tree:
    if is_whole(tree):
        return _CONSTANT
    if not tree.parts:
        return tree
    parts = [*map(_skeleton, tree.parts)]
    return tree.with_parts(map(_with_tuple, parts) if takes_any_sequence(tree) else parts)


def takes_any_sequence(call: Tree) -> bool:
    """Tell whether a tree is the call of a function that makes no difference between a tuple and a list of numbers."""
    return call.kind == "call" and call.parts[0].text.startswith(("torch:", "torch.nn.functional:"))


def _with_tuple(argument: Tree) -> Tree:
    """Return an argument of a skeleton, a list of constants as a tuple."""
    if argument.kind == "keyword":
        return argument._replace(parts=(_with_tuple(argument.parts[0]),))
    is_list = argument.kind == "list" and all(item == _CONSTANT for item in argument.parts)
    return argument._replace(kind="tuple") if is_list else argument


_CONSTANT = Tree("literal", "?")


def is_whole(tree: Tree) -> bool:
    """Tell whether a tree is one constant: of the argument `kernel_size=(3, 1)` of a child, both numbers together."""
    site = site_of(tree)
    return site is not None and (not tree.parts or site.rank == 0)


def generalise(trees: Sequence[Tree], members: Sequence[int]) -> Tree:
    """Return the template of trees that have one skeleton."""
    first = trees[0]
    if all(tree == first for tree in trees[1:]):
        return first
    if is_whole(first):
        site = site_of(first)
        assert site is not None
        values = [plain(tree) for tree in trees]
        return first if len(set(values)) == 1 else hole(dict(zip(members, values, strict=True)), site)
    parts = zip(*(tree.parts for tree in trees), strict=True)
    return first._replace(parts=tuple(generalise(part, members) for part in parts))


_WEIGHTS = {"pair": 0, "absent": 0, "block": 0, "slot": 0, "subscript": 1, "binary": 2, "unary": 2, "comparison": 2}
_WEIGHTS |= {"comprehension": 2, "select": 2, "slice": 1, "repeat": 8, "tensor": 3}


@remembered
def weight(tree: Tree) -> int:
    """Return how many syntax nodes a tree has, those of `ast` without contexts."""
    return _weight(tree)


def _weight(tree: Tree) -> int:
    own = _WEIGHTS.get(tree.kind, 1)
    if tree.kind == "reference":
        own += tree.text.startswith("torch") + tree.text.count(".") - tree.text.startswith("torch.nn")
    elif tree.kind == "literal" and tree.text[0] in "-0123456789":
        own = 6 if "**-" in tree.text else 3 if not tree.text[0].isdigit() or "**" in tree.text else 1
    elif tree.kind == "subscript" and len(tree.parts) > 2:
        own = 2
    elif tree.kind == "comprehension":
        own = 1 + (len(tree.parts) - 1) // 2
    elif tree.kind == "assign" and tree.text:
        own = 2
    return own + sum(map(_weight, tree.parts)) if tree.parts else own
