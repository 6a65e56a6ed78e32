"""Trees as libcst nodes: parentheses by precedence, spaces as the formatter sets them, names of what is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import libcst as cst

from graphnas.codegen.syntax import Function, Parameter, Tree

Statement: TypeAlias = cst.SimpleStatementLine | cst.BaseCompoundStatement

_ATOM = 100
_NOT = 5
_COMPARISON = 6
_STARRED = 8
_UNARY = 14
_CONDITIONAL = 1
_BOOLEAN: dict[str, tuple[int, type[cst.BaseBooleanOp]]] = {"or": (3, cst.Or), "and": (4, cst.And)}
_POWER = 15
_BINARY: dict[str, tuple[int, type[cst.BaseBinaryOp]]] = {
    "|": (8, cst.BitOr),
    "^": (9, cst.BitXor),
    "&": (10, cst.BitAnd),
    "<<": (11, cst.LeftShift),
    ">>": (11, cst.RightShift),
    "+": (12, cst.Add),
    "-": (12, cst.Subtract),
    "*": (13, cst.Multiply),
    "/": (13, cst.Divide),
    "//": (13, cst.FloorDivide),
    "%": (13, cst.Modulo),
    "@": (13, cst.MatrixMultiply),
    "**": (_POWER, cst.Power),
}
_UNARY_OPERATORS: dict[str, type[cst.BaseUnaryOp]] = {
    "-": cst.Minus,
    "+": cst.Plus,
    "~": cst.BitInvert,
    "not": cst.Not,
}
_COMPARISONS: dict[str, type[cst.BaseCompOp]] = {
    "==": cst.Equal,
    "!=": cst.NotEqual,
    "<": cst.LessThan,
    "<=": cst.LessThanEqual,
    ">": cst.GreaterThan,
    ">=": cst.GreaterThanEqual,
    "is": cst.Is,
    "is not": cst.IsNot,
    "in": cst.In,
}
_AUGMENTED: dict[str, type[cst.BaseAugOp]] = {
    "+=": cst.AddAssign,
    "-=": cst.SubtractAssign,
    "*=": cst.MultiplyAssign,
    "/=": cst.DivideAssign,
    "//=": cst.FloorDivideAssign,
    "%=": cst.ModuloAssign,
    "@=": cst.MatrixMultiplyAssign,
    "**=": cst.PowerAssign,
    "&=": cst.BitAndAssign,
    "|=": cst.BitOrAssign,
    "^=": cst.BitXorAssign,
    "<<=": cst.LeftShiftAssign,
    ">>=": cst.RightShiftAssign,
}
_NO_SPACE = cst.SimpleWhitespace("")
_SPACE = cst.SimpleWhitespace(" ")


class Renderer:
    """Makes libcst nodes.

    Args:
        spelled: The dotted name of each reference.
    """

    def __init__(self, spelled: Mapping[str, str]) -> None:
        self.spelled = spelled

    def expression(self, tree: Tree) -> cst.BaseExpression:
        """Return an expression."""
        node: cst.BaseExpression = getattr(self, f"_{tree.kind}")(tree)
        return node

    def statement(self, tree: Tree) -> Statement:
        """Return a statement."""
        write = self.expression
        if tree.kind == "if":
            other = cst.Else(self.block(tree.parts[2].parts)) if len(tree.parts) > 2 else None
            inner = self.block(tree.parts[1].parts)
            if other is not None and len(tree.parts[2].parts) == 1 and tree.parts[2].parts[0].kind == "if":
                chained = self.statement(tree.parts[2].parts[0])
                assert isinstance(chained, cst.If)
                return cst.If(write(tree.parts[0]), inner, orelse=chained)
            return cst.If(write(tree.parts[0]), inner, orelse=other)
        if tree.kind == "for":
            target, source, body = tree.parts
            return cst.For(self._target(target), write(source), self.block(body.parts))
        if tree.kind == "with":
            return cst.With([cst.WithItem(write(tree.parts[0]))], self.block(tree.parts[1].parts))
        return cst.SimpleStatementLine([self._small(tree)])

    def block(self, statements: Sequence[Tree]) -> cst.IndentedBlock:
        """Return an indented block; an empty one holds `pass`."""
        return cst.IndentedBlock([self.statement(item) for item in statements or (Tree("pass"),)])

    def function(self, function: Function) -> cst.FunctionDef:
        """Return a method."""
        parameters = cst.Parameters(
            params=[cst.Param(cst.Name("self")), *map(self._parameter, function.parameters)],
            kwonly_params=list(map(self._parameter, function.keyword_only)),
        )
        returns = None if function.returns is None else cst.Annotation(self.expression(function.returns))
        return cst.FunctionDef(cst.Name(function.name), parameters, self.block(function.body), returns=returns)

    def _small(self, tree: Tree) -> cst.BaseSmallStatement:
        if tree.kind == "assign":
            target, value = self._target(tree.parts[0]), self.expression(tree.parts[1])
            if tree.text:
                return cst.AugAssign(target, _AUGMENTED[tree.text](), value)
            return cst.Assign([cst.AssignTarget(target)], value)
        if tree.kind == "return":
            return cst.Return(self.expression(tree.parts[0]))
        return cst.Pass() if tree.kind == "pass" else cst.Expr(self.expression(tree.parts[0]))

    def _target(self, tree: Tree) -> cst.BaseAssignTargetExpression:
        node = self.expression(tree)
        assert isinstance(node, cst.BaseAssignTargetExpression)
        return node

    def _parameter(self, item: Parameter) -> cst.Param:
        blank = _NO_SPACE if item.annotation is None else _SPACE
        equal: cst.AssignEqual | cst.MaybeSentinel = cst.MaybeSentinel.DEFAULT
        if item.default is not None:
            equal = cst.AssignEqual(whitespace_before=blank, whitespace_after=blank)
        return cst.Param(
            cst.Name(item.name),
            annotation=None if item.annotation is None else cst.Annotation(self.expression(item.annotation)),
            default=None if item.default is None else self.expression(item.default),
            equal=equal,
        )

    def _name(self, tree: Tree) -> cst.BaseExpression:
        return cst.Name(tree.text)

    def _reference(self, tree: Tree) -> cst.BaseExpression:
        first, *rest = self.spelled[tree.text].split(".")
        node: cst.BaseExpression = cst.Name(first)
        for part in rest:
            node = cst.Attribute(node, cst.Name(part))
        return node

    def _literal(self, tree: Tree) -> cst.BaseExpression:
        text = tree.text
        if text in ("None", "True", "False"):
            return cst.Name(text)
        if text.isdecimal():
            return cst.Integer(text)
        return cst.SimpleString(text) if text[0] in "'\"" else cst.parse_expression(text)

    def _attribute(self, tree: Tree) -> cst.BaseExpression:
        return cst.Attribute(self._atom(tree.parts[0]), cst.Name(tree.text))

    def _subscript(self, tree: Tree) -> cst.BaseExpression:
        elements = [cst.SubscriptElement(self._index(item)) for item in tree.parts[1:]]
        return cst.Subscript(self._atom(tree.parts[0]), elements)

    def _index(self, tree: Tree) -> cst.BaseSlice:
        if tree.kind != "slice":
            return cst.Index(self.expression(tree))
        lower, upper, step = (None if part.kind == "absent" else self.expression(part) for part in tree.parts)
        # The formatter sets blanks around the colon of bounds that are more than a name or number.
        bare = (cst.Name, cst.Integer, cst.UnaryOperation)
        plain = all(part is None or (isinstance(part, bare) and not part.lpar) for part in (lower, upper, step))
        before = cst.SimpleWhitespace(" " if not plain and lower is not None else "")
        after = cst.SimpleWhitespace(" " if not plain and upper is not None else "")
        second: cst.Colon | cst.MaybeSentinel = cst.MaybeSentinel.DEFAULT
        if step is not None:
            inner = " " if not plain else ""
            second = cst.Colon(
                whitespace_before=cst.SimpleWhitespace(inner if upper is not None else ""),
                whitespace_after=cst.SimpleWhitespace(inner),
            )
        first = cst.Colon(whitespace_before=before, whitespace_after=after)
        return cst.Slice(lower, upper, step, first_colon=first, second_colon=second)

    def _call(self, tree: Tree) -> cst.BaseExpression:
        return cst.Call(self._atom(tree.parts[0]), [self._argument(item) for item in tree.parts[1:]])

    def _argument(self, tree: Tree) -> cst.Arg:
        if tree.kind == "keyword":
            equal = cst.AssignEqual(whitespace_before=_NO_SPACE, whitespace_after=_NO_SPACE)
            return cst.Arg(self.expression(tree.parts[0]), keyword=cst.Name(tree.text), equal=equal)
        if tree.kind == "star":
            star: Any = tree.text
            return cst.Arg(self._above(tree.parts[0], _STARRED), star=star)
        return cst.Arg(self.expression(tree))

    def _binary(self, tree: Tree) -> cst.BaseExpression:
        own, kind = _BINARY[tree.text]
        is_power = own == _POWER
        left = self._above(tree.parts[0], own + is_power)
        right = self._above(tree.parts[1], _UNARY if is_power else own + 1)
        operator = kind()
        if is_power and _is_simple(left) and _is_simple(right):
            operator = cst.Power(whitespace_before=_NO_SPACE, whitespace_after=_NO_SPACE)
        return cst.BinaryOperation(left=left, operator=operator, right=right)

    def _boolean(self, tree: Tree) -> cst.BaseExpression:
        own, kind = _BOOLEAN[tree.text]
        left, right = self._above(tree.parts[0], own), self._above(tree.parts[1], own + 1)
        return cst.BooleanOperation(left=left, operator=kind(), right=right)

    def _unary(self, tree: Tree) -> cst.BaseExpression:
        own = _NOT if tree.text == "not" else _UNARY
        return cst.UnaryOperation(_UNARY_OPERATORS[tree.text](), self._above(tree.parts[0], own))

    def _comparison(self, tree: Tree) -> cst.BaseExpression:
        left, right = (self._above(item, _COMPARISON + 1) for item in tree.parts)
        return cst.Comparison(left, [cst.ComparisonTarget(_COMPARISONS[tree.text](), right)])

    def _conditional(self, tree: Tree) -> cst.BaseExpression:
        value, test = (self._above(item, _CONDITIONAL + 1) for item in tree.parts[:2])
        return cst.IfExp(test=test, body=value, orelse=self._above(tree.parts[2], _CONDITIONAL))

    def _tuple(self, tree: Tree) -> cst.BaseExpression:
        elements = self._elements(tree)
        if len(elements) == 1:
            elements = [elements[0].with_changes(comma=cst.Comma())]
        return cst.Tuple(elements, lpar=[], rpar=[]) if tree.text == "bare" else cst.Tuple(elements)

    def _list(self, tree: Tree) -> cst.BaseExpression:
        return cst.List(self._elements(tree))

    def _elements(self, tree: Tree) -> list[cst.BaseElement]:
        return [
            cst.StarredElement(self._above(item.parts[0], _STARRED))
            if item.kind == "star"
            else cst.Element(self.expression(item))
            for item in tree.parts
        ]

    def _dict(self, tree: Tree) -> cst.BaseExpression:
        return cst.Dict(
            [
                cst.DictElement(self.expression(key), self.expression(value))
                for key, value in (p.parts for p in tree.parts)
            ]
        )

    def _comprehension(self, tree: Tree) -> cst.BaseExpression:
        loops = tree.parts[1:]
        inner: cst.CompFor | None = None
        for index in range(len(loops) - 2, -1, -2):
            inner = cst.CompFor(
                target=self._target(loops[index]),
                iter=self._above(loops[index + 1], _CONDITIONAL + 1),
                inner_for_in=inner,
            )
        assert inner is not None
        return cst.ListComp(self.expression(tree.parts[0]), inner)

    def _above(self, tree: Tree, least: int) -> cst.BaseExpression:
        """Return an expression that binds at least as tightly as `least`, in parentheses if it must."""
        node = self.expression(tree)
        return _parenthesized(node) if _precedence(node) < least else node

    def _atom(self, tree: Tree) -> cst.BaseExpression:
        """Return the expression in a form that a dot, a call or an index may follow."""
        node = self.expression(tree)
        number = isinstance(node, (cst.Integer, cst.Float))
        return _parenthesized(node) if number or _precedence(node) < _ATOM else node


def _precedence(node: cst.BaseExpression) -> int:
    """Return how tightly an expression binds; more is tighter."""
    if node.lpar:
        return _ATOM
    if isinstance(node, cst.BinaryOperation):
        return next(level for level, kind in _BINARY.values() if isinstance(node.operator, kind))
    if isinstance(node, cst.BooleanOperation):
        return next(level for level, kind in _BOOLEAN.values() if isinstance(node.operator, kind))
    if isinstance(node, cst.UnaryOperation):
        return _NOT if isinstance(node.operator, cst.Not) else _UNARY
    if isinstance(node, cst.Comparison):
        return _COMPARISON
    if isinstance(node, cst.IfExp):
        return _CONDITIONAL
    return 0 if isinstance(node, cst.Tuple) else _ATOM


def _parenthesized(node: cst.BaseExpression) -> cst.BaseExpression:
    return node if node.lpar else node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def _is_simple(node: cst.BaseExpression) -> bool:
    """Tell whether the formatter writes `**` without spaces beside this operand."""
    if node.lpar:
        return False
    if isinstance(node, cst.UnaryOperation):
        node = node.expression
    while isinstance(node, cst.Attribute) and not node.lpar:
        node = node.value
    return isinstance(node, (cst.Name, cst.Integer, cst.Float))
