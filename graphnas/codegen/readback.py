"""Whether text says what trees mean: Python itself parses it, and the two are compared part by part.

Parentheses, spaces and line breaks do not count, so whatever a printer gets wrong shows as another program. What
belongs here: one comparison for each kind of tree. What does not: how trees are printed (`graphnas.codegen.render`).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from graphnas.codegen.syntax import Function, Parameter, Tree

_BINARY: Mapping[str, type[ast.operator]] = {
    "+": ast.Add,
    "-": ast.Sub,
    "*": ast.Mult,
    "/": ast.Div,
    "//": ast.FloorDiv,
    "%": ast.Mod,
    "@": ast.MatMult,
    "**": ast.Pow,
    "&": ast.BitAnd,
    "|": ast.BitOr,
    "^": ast.BitXor,
    "<<": ast.LShift,
    ">>": ast.RShift,
}
_BOOLEAN: Mapping[str, type[ast.boolop]] = {"and": ast.And, "or": ast.Or}
_UNARY: Mapping[str, type[ast.unaryop]] = {"-": ast.USub, "+": ast.UAdd, "~": ast.Invert, "not": ast.Not}
_COMPARISONS: Mapping[str, type[ast.cmpop]] = {
    "==": ast.Eq,
    "!=": ast.NotEq,
    "<": ast.Lt,
    "<=": ast.LtE,
    ">": ast.Gt,
    ">=": ast.GtE,
    "is": ast.Is,
    "is not": ast.IsNot,
    "in": ast.In,
}


def says_class(
    found: ast.stmt, name: str, base: Tree, functions: Sequence[Function], spelled: Mapping[str, str]
) -> bool:
    """Tell whether a parsed statement is a class with one base, a docstring, and these methods, in this order.

    Args:
        found: The statement.
        name: Name of the class.
        base: What it derives from.
        functions: Its methods.
        spelled: The dotted name of each reference in them.
    """
    reader = _Reader(spelled)
    if not isinstance(found, ast.ClassDef) or found.name != name or found.keywords or found.decorator_list:
        return False
    docstring, methods = found.body[0], found.body[1:]
    return (
        isinstance(docstring, ast.Expr)
        and isinstance(docstring.value, ast.Constant)
        and isinstance(docstring.value.value, str)
        and reader.all((base,), found.bases)
        and len(methods) == len(functions)
        and all(map(reader.function, functions, methods))
    )


class _Reader:
    """Compares trees with what the parser made of them; every method answers whether they are the same."""

    def __init__(self, spelled: Mapping[str, str]) -> None:
        self.spelled = spelled

    def function(self, meant: Function, found: ast.stmt) -> bool:
        """Compare a method."""
        if not isinstance(found, ast.FunctionDef) or found.name != meant.name or found.decorator_list:
            return False
        given = found.args
        plain = not given.posonlyargs and given.vararg is None and given.kwarg is None
        given_defaults = [None] * (len(given.args) - len(given.defaults)) + given.defaults
        return (
            plain
            and given.args[0].arg == "self"
            and self._parameters(meant.parameters, given.args[1:], given_defaults[1:])
            and self._parameters(meant.keyword_only, given.kwonlyargs, given.kw_defaults)
            and self._optional(meant.returns, found.returns)
            and self._block(meant.body, found.body)
        )

    def all(self, meant: Sequence[Tree], found: Sequence[Any]) -> bool:
        """Compare part by part."""
        return len(meant) == len(found) and all(map(self.same, meant, found))

    def same(self, meant: Tree, found: Any) -> bool:
        """Compare an expression, a statement, or a part of one."""
        return bool(getattr(self, f"_{meant.kind}")(meant, found))

    def _parameters(
        self, meant: Sequence[Parameter], found: Sequence[ast.arg], defaults: Sequence[ast.expr | None]
    ) -> bool:
        return len(meant) == len(found) and all(
            item.name == arg.arg
            and self._optional(item.annotation, arg.annotation)
            and self._optional(item.default, default)
            for item, arg, default in zip(meant, found, defaults, strict=True)
        )

    def _optional(self, meant: Tree | None, found: ast.AST | None) -> bool:
        return (
            found is None if meant is None or meant.kind == "absent" else found is not None and self.same(meant, found)
        )

    def _block(self, meant: Sequence[Tree], found: Sequence[ast.stmt]) -> bool:
        return self.all(meant or (Tree("pass"),), found)

    # Expressions

    def _name(self, meant: Tree, found: Any) -> bool:
        return type(found) is ast.Name and found.id == meant.text

    def _literal(self, meant: Tree, found: Any) -> bool:
        known = _parsed(meant.text)
        if type(found) is type(known) is ast.Constant and type(found.value) in (int, str, float):
            return type(found.value) is type(known.value) and found.value == known.value
        return ast.dump(found) == ast.dump(known)

    def _reference(self, meant: Tree, found: Any) -> bool:
        names: list[str] = []
        while type(found) is ast.Attribute:
            names.append(found.attr)
            found = found.value
        return type(found) is ast.Name and ".".join([found.id, *reversed(names)]) == self.spelled[meant.text]

    def _attribute(self, meant: Tree, found: Any) -> bool:
        return type(found) is ast.Attribute and found.attr == meant.text and self.same(meant.parts[0], found.value)

    def _subscript(self, meant: Tree, found: Any) -> bool:
        if type(found) is not ast.Subscript or not self.same(meant.parts[0], found.value):
            return False
        indices = meant.parts[1:]
        return self.same(indices[0] if len(indices) == 1 else Tree("tuple", "", indices), found.slice)

    def _slice(self, meant: Tree, found: Any) -> bool:
        return type(found) is ast.Slice and all(
            map(self._optional, meant.parts, (found.lower, found.upper, found.step))
        )

    def _call(self, meant: Tree, found: Any) -> bool:
        if type(found) is not ast.Call or not self.same(meant.parts[0], found.func):
            return False
        named = [item.kind == "keyword" or (item.kind, item.text) == ("star", "**") for item in meant.parts[1:]]
        count = named.index(True) if True in named else len(named)
        return self.all(meant.parts[1 : 1 + count], found.args) and self.all(meant.parts[1 + count :], found.keywords)

    def _keyword(self, meant: Tree, found: Any) -> bool:
        return type(found) is ast.keyword and found.arg == meant.text and self.same(meant.parts[0], found.value)

    def _star(self, meant: Tree, found: Any) -> bool:
        if meant.text == "**":
            return type(found) is ast.keyword and found.arg is None and self.same(meant.parts[0], found.value)
        return type(found) is ast.Starred and self.same(meant.parts[0], found.value)

    def _binary(self, meant: Tree, found: Any) -> bool:
        known = type(found) is ast.BinOp and type(found.op) is _BINARY[meant.text]
        return known and self.all(meant.parts, (found.left, found.right))

    def _boolean(self, meant: Tree, found: Any) -> bool:
        operands = list(meant.parts)
        while operands[0].kind == "boolean" and operands[0].text == meant.text:  # the parser has them all in a row
            operands[:1] = operands[0].parts
        known = type(found) is ast.BoolOp and type(found.op) is _BOOLEAN[meant.text]
        return known and self.all(operands, found.values)

    def _unary(self, meant: Tree, found: Any) -> bool:
        known = type(found) is ast.UnaryOp and type(found.op) is _UNARY[meant.text]
        return known and self.same(meant.parts[0], found.operand)

    def _comparison(self, meant: Tree, found: Any) -> bool:
        known = type(found) is ast.Compare and [type(item) for item in found.ops] == [_COMPARISONS[meant.text]]
        return known and self.all(meant.parts, (found.left, *found.comparators))

    def _conditional(self, meant: Tree, found: Any) -> bool:
        return type(found) is ast.IfExp and self.all(meant.parts, (found.body, found.test, found.orelse))

    def _tuple(self, meant: Tree, found: Any) -> bool:
        return type(found) is ast.Tuple and self.all(meant.parts, found.elts)

    def _list(self, meant: Tree, found: Any) -> bool:
        return type(found) is ast.List and self.all(meant.parts, found.elts)

    def _dict(self, meant: Tree, found: Any) -> bool:
        pairs = [item.parts for item in meant.parts]
        keys, values = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        return type(found) is ast.Dict and self.all([*keys, *values], [*found.keys, *found.values])

    def _comprehension(self, meant: Tree, found: Any) -> bool:
        if type(found) is not ast.ListComp or any(loop.ifs or loop.is_async for loop in found.generators):
            return False
        return self.all(
            meant.parts, (found.elt, *(part for loop in found.generators for part in (loop.target, loop.iter)))
        )

    # Statements

    def _assign(self, meant: Tree, found: Any) -> bool:
        if not meant.text:
            return type(found) is ast.Assign and self.all(meant.parts, (*found.targets, found.value))
        known = type(found) is ast.AugAssign and type(found.op) is _BINARY[meant.text[:-1]]
        return known and self.all(meant.parts, (found.target, found.value))

    def _expression(self, meant: Tree, found: Any) -> bool:
        return type(found) is ast.Expr and self.same(meant.parts[0], found.value)

    def _return(self, meant: Tree, found: Any) -> bool:
        return type(found) is ast.Return and self._optional(meant.parts[0], found.value)

    def _pass(self, meant: Tree, found: Any) -> bool:
        return type(found) is ast.Pass

    def _if(self, meant: Tree, found: Any) -> bool:
        other = meant.parts[2].parts if len(meant.parts) > 2 else ()
        return (
            type(found) is ast.If
            and self.same(meant.parts[0], found.test)
            and self._block(meant.parts[1].parts, found.body)
            and self.all(other, found.orelse)
        )

    def _for(self, meant: Tree, found: Any) -> bool:
        known = type(found) is ast.For and not found.orelse
        heads = meant.parts[:2]
        return known and self.all(heads, (found.target, found.iter)) and self._block(meant.parts[2].parts, found.body)

    def _with(self, meant: Tree, found: Any) -> bool:
        if type(found) is not ast.With or len(found.items) != 1 or found.items[0].optional_vars is not None:
            return False
        context = self.same(meant.parts[0], found.items[0].context_expr)
        return context and self._block(meant.parts[1].parts, found.body)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body
