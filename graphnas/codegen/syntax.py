"""Source as plain data: the few forms of Python that generated source is made of.

A `Tree` is a tuple, cheap to build, to compare and to hash, so that classes can be compared and merged before anything
is laid out. Names of what is imported, and of generated classes, are open in it: `graphnas.codegen.render` fills them
in, sets parentheses and spaces, and makes libcst nodes of it. What an operation of the graph looks like is decided in
`graphnas.codegen.expressions`.
"""

from __future__ import annotations

import keyword
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, wraps
from typing import Any, NamedTuple, TypeAlias, TypeVar

from graphnas.errors import CodegenError

_T = TypeVar("_T")
_Seen = TypeVar("_Seen", "Tree", "Function")


class _Tree(NamedTuple):
    kind: str
    text: str = ""
    parts: tuple[Tree, ...] = ()
    note: Any = None


class Tree(_Tree):
    """An expression or a statement.

    | kind | text | parts |
    |---|---|---|
    | `name`, `literal` | the source | |
    | `reference` | `module:qualname`, or `:` and the number of a generated class | |
    | `attribute` | what follows the dot | object |
    | `subscript` | | object, indices; `slice` has three parts, `absent` where there is nothing |
    | `call` | | function, arguments; `keyword` has its name as text, `star` has `*` or `**` |
    | `binary`, `unary`, `comparison`, `boolean` | operator | operands |
    | `conditional` | | value, test, other value |
    | `tuple`, `list`, `dict` | `bare` for a tuple without parentheses | items; `pair`s for a dict |
    | `comprehension` | | element, target, iterable, and more pairs of target and iterable |
    | `assign` | operator for `+=` and its like | target, value |
    | `expression`, `return`, `pass` | | value |
    | `if`, `for`, `with`, `block` | | test, block, other block; target, iterable, block; context, block; statements |

    `note` says where a literal comes from, and takes no part in what the tree means.
    """

    def with_parts(self, parts: Iterable[Tree]) -> Tree:
        """Return the tree with other parts; the tree itself where all of them are the very same, as most are."""
        found = tuple(parts)
        if len(found) == len(self.parts) and all(map(operator.is_, found, self.parts)):
            return self
        return Tree(self.kind, self.text, found, self.note)


Expression: TypeAlias = Tree
Statement: TypeAlias = Tree

ABSENT = Tree("absent")


def identifier(text: str) -> Expression:
    """Return a name.

    Raises:
        CodegenError: The text is no identifier of Python, or a keyword.
    """
    _check_identifier(text)
    return Tree("name", text)


def reference(path: str) -> Expression:
    """Return the object at `module:qualname`, by the name under which the file will know it."""
    return Tree("reference", path)


def dotted(text: str) -> Expression:
    """Return `a.b.c`."""
    first, *rest = text.split(".")
    node = identifier(first)
    for part in rest:
        node = attribute(node, part)
    return node


def attribute(base: Expression, name: str) -> Expression:
    """Return `base.name`."""
    _check_identifier(name)
    return Tree("attribute", name, (base,))


def literal(text: str, note: Any = None) -> Expression:
    """Return a literal by its source."""
    return Tree("literal", text, (), note)


def string(text: str) -> Expression:
    """Return a string literal in double quotes where that needs no more escapes than single ones."""
    body = ascii(text)
    if body[0] == "'" and '"' not in body:
        body = f'"{body[1:-1]}"'
    return literal(body)


def integer(value: int) -> Expression:
    """Return an integer literal."""
    return literal(str(value))


def binary(operator: str, left: Expression, right: Expression) -> Expression:
    """Return `left operator right`."""
    return Tree("binary", operator, (left, right))


def boolean(operator: str, left: Expression, right: Expression) -> Expression:
    """Return `left and right`, or `left or right`."""
    return Tree("boolean", operator, (left, right))


def unary(operator: str, operand: Expression) -> Expression:
    """Return `operator operand`."""
    return Tree("unary", operator, (operand,))


def comparison(operator: str, left: Expression, right: Expression) -> Expression:
    """Return `left operator right`."""
    return Tree("comparison", operator, (left, right))


def conditional(value: Expression, test: Expression, other: Expression) -> Expression:
    """Return `value if test else other`."""
    return Tree("conditional", "", (value, test, other))


def call(
    function: Expression, args: Iterable[Expression] = (), kwargs: Iterable[tuple[str, Expression]] = ()
) -> Expression:
    """Return `function(*args, **kwargs)`; a keyword that is no identifier goes in by `**{...}`."""
    given = [function, *args]
    odd: list[tuple[Expression, Expression]] = []
    for name, value in kwargs:
        if name.isidentifier() and not keyword.iskeyword(name):
            given.append(Tree("keyword", name, (value,)))
        else:
            odd.append((string(name), value))
    if odd:
        given.append(Tree("star", "**", (dictionary(odd),)))
    return Tree("call", "", tuple(given))


def starred(items: Expression) -> Expression:
    """Return `*items`, in a call, a list or a tuple."""
    return Tree("star", "*", (items,))


def dictionary(items: Iterable[tuple[Expression, Expression]]) -> Expression:
    """Return `{key: value, ...}`."""
    return Tree("dict", "", tuple(Tree("pair", "", item) for item in items))


