"""Operations of the graph as expressions of Python: calls, operators, indices and attributes."""

from __future__ import annotations

from graphnas.codegen import syntax
from graphnas.codegen.literals import Literals
from graphnas.codegen.paths import path_expression
from graphnas.codegen.syntax import Expression
from graphnas.errors import CodegenError
from graphnas.ir.graph import Node
from graphnas.ir.module import Definition

_BINARY: dict[str, str] = {
    "add": "+",
    "and_": "&",
    "floordiv": "//",
    "lshift": "<<",
    "matmul": "@",
    "mod": "%",
    "mul": "*",
    "or_": "|",
    "pow": "**",
    "rshift": ">>",
    "sub": "-",
    "truediv": "/",
    "xor": "^",
    "concat": "+",
}
_UNARY: dict[str, str] = {
    "neg": "-",
    "pos": "+",
    "invert": "~",
    "inv": "~",
    "not_": "not",
}
_COMPARISON: dict[str, str] = {
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "is_": "is",
    "is_not": "is not",
}
_AUGMENTED: dict[str, str] = {
    "iadd": "+=",
    "iand": "&=",
    "iconcat": "+=",
    "ifloordiv": "//=",
    "ilshift": "<<=",
    "imatmul": "@=",
    "imod": "%=",
    "imul": "*=",
    "ior": "|=",
    "ipow": "**=",
    "irshift": ">>=",
    "isub": "-=",
    "itruediv": "/=",
    "ixor": "^=",
}


class Expressions:
    """Writes operations.

    Args:
        definition: What paths start from.
        literals: Writes arguments; knows how values are spelled.
    """

    def __init__(self, definition: Definition, literals: Literals) -> None:
        self.definition = definition
        self.literals = literals

    def write(self, node: Node) -> Expression:
        """Return the expression that computes the value of a node.

        Raises:
            CodegenError: The operation has no form in source.
        """
        operation, write = node.operation, self.literals.write
        kwargs = [(str(name), write(item)) for name, item in node.kwargs.items()]
        if operation.kind == "training":
            return syntax.dotted("self.training")
        if operation.kind == "attribute":
            return path_expression(self.definition, operation.target)
        if operation.kind == "module":
            return syntax.call(self._callee(node), map(write, node.args), kwargs)
        if operation.kind == "function":
            return self._function(node, kwargs)
        if not node.args:
            raise CodegenError(f"node {node.name!r}: {operation} needs the object that it belongs to as its argument")
        bound = syntax.attribute(write(node.args[0]), operation.target)
        return bound if operation.kind == "field" else syntax.call(bound, map(write, node.args[1:]), kwargs)

    def loop(self, container: str, variable: str, node: Node, carried: str) -> syntax.Statement:
        """Return `for block in self.blocks: x = block(x)`."""
        write = self.literals.write
        callee: Expression = syntax.identifier(variable)
        if node.operation.forward:
            callee = syntax.attribute(callee, f"forward_{node.operation.forward}")
        kwargs = [(str(name), write(item)) for name, item in node.kwargs.items()]
        call = syntax.call(callee, [syntax.identifier(carried), *map(write, node.args[1:])], kwargs)
        return syntax.for_loop(
            syntax.identifier(variable),
            path_expression(self.definition, container),
            [syntax.assign(syntax.identifier(carried), call)],
        )

    def augmented(self, node: Node, target: Expression) -> syntax.Statement:
        """Return `target += value`."""
        operator = _AUGMENTED[node.operation.target.partition(":")[2]]
        return syntax.augmented(operator, target, self.literals.write(node.args[1]))

    def setitem(self, node: Node, update: str | None) -> syntax.Statement:
        """Return `x[index] = value`, or `x[index] += value` for an `update` like `iadd`."""
        target = syntax.subscript(self.literals.write(node.args[0]), self.literals.index(node.args[1]))
        value = self.literals.write(node.args[2])
        return syntax.assign(target, value) if update is None else syntax.augmented(_AUGMENTED[update], target, value)

    def _callee(self, node: Node) -> Expression:
        callee = path_expression(self.definition, node.operation.target)
        return syntax.attribute(callee, f"forward_{node.operation.forward}") if node.operation.forward else callee

    def _function(self, node: Node, kwargs: list[tuple[str, Expression]]) -> Expression:
        module, _, name = node.operation.target.partition(":")
        args, write = node.args, self.literals.write
        if module == "operator" and not kwargs:
            if name in _BINARY and len(args) == 2:
                return syntax.binary(_BINARY[name], write(args[0]), write(args[1]))
            if name in _UNARY and len(args) == 1:
                return syntax.unary(_UNARY[name], write(args[0]))
            if name in _COMPARISON and len(args) == 2:
                return syntax.comparison(_COMPARISON[name], write(args[0]), write(args[1]))
            if name == "contains" and len(args) == 2:
                return syntax.comparison("in", write(args[1]), write(args[0]))
            if name == "getitem" and len(args) == 2:
                return syntax.subscript(write(args[0]), self.literals.index(args[1]))
        if node.operation.target == "builtins:getattr" and len(args) == 2 and isinstance(args[1], str):
            return syntax.attribute(write(args[0]), args[1])
        return syntax.call(syntax.reference(node.operation.target), map(write, args), kwargs)
