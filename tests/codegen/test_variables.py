"""Copies of variables: taken out where the value can have the name of the copy from the start."""

from __future__ import annotations

import ast

import pytest

from graphnas.codegen import syntax
from graphnas.codegen.emit import _statement
from graphnas.codegen.syntax import Statement
from graphnas.codegen.variables import without_copies

_BINARY = {ast.Add: "+", ast.Mult: "*"}


def _tree(node: ast.AST) -> Statement:
    if isinstance(node, ast.Name):
        return syntax.identifier(node.id)
    if isinstance(node, ast.BinOp):
        return syntax.binary(_BINARY[type(node.op)], _tree(node.left), _tree(node.right))
    if isinstance(node, ast.Tuple):
        return syntax.tuple_of(map(_tree, node.elts), bare=True)
    if isinstance(node, ast.AugAssign):
        return syntax.augmented(f"{_BINARY[type(node.op)]}=", _tree(node.target), _tree(node.value))
    assert isinstance(node, ast.Assign), "the tests need nothing else"
    return syntax.assign(_tree(node.targets[0]), _tree(node.value))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = a + b; kept = x; x = x * b; x = x + kept", "kept = a + b; x = kept * b; x = x + kept"),
        ("x, y = a; kept = x; x = x + y", "kept, y = a; x = kept + y"),
        ("x = a; x += b; kept = x; x = x * b", "kept = a; kept += b; x = kept * b"),
        ("x = a + b; k = x; x = x * b; m = x; x = m + k", "k = a + b; m = k * b; x = m + k"),
        ("x = a + b; y = x * b; kept = x; x = y", "kept = a + b; y = kept * b; x = y"),
        ("kept = x; x = x * b; x = x + kept", None),
        ("x = a + b; kept = x; x += b; x = x + kept", None),
        ("x = a + b; kept = x; x = b + b; kept = x + kept", None),
    ],
    ids=["plain", "unpacked", "updated before", "two", "read before", "parameter", "updated after", "bound again"],
)
def test_copies(before: str, after: str | None) -> None:
    found = without_copies([_tree(item) for item in ast.parse(before).body])
    expected = ast.unparse(ast.parse(before if after is None else after))
    assert "".join(_statement(item, {}) for item in found).strip() == expected.replace("(", "").replace(")", "")
