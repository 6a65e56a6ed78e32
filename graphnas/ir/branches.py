"""Which branches of the original a trace did not take, from its source and the lines at which operations were recorded.

A side of an `if` is lost when its statements would have left a record and left none, although the statement itself was
passed. What would have left one is judged strictly: a call of a submodule, of a function of torch or of a method of a
traced value, or arithmetic on one. So nothing that ran is called lost; a side without such work is not judged at all.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from torch import nn

from graphnas.ir.report import Branch, ClassReport, TracedCode

_FUNCTIONS = ("torch", "F", "functional")
_NO_OPERATIONS = ("jit", "onnx", "compiler", "_dynamo", "cuda", "backends", "fx", "device", "finfo", "Size", "utils")


def lost_branches(report: ClassReport) -> tuple[Branch, ...]:
    """Return the branches of a class that were never taken, in the order of its source; none if that is not at hand."""
    found: list[Branch] = []
    methods = {*(code.name for code in report.code), *(method.name for method in report.methods), *dir(nn.Module)}
    for code in report.code:
        function = _parse(code.file, code.first_line)
        if function is not None:
            lines = frozenset(code.lines)
            names = _names_on(function, lines)
            found += _Reader(report.name, code, lines, frozenset(names), frozenset(methods)).block(function.body)
    return tuple(found)


@dataclass(frozen=True)
class _Reader:
    """Reads the blocks of one method.

    Attributes:
        class_name: The class.
        code: The method.
        lines: Lines at which something was recorded.
        names: Variables that hold traced values.
        methods: Names of methods of the class, which are no submodules.
    """

    class_name: str
    code: TracedCode
    lines: frozenset[int]
    names: frozenset[str]
    methods: frozenset[str]

    def block(self, statements: Sequence[ast.stmt]) -> Iterator[Branch]:
        """Yield what is lost in a block that was entered."""
        for index, statement in enumerate(statements):
            if not isinstance(statement, ast.If):
                for inner in _blocks(statement):
                    if self.ran(inner):
                        yield from self.block(inner)
                continue
            rest = statements[index + 1 :]
            ends = _always_leaves(statement.body)
            other = statement.orelse or (rest if ends else [])
            for side, opposite, outcome in ((statement.body, other, False), (other, statement.body, True)):
                if self.ran(side):
                    if side is not rest:
                        yield from self.block(side)
                elif self.leaves_record(side) and not (ends and outcome and not self.ran(opposite)):
                    location = f"{self.code.file}:{statement.lineno}"
                    yield Branch(self.class_name, ast.unparse(statement.test), outcome, location)
            if ends and not statement.orelse and not self.ran(rest):
                return

    def ran(self, statements: Sequence[ast.stmt]) -> bool:
        """Tell whether something was recorded in a block."""
        return any(
            line in self.lines
            for statement in statements
            for line in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
        )

    def leaves_record(self, statements: Sequence[ast.stmt]) -> bool:
        """Tell whether a block does, in any case, something that a trace records."""
        for statement in statements:
            if isinstance(statement, ast.If):
                if self.leaves_record(statement.body) and self.leaves_record(statement.orelse):
                    return True
            elif isinstance(statement, ast.With):
                if self.leaves_record(statement.body):
                    return True
            elif isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr)) and any(
                map(self.is_operation, _unconditional(statement))
            ):
                return True
        return False

    def is_operation(self, node: ast.AST) -> bool:
        if isinstance(node, ast.AugAssign):
            return self.is_traced(node.target)
        if isinstance(node, ast.BinOp):
            return self.is_traced(node.left) or self.is_traced(node.right)
        if not isinstance(node, ast.Call) or not (node.args or node.keywords):
            return False
        chain = _chain(node.func)
        if len(chain) < 2:
            return False
        if chain[0] == "self":
            return chain[1] not in self.methods and any(map(self.is_traced, node.args))
        if chain[0] in _FUNCTIONS:
            return not any(name in _NO_OPERATIONS or name.startswith("is_") for name in chain[1:])
        return len(chain) == 2 and chain[0] in self.names

    def is_traced(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id in self.names


def _unconditional(statement: ast.stmt) -> Iterator[ast.AST]:
    """Yield the parts of a simple statement that are evaluated in any case."""
    open: list[ast.AST] = [statement]
    while open:
        node = open.pop()
        yield node
        if isinstance(node, (ast.IfExp, ast.BoolOp, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp)):
            continue
        open += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.GeneratorExp)]


def _blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    if isinstance(statement, (ast.For, ast.While, ast.With, ast.Try)):
        yield statement.body
    if isinstance(statement, (ast.For, ast.While, ast.Try)):
        yield statement.orelse


def _always_leaves(statements: Sequence[ast.stmt]) -> bool:
    return bool(statements) and isinstance(statements[-1], (ast.Return, ast.Raise, ast.Continue, ast.Break))


def _chain(node: ast.AST) -> list[str]:
    """Return the names of `a.b[0].c`, empty for anything that does not start with a name."""
    names: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Name):
            return [node.id, *reversed(names)]
        else:
            return []


def _names_on(function: ast.FunctionDef, lines: frozenset[int]) -> set[str]:
    """Return the variables on lines at which something was recorded: those hold traced values."""
    return {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and node.lineno in lines and node.id not in ("self", *_FUNCTIONS)
    }


@lru_cache(maxsize=1024)
def _parse(file: str, first_line: int) -> ast.FunctionDef | None:
    """Return a function by the place of its first line, None where there is no such source."""
    lines = linecache.getlines(file)[first_line - 1 :]
    try:
        tree = ast.parse(textwrap.dedent("".join(inspect.getblock(lines))))
    except (SyntaxError, IndentationError, IndexError):
        return None
    if not tree.body or not isinstance(tree.body[0], ast.FunctionDef):
        return None
    ast.increment_lineno(tree, first_line - 1)
    return tree.body[0]