def tuple_of(items: Iterable[Expression], *, bare: bool = False) -> Expression:
    """Return `(a, b)`, without the parentheses if `bare`."""
    parts = tuple(items)
    return Tree("tuple", "bare" if bare and parts else "", parts)


def bare(node: Expression) -> Expression:
    """Return the expression; a tuple of several items without its parentheses."""
    return node._replace(text="bare") if node.kind == "tuple" and len(node.parts) > 1 else node


def list_of(items: Iterable[Expression]) -> Expression:
    """Return `[a, b]`."""
    return Tree("list", "", tuple(items))


def comprehension(element: Expression, target: Expression, source: Expression) -> Expression:
    """Return `[element for target in source]`."""
    return Tree("comprehension", "", (element, target, source))


def subscript(base: Expression, items: Sequence[Expression]) -> Expression:
    """Return `base[a, b:c]`."""
    return Tree("subscript", "", (base, *items))


def slice_of(start: Expression | None, stop: Expression | None, step: Expression | None) -> Expression:
    """Return `start:stop:step`, for use as an index."""
    return Tree("slice", "", tuple(ABSENT if item is None else item for item in (start, stop, step)))


def assign(target: Expression, value: Expression) -> Statement:
    """Return `target = value`."""
    _check_assignable(target)
    return Tree("assign", "", (target, value))


def augmented(operator: str, target: Expression, value: Expression) -> Statement:
    """Return `target operator value` for an operator like `+=`."""
    _check_assignable(target)
    return Tree("assign", operator, (target, value))


def expression_statement(value: Expression) -> Statement:
    """Return `value` as a statement."""
    return Tree("expression", "", (value,))


def return_of(value: Expression) -> Statement:
    """Return `return value`."""
    return Tree("return", "", (value,))


def block(statements: Iterable[Statement]) -> Tree:
    """Return the statements as the body of a compound one; an empty body is written as `pass`."""
    return Tree("block", "", tuple(statements))


def if_statement(test: Expression, body: Iterable[Statement], other: Iterable[Statement] = ()) -> Statement:
    """Return `if test: ... else: ...`, without `else` where nothing stands in it."""
    branches = (block(body), block(other))
    return Tree("if", "", (test, *(branches if branches[1].parts else branches[:1])))


def for_loop(target: Expression, source: Expression, body: Iterable[Statement]) -> Statement:
    """Return `for target in source:`."""
    return Tree("for", "", (target, source, block(body)))


def with_statement(context: Expression, body: Iterable[Statement]) -> Statement:
    """Return `with context:`."""
    return Tree("with", "", (context, block(body)))


class Parameter(NamedTuple):
    """A parameter of a function."""

    name: str
    annotation: Expression | None = None
    default: Expression | None = None


class _Function(NamedTuple):
    name: str
    parameters: tuple[Parameter, ...]
    body: tuple[Statement, ...]
    keyword_only: tuple[Parameter, ...] = ()
    returns: Expression | None = None


class Function(_Function):
    """A method, `self` left out of its parameters."""

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return super().__hash__()

    @cached_property
    def references(self) -> tuple[str, ...]:
        """The path of every reference, in order, repetitions included."""
        parameters = (*self.parameters, *self.keyword_only)
        around = (*(part for item in parameters for part in (item.annotation, item.default)), self.returns)
        heads = tuple(path for part in around if part is not None for path in references_in(part))
        return (*heads, *(path for item in self.body for path in references_in(item)))


def remembered(function: Callable[[_Seen], _T]) -> Callable[[_Seen], _T]:
    """Have a function look at every tree or method once: what it finds is kept with it, since nobody changes it.

    Most statements are the very same objects from class to class and from mutant to mutant.
    """
    name = f"{function.__module__}.{function.__name__}"

    @wraps(function)
    def look(item: _Seen) -> _T:
        memory = vars(item)
        if name not in memory:
            memory[name] = function(item)
        found: _T = memory[name]
        return found

    return look


def texts_of(wanted: str, tree: Tree) -> tuple[str, ...]:
    """Return the texts of all parts of one kind, in order, repetitions included."""
    found: list[str] = []
    waiting = [tree]
    while waiting:
        kind, text, parts, _ = waiting.pop()
        if kind == wanted:
            found.append(text)
        waiting += reversed(parts)
    return tuple(found)


@remembered
def references_in(tree: Tree) -> tuple[str, ...]:
    """Return the path of every reference, in order, repetitions included."""
    return texts_of("reference", tree)


def renamed(function: Function, paths: Mapping[str, str]) -> Function:
    """Return a method that refers to other objects, by path."""

    def visit(tree: Tree) -> Tree:
        if tree.kind == "reference":
            return tree._replace(text=paths.get(tree.text, tree.text))
        return tree.with_parts(map(visit, tree.parts))

    parameters = tuple(
        item if item.default is None else item._replace(default=visit(item.default)) for item in function.parameters
    )
    return function._replace(parameters=parameters, body=tuple(map(visit, function.body)))


def _check_identifier(text: str) -> None:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise CodegenError(f"{text!r} cannot be written as a name in source; rename it to a Python identifier")


def _check_assignable(target: Expression) -> None:
    if target.kind not in ("name", "attribute", "subscript", "tuple"):
        raise CodegenError(f"nothing can be assigned to a {target.kind}; please report this model")
