"""Operations of the graph as expressions of Python: calls, operators, indices and attributes."""

from __future__ import annotations

from collections.abc import Container

from graphnas.codegen import syntax
from graphnas.codegen.literals import Literals
from graphnas.codegen.paths import path_expression
from graphnas.codegen.signatures import operand_name
from graphnas.codegen.syntax import Expression
from graphnas.codegen.template import Site
from graphnas.errors import CodegenError
from graphnas.ir.graph import Node
from graphnas.ir.literal import Value
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
        owner: What a graph of the constructor builds; empty for a forward.
        unnamed: Values that the source gives no name, whatever they were called.
    """

    def __init__(
        self, definition: Definition, literals: Literals, owner: str = "", unnamed: Container[str] = ()
    ) -> None:
        self.definition = definition
        self.literals = literals
        self.owner = owner
        self.unnamed = unnamed

    def write(self, node: Node) -> Expression:
        """Return the expression that computes the value of a node.

        Raises:
            CodegenError: The operation has no form in source.
        """
        operation = node.operation
        if operation.kind == "training":
            return syntax.dotted("self.training")
        if operation.kind == "attribute":
            return path_expression(self.definition, operation.target)
        if operation.kind == "module":
            return syntax.call(self._callee(node), self._positional(node), self._keywords(node))
        if operation.kind == "function":
            return self._function(node)
        if not node.args:
            raise CodegenError(f"node {node.name!r}: {operation} needs the object that it belongs to as its argument")
        first, *rest = self._positional(node)
        bound = syntax.attribute(first, operation.target)
        return bound if operation.kind == "field" else syntax.call(bound, rest, self._keywords(node))

    def loop(self, container: str, variable: str, node: Node, carried: str) -> syntax.Statement:
        """Return `for block in self.blocks: x = block(x)`."""
        callee: Expression = syntax.identifier(variable)
        if node.operation.forward:
            callee = syntax.attribute(callee, f"forward_{node.operation.forward}")
        call = syntax.call(callee, [syntax.identifier(carried), *self._positional(node)[1:]], self._keywords(node))
        return syntax.for_loop(
            syntax.identifier(variable),
            path_expression(self.definition, container),
            [syntax.assign(syntax.identifier(carried), call)],
        )

    def augmented(self, node: Node, target: Expression) -> syntax.Statement:
        """Return `target += value`."""
        operator = _AUGMENTED[node.operation.target.partition(":")[2]]
        return syntax.augmented(operator, target, self._positional(node)[1])

    def assign(self, node: Node) -> syntax.Statement:
        """Return `self.state = value`."""
        return syntax.assign(path_expression(self.definition, node.operation.target), self.literals.write(node.args[0]))

    def setitem(self, node: Node, update: str | None) -> syntax.Statement:
        """Return `x[index] = value`, or `x[index] += value` for an `update` like `iadd`."""
        target, value = self._item(node), self.literals.write(node.args[2], self._site(node, "value"))
        return syntax.assign(target, value) if update is None else syntax.augmented(_AUGMENTED[update], target, value)

    def _callee(self, node: Node) -> Expression:
        callee = path_expression(self.definition, node.operation.target)
        return syntax.attribute(callee, f"forward_{node.operation.forward}") if node.operation.forward else callee

    def _function(self, node: Node) -> Expression:
        module, _, name = node.operation.target.partition(":")
        args, kwargs = self._positional(node), self._keywords(node)
        if module == "operator" and not kwargs:
            if name in _BINARY and len(args) == 2:
                return syntax.binary(_BINARY[name], *args)
            if name in _UNARY and len(args) == 1:
                return syntax.unary(_UNARY[name], *args)
            if name in _COMPARISON and len(args) == 2:
                return syntax.comparison(_COMPARISON[name], *args)
            if name == "contains" and len(args) == 2:
                return syntax.comparison("in", args[1], args[0])
            if name == "getitem" and len(args) == 2:
                return self._item(node)
        if node.operation.target == "builtins:getattr" and len(args) == 2 and isinstance(node.args[1], str):
            return syntax.attribute(args[0], node.args[1])
        return syntax.call(syntax.reference(node.operation.target), args, kwargs)

    def _item(self, node: Node) -> Expression:
        """Return `x[index]`; a whole number says how the value is unpacked, and is no constant that could vary."""
        site = None if type(node.args[1]) is int else self._site(node, "index")
        return syntax.subscript(self.literals.write(node.args[0]), self.literals.index(node.args[1], site))

    def _positional(self, node: Node) -> list[Expression]:
        return [
            self.literals.write(item)
            if isinstance(item, Value)
            else self.literals.write(item, self._site(node, operand_name(node.operation, position)))
            for position, item in enumerate(node.args)
        ]

    def _keywords(self, node: Node) -> list[tuple[str, Expression]]:
        return [
            (str(name), self.literals.write(item, self._site(node, str(name)))) for name, item in node.kwargs.items()
        ]

    def _site(self, node: Node, name: str) -> Site:
        operation = node.operation.target.rpartition(":")[2].rpartition(".")[2]
        hint = "" if node.name in self.unnamed else node.variable.rstrip("_0123456789")
        return Site(name, self.owner or hint or operation, 1 if self.owner else 2)
