"""Builders of libcst nodes: the few forms of Python that generated source is made of.

Parentheses are put in here, by precedence, so that the rest may compose expressions freely. What an operation of the
graph looks like is decided in `graphnas.codegen.expressions`.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import libcst as cst

from graphnas.errors import CodegenError

Expression: TypeAlias = cst.BaseExpression
Statement: TypeAlias = cst.SimpleStatementLine | cst.BaseCompoundStatement

_ATOM = 100
_UNARY = 14
_COMPARISON = 6
_BINARY: dict[type[cst.BaseBinaryOp], int] = {
    cst.BitOr: 8,
    cst.BitXor: 9,
    cst.BitAnd: 10,
    cst.LeftShift: 11,
    cst.RightShift: 11,
    cst.Add: 12,
    cst.Subtract: 12,
    cst.Multiply: 13,
    cst.Divide: 13,
    cst.FloorDivide: 13,
    cst.Modulo: 13,
    cst.MatrixMultiply: 13,
    cst.Power: 15,
}
_SPACE = cst.SimpleWhitespace(" ")
_NO_SPACE = cst.SimpleWhitespace("")


def identifier(text: str) -> cst.Name:
    """Return a name.

    Raises:
        CodegenError: The text is no identifier of Python, or a keyword.
    """
    if not text.isidentifier() or keyword.iskeyword(text):
        raise CodegenError(f"{text!r} cannot be written as a name in source; rename it to a Python identifier")
    return cst.Name(text)


def dotted(text: str) -> Expression:
    """Return `a.b.c`."""
    first, *rest = text.split(".")
    node: Expression = identifier(first)
    for part in rest:
        node = attribute(node, part)
    return node


def attribute(base: Expression, name: str) -> cst.Attribute:
    """Return `base.name`."""
    return cst.Attribute(value=atom(base), attr=identifier(name))


def atom(node: Expression) -> Expression:
    """Return the expression in a form that a dot, a call or an index may follow."""
    if isinstance(node, (cst.Integer, cst.Float)):
        return parenthesized(node)
    return parenthesized(node) if precedence(node) < _ATOM else node


def parenthesized(node: Expression) -> Expression:
    """Return `(node)`."""
    if node.lpar:
        return node
    return node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def precedence(node: Expression) -> int:
    """Return how tightly an expression binds; more is tighter."""
    if node.lpar:
        return _ATOM
    if isinstance(node, cst.BinaryOperation):
        return _BINARY[type(node.operator)]
    if isinstance(node, cst.UnaryOperation):
        return 5 if isinstance(node.operator, cst.Not) else _UNARY
    if isinstance(node, cst.Comparison):
        return _COMPARISON
    if isinstance(node, cst.Tuple):
        return 0
    return _ATOM


def binary(operator: cst.BaseBinaryOp, left: Expression, right: Expression) -> Expression:
    """Return `left operator right`."""
    own = _BINARY[type(operator)]
    is_power = isinstance(operator, cst.Power)
    if precedence(left) < own + is_power:
        left = parenthesized(left)
    if precedence(right) < (_UNARY if is_power else own + 1):
        right = parenthesized(right)
    if is_power and _is_simple(left) and _is_simple(right):
        operator = cst.Power(whitespace_before=_NO_SPACE, whitespace_after=_NO_SPACE)
    return cst.BinaryOperation(left=left, operator=operator, right=right)


def unary(operator: cst.BaseUnaryOp, operand: Expression) -> Expression:
    """Return `operator operand`."""
    own = 5 if isinstance(operator, cst.Not) else _UNARY
    return cst.UnaryOperation(operator, parenthesized(operand) if precedence(operand) < own else operand)


def comparison(operator: cst.BaseCompOp, left: Expression, right: Expression) -> Expression:
    """Return `left operator right`."""
    left, right = (parenthesized(item) if precedence(item) <= _COMPARISON else item for item in (left, right))
    return cst.Comparison(left, [cst.ComparisonTarget(operator, right)])


def call(
    function: Expression, args: Iterable[Expression] = (), kwargs: Iterable[tuple[str, Expression]] = ()
) -> cst.Call:
    """Return `function(*args, **kwargs)`; a keyword that is no identifier goes in by `**{...}`."""
    given = [cst.Arg(item) for item in args]
    odd: list[tuple[Expression, Expression]] = []
    for name, value in kwargs:
        if name.isidentifier() and not keyword.iskeyword(name):
            given.append(
                cst.Arg(
                    value,
                    keyword=cst.Name(name),
                    equal=cst.AssignEqual(whitespace_before=_NO_SPACE, whitespace_after=_NO_SPACE),
                )
            )
        else:
            odd.append((string(name), value))
    if odd:
        given.append(cst.Arg(dictionary(odd), star="**"))
    return cst.Call(func=atom(function), args=given)


def starred_call(function: Expression, items: Expression) -> cst.Call:
    """Return `function(*items)`."""
    return cst.Call(func=atom(function), args=[cst.Arg(items, star="*")])


def string(text: str) -> cst.SimpleString:
    """Return a string literal in double quotes where that needs no more escapes than single ones."""
    body = ascii(text)
    if body[0] == "'" and '"' not in body:
        body = f'"{body[1:-1]}"'
    return cst.SimpleString(body)


def integer(value: int) -> Expression:
    """Return an integer literal."""
    return cst.Integer(str(value)) if value >= 0 else cst.UnaryOperation(cst.Minus(), cst.Integer(str(-value)))


def dictionary(items: Iterable[tuple[Expression, Expression]]) -> cst.Dict:
    """Return `{key: value, ...}`."""
    return cst.Dict([cst.DictElement(key, value) for key, value in items])


def tuple_of(items: Sequence[Expression], *, bare: bool = False) -> Expression:
    """Return `(a, b)`, without the parentheses if `bare`."""
    elements = [cst.Element(item) for item in items]
    if len(elements) == 1:
        elements = [cst.Element(items[0], comma=cst.Comma())]
    if bare and items:
        return cst.Tuple(elements, lpar=[], rpar=[])
    return cst.Tuple(elements)


def list_of(items: Iterable[Expression]) -> cst.List:
    """Return `[a, b]`."""
    return cst.List([cst.Element(item) for item in items])


def comprehension(element: Expression, target: str, source: Expression) -> cst.ListComp:
    """Return `[element for target in source]`."""
    return cst.ListComp(element, cst.CompFor(target=identifier(target), iter=source))


def subscript(base: Expression, items: Sequence[Expression | cst.Slice]) -> cst.Subscript:
    """Return `base[a, b:c]`."""
    elements = [cst.SubscriptElement(item if isinstance(item, cst.Slice) else cst.Index(item)) for item in items]
    if len(elements) == 1 and isinstance(items[0], cst.Tuple) and not items[0].lpar:
        elements = [cst.SubscriptElement(cst.Index(parenthesized(items[0])))]
    return cst.Subscript(atom(base), elements)


def line(*parts: cst.BaseSmallStatement) -> cst.SimpleStatementLine:
    """Return a line of simple statements."""
    return cst.SimpleStatementLine(parts)


def assign(target: Expression, value: Expression) -> cst.SimpleStatementLine:
    """Return `target = value`."""
    return line(cst.Assign([cst.AssignTarget(assignable(target))], value))


def assignable(node: Expression) -> cst.BaseAssignTargetExpression:
    """Return the expression as the target of an assignment.

    Raises:
        CodegenError: Nothing can be assigned to it.
    """
    if isinstance(node, cst.BaseAssignTargetExpression):
        return node
    raise CodegenError(f"nothing can be assigned to {cst.Module([]).code_for_node(node)}")


def expression_statement(value: Expression) -> cst.SimpleStatementLine:
    """Return `value` as a statement."""
    return line(cst.Expr(value))


def block(statements: Sequence[Statement]) -> cst.IndentedBlock:
    """Return an indented block; an empty one holds `pass`."""
    return cst.IndentedBlock(list(statements) or [line(cst.Pass())])


def for_loop(target: str, source: Expression, body: Sequence[Statement]) -> cst.For:
    """Return `for target in source:`."""
    return cst.For(target=identifier(target), iter=source, body=block(body))


def parameter(name: str, annotation: Expression | None = None, default: Expression | None = None) -> cst.Param:
    """Return a parameter of a function."""
    spaced = annotation is not None
    blank = _SPACE if spaced else _NO_SPACE
    return cst.Param(
        identifier(name),
        annotation=None if annotation is None else cst.Annotation(annotation),
        default=default,
        equal=cst.AssignEqual(whitespace_before=blank, whitespace_after=blank)
        if default is not None
        else cst.MaybeSentinel.DEFAULT,
    )


def function(
    name: str,
    params: Sequence[cst.Param],
    body: Sequence[Statement],
    *,
    keyword_only: Sequence[cst.Param] = (),
    returns: Expression | None = None,
) -> cst.FunctionDef:
    """Return a method with `self` in front of its parameters."""
    parameters = cst.Parameters(params=[cst.Param(cst.Name("self")), *params], kwonly_params=list(keyword_only))
    return cst.FunctionDef(
        identifier(name), parameters, block(body), returns=None if returns is None else cst.Annotation(returns)
    )


def shape(node: Any) -> Any:
    """Return what a tree means: types and contents of its nodes without spaces, commas and parentheses.

    Two trees of equal shape stand for the same program. Parentheses left out where they are needed change the parse.
    """
    if isinstance(node, cst.CSTNode):
        kind = type(node)
        fields = _FIELDS.get(kind)
        if fields is None:
            fields = tuple(
                name for name in kind.__dataclass_fields__ if not name.startswith("whitespace") and name not in _LAYOUT
            )
            _FIELDS[kind] = fields
        return (kind.__name__, *(shape(getattr(node, name)) for name in fields))
    if isinstance(node, (list, tuple)):
        return tuple(shape(item) for item in node)
    return None if isinstance(node, cst.MaybeSentinel) or node == "" else node


_LAYOUT = frozenset(
    {"lpar", "rpar", "lbracket", "rbracket", "lbrace", "rbrace", "comma", "semicolon", "equal", "leading_lines"}
    | {"trailing_whitespace", "header", "footer", "indent", "lines_after_decorators", "colon", "dot"}
    | {"first_colon", "second_colon", "posonly_ind", "star_arg", "type_comment", "__metadata"}
)
_FIELDS: dict[type, tuple[str, ...]] = {}


def _is_simple(node: Expression) -> bool:
    """Tell whether the formatter writes `**` without spaces beside this operand."""
    if isinstance(node, cst.UnaryOperation):
        node = node.expression
    while isinstance(node, cst.Attribute) and not node.lpar:
        node = node.value
    return isinstance(node, (cst.Name, cst.Integer, cst.Float)) and not node.lpar
